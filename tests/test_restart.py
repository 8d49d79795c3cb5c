"""A run that is interrupted, however often and at whatever number of ranks, ends as if it had not been: the same bytes in
the checkpoint, the same figures. What does not belong to it is refused, what is damaged is not used."""
import copy, json, os, random, re, shutil, signal, struct, subprocess, threading, time, zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest

from faults import inject
from helpers import BINARY, HANGS, environment, mpirun, write_config
from test_variants import build, ids
from tiny_model import BYTE_VOCABULARY, make_tokenizer

LAYERS, STOPPED, CONFIG, INPUT, IO = 3, 75, 2, 3, 4


class Job:
    """A model of a few kilobytes, and one config for it; restart files as often as possible."""

    def __init__(self, directory, **changes):
        self.dir = directory
        build(directory / "model", config={"num_hidden_layers": LAYERS, "tie_word_embeddings": True,
                                           "vocab_size": BYTE_VOCABULARY, "max_position_embeddings": 96})
        make_tokenizer(directory / "model")
        (directory / "boolq.jsonl").write_text("".join(json.dumps(
            {"passage": "no " * (i % 7), "question": f"is {i} {'odd' * i}", "answer": bool(i % 2)}) + "\n" for i in range(9)))
        ids(directory / "calibration.npy", (9, 16))
        ids(directory / "evaluation.npy", (500,))
        self.sections = {"model": {"path": "model"}, "prune": {"sparsity": 0.3, "mlp_num": 2},
                         "calibration": {"tokens": "calibration.npy", "samples": 9, "length": 16},
                         "evaluate": {"tokens": "evaluation.npy", "length": 16, "tasks": "boolq:boolq.jsonl"},
                         "output": {"checkpoint": "pruned.h5", "report": "report.json"}, "restart": {"cost": 1}}
        self.config = write_config(directory / "job.ini", self.change(**changes))

    def change(self, **changes):
        for section, keys in changes.items():
            self.sections.setdefault(section, {}).update(keys)
        return self.sections

    def arguments(self, *arguments):
        return [*arguments, "--predictions", self.dir / "predictions.jsonl", self.config]

    def run(self, ranks, *arguments, fault=None):
        """Started where the config lies, so that paths after --set are beside it too."""
        return mpirun(ranks, *self.arguments(*arguments), options=inject.preload(fault), cwd=self.dir)

    def stop(self, ranks, *arguments):
        """One layer of the run, and no more: its time is up at once."""
        done = self.run(ranks, "--set", "run.walltime=00:00:01", *arguments)
        assert done.returncode == STOPPED, done.stderr
        assert "olica_mpi: stopped early: by [run] walltime" in done.stderr
        return done

    def files(self):
        return sorted(p.name for p in self.dir.iterdir() if p.name.startswith("pruned"))

    def images(self):
        return {name: (self.dir / name).read_bytes() for name in self.files()}

    def restarts(self):
        """The oldest first."""
        return sorted(self.dir.glob("pruned.h5.restart.*"), key=lambda path: path.stat().st_mtime_ns)

    def report(self):
        return json.loads((self.dir / "report.json").read_text())

    def content(self):
        """The bytes of all datasets but what tells who wrote it and how; and the size of the file without those."""
        found, path = {}, self.dir / "pruned.h5"
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: (item[()].tobytes(), dict(item.attrs)["crc32"])})
                            if isinstance(item, h5py.Dataset) else None)
        return {k: v for k, v in found.items() if k not in ("meta/settings_json", "meta/provenance_json")}

    def matches(self, other, report=True):
        """The same checkpoint, byte for byte, and the same figures; report=False: it was killed before it told them."""
        content, expected = self.content(), other.content()
        assert content.keys() == expected.keys()
        assert [name for name in content if content[name] != expected[name]] == []
        if not report:
            return
        mine, its = self.report(), other.report()
        assert mine["status"] == "ok"
        for key in ("linearity_score", "calibrated_layers", "parameters", "survey"):
            assert mine[key] == its[key], key
        assert mine["perplexity"] == pytest.approx(its["perplexity"], rel=1e-12)  # a sum over ranks
        if "tasks" in its:
            assert mine["tasks"] == its["tasks"] and {"dense", "pruned"} <= mine["tasks"]["boolq"].keys()
            assert (self.dir / "predictions.jsonl").read_bytes() == (other.dir / "predictions.jsonl").read_bytes()
        for a, b in zip(mine["layers"], its["layers"], strict=True):
            assert a == pytest.approx(b, rel=1e-12)
        assert self.files() == ["pruned.h5"]


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Not interrupted."""
    job = Job(tmp_path_factory.mktemp("whole"))
    done = job.run(2, "--set", "restart.every=off")
    assert done.returncode == 0, done.stderr
    assert job.files() == ["pruned.h5"]
    return job


def copy_of(job, directory):
    shutil.copytree(job.dir, directory)  # with the times of the files
    other = copy.copy(job)
    other.dir, other.config = directory, directory / "job.ini"
    return other


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A job after 1, 2, ... starts that did a layer each."""
    job, found = Job(tmp_path_factory.mktemp("stages")), []
    for n in range(LAYERS + 2):
        job.stop(1)
        found.append(copy_of(job, tmp_path_factory.mktemp("stage") / str(n)))
    return found


@pytest.fixture
def stopped(stages, tmp_path):
    """stopped(n): a job that has been started, and stopped, n times."""
    return lambda n, name="job": copy_of(stages[n - 1], tmp_path / name)


def test_stopped_after_every_layer(job, whole):
    """Each start does one layer, at another number of ranks."""
    seen = []
    for turn in range(2 * LAYERS + 1):
        done = job.run([1, 3, 2, 4][turn % 4], "--set", "run.walltime=00:00:01")
        seen += re.findall(r"going on from layer (\d) of sweep (\d)", done.stderr)
        if done.returncode != STOPPED:
            break
        assert job.report()["status"] == "stopped" and "pruned.h5" not in job.files()
        assert re.search(r"started again with the same config it goes on from layer \d of sweep \d", done.stderr)
    assert done.returncode == 0, done.stderr
    assert seen == [(str(i), "1") for i in range(1, LAYERS)] + [(str(i), "2") for i in range(LAYERS + 1)]
    job.matches(whole)


def interrupt(ranks, number, lines, wait, arguments):
    """Starts a run; when it has said so many lines, and a moment later, a signal goes to mpirun, or SIGKILL to one rank.
    Returns the exit code and all that was said."""
    process = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), BINARY, *arguments],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env=environment(OMPI_MCA_mpi_yield_when_idle=1))
    stuck = threading.Timer(600, process.kill)  # a hang is a failure
    stuck.start()
    said = ""
    while said.count("\n") < lines and (line := process.stderr.readline()):
        said += line
    time.sleep(wait)
    if number != signal.SIGKILL:
        process.send_signal(number)
    elif mine := children(process.pid):
        try:
            os.kill(random.choice(mine), signal.SIGKILL)
        except ProcessLookupError:
            pass
    said += process.stderr.read()
    process.wait()
    stuck.cancel()
    return process.returncode, said


def children(parent):
    """The ranks that this mpirun has started."""
    try:
        found = [int(pid) for pid in open(f"/proc/{parent}/task/{parent}/children").read().split()]
        return [pid for pid in found if "olica_mpi" in open(f"/proc/{pid}/cmdline").read()]
    except OSError:
        return []


def test_killed_at_any_moment(job, whole):
    """kill -9 of one rank at random moments, restarts at other numbers of ranks; then the run is left alone."""
    chance, killed, code = random.Random(11), 0, 1
    for _ in range(6):
        code, _ = interrupt(chance.choice([1, 2, 3]), signal.SIGKILL, chance.randint(1, 7), chance.uniform(0, 0.05), job.arguments())
        killed += code != 0
        if code == 0 or "pruned.h5" in job.files():  # killed while it said goodbye: the checkpoint is whole
            break
    if "pruned.h5" not in job.files():
        done = job.run(2)
        assert done.returncode == 0, done.stderr
        code = 0
    assert killed > 0
    job.matches(whole, report=code == 0)


def test_signal(job, whole):
    """What mpirun passes on ends the run at the next layer, with exit code 75."""
    code, said = interrupt(2, signal.SIGUSR1, 3, 0, job.arguments())  # the third line is that of the first layer
    if code != 0:  # else it was over before the signal came
        assert code == STOPPED and "stopped early: by SIGUSR1 before layer" in said, said
        done = job.run(1)
        assert done.returncode == 0 and "going on from layer" in done.stderr, done.stderr
    job.matches(whole)


REFUSALS = {  # what is changed, exit code, what the message says
    "sparsity": (["--set", "prune.sparsity=0.25"], CONFIG, "[prune] sparsity was 0.3, is 0.25"),
    "length": (["--set", "evaluate.length=8"], CONFIG, "[evaluate] length was 16, is 8"),
    "calibration": ("calibration.npy", INPUT, "calibration was \"144 ids"),
    "evaluation": ("evaluation.npy", INPUT, "evaluation was \"496 ids"),
    "tasks": ("boolq.jsonl", INPUT, "tasks was \"9 questions"),
    "touched": ("model/model.safetensors", INPUT, ": model.safetensors was"),
    "weights": ("model/model.safetensors", INPUT, ": weights of model.safetensors was"),
    "config": ("model/config.json", INPUT, "config.json was"),
}


def change(path):
    """Something else, by the file's kind, and by nothing that its size or times tell."""
    before = path.stat()
    if path.suffix == ".npy":
        ids(path, (9, 16) if path.stem == "calibration" else (500,), seed=8)
    elif path.suffix == ".safetensors":
        flipped(-3)(path)
    else:
        path.write_text(path.read_text().replace("is 3", "is 4") + " ")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_another_run_is_refused(stopped, whole):
    """Nothing is touched; --fresh starts over; what changes no number is not asked."""
    job = stopped(LAYERS + 1)  # in the middle of sweep 2
    before = job.images()
    assert "pruned.h5.part" in before

    def refuse(case):
        (what, code, words), other = REFUSALS[case], stopped(LAYERS + 1, case)
        if case == "touched":
            os.utime(other.dir / what, (1, 1))
        elif isinstance(what, str):
            change(other.dir / what)
        done = other.run(1, *(what if isinstance(what, list) else []))
        assert done.returncode == code and words in done.stderr and "--fresh starts over" in done.stderr, done.stderr
        assert before == other.images()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(refuse, REFUSALS))
    harmless = ["--set", "output.overwrite=yes", "--set", "compute.threads=2", "--set", "restart.keep=3"]
    assert "going on from layer 1 of sweep 2" in job.stop(3, *harmless).stderr
    fresh = job.stop(2, "--fresh")
    assert "going on" not in fresh.stderr and job.files() == ["pruned.h5.restart.0"]
    assert job.run(2).returncode == 0
    job.matches(whole)


UNREADABLE = ["call=open path=pruned.h5.restart.0 nth=1+ do=EACCES", "rank=0 call=read path=pruned.h5.restart nth=1+ do=EIO",
              "rank=1 call=read path=pruned.h5.restart nth=1 do=EIO"]  # the last: its pieces


def test_files_that_cannot_be_read(stopped, whole):
    """What the system does not let us read may be hours of work: exit code 4, and nothing is touched."""
    job = stopped(LAYERS + 2)
    before = job.images()
    assert {"pruned.h5.part", "pruned.h5.restart.0", "pruned.h5.restart.1"} == set(before)
    for fault in UNREADABLE:
        done = job.run(2, fault=fault)
        assert done.returncode == IO and done.stderr.count("ERROR") == 1, done.stderr
        assert re.search(r"I/O error: \S*pruned.h5.restart.\d: cannot (open: Permission denied|read: Input/output error) "
                         r"\(--fresh starts over\)", done.stderr), done.stderr
        assert before == job.images()
    done = job.run(2)
    assert done.returncode == 0 and "going on from layer 2 of sweep 2" in done.stderr, done.stderr
    job.matches(whole)


def test_fresh_needs_to_read_nothing(job):
    job.stop(1)
    done = job.run(1, "--fresh", fault=UNREADABLE[0].replace("nth=1+", "nth=1"))
    assert done.returncode == 0 and "going on" not in done.stderr and job.files() == ["pruned.h5"], done.stderr


def flipped(at):
    def act(path):
        image = bytearray(path.read_bytes())
        image[at] ^= 1
        path.write_bytes(image)
    return act


DAMAGE = {"empty": (lambda path: os.truncate(path, 0), "holds 0 bytes, expected at least 4096"),
          "cut short": (lambda path: os.truncate(path, path.stat().st_size - 9), "bytes, expected a table of"),
          "header": (flipped(20), "its first block is damaged"),
          "torn": (lambda path: path.write_bytes(bytes(4096) + path.read_bytes()[4096:]), "was not written to its end"),
          "table": (flipped(-9), "its table has checksum"),
          "section": (flipped(8200), "its section output_energy has checksum"),  # it lies behind the first block and the place
          "directory": (lambda path: (path.unlink(), path.mkdir()), "is a directory, expected a regular file")}


def tell(kind, job):
    act, words = DAMAGE[kind]
    older, newest = job.restarts()

    def told(path):
        return re.search(rf"WARN  \[restart\] a restart file is not used: {re.escape(str(path))}: .*{words}", done.stderr)

    act(newest)
    done = job.stop(2, "--set", "restart.keep=3")
    assert told(newest) and not told(older) and "going on from layer 1 of sweep 1" in done.stderr, done.stderr
    if kind == "directory":
        return
    for path in job.restarts():
        act(path)
    expected = job.restarts()
    done = job.stop(2)
    assert all(told(path) for path in expected) and "going on" not in done.stderr, done.stderr
    assert "no restart file can be used: the run begins anew" in done.stderr
    assert sum("is not used" in w["text"] for w in job.report()["warnings"]) == len(expected)


def test_damaged_files_are_told(stopped):
    """The newest: the older one is gone on with; both: the run begins anew. Never without a word."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda kind: tell(kind, stopped(2, kind)), DAMAGE))


def change_state(path, form=None, **members):
    """Another state, and another mark of the form, with all checksums that guard them."""
    image = path.read_bytes()
    magic, sequence, offset, size, *_ = struct.unpack_from("<16sqqqII", image)
    root = json.loads(image[offset:offset + size])
    root["state"] |= members
    text = json.dumps(root).encode()
    head = struct.pack("<16sqqqI", form or magic, sequence, offset, len(text), zlib.crc32(text))
    head += struct.pack("<I", zlib.crc32(head))
    path.write_bytes(head + image[len(head):offset] + text)


@pytest.mark.parametrize("sweep, stops", [(1, 1), (2, LAYERS + 1)])
def test_another_place(sweep, stops, stopped, whole):
    """Of a file about layer 1: another number would leave layers out. The older file serves, or the run begins anew."""
    job = stopped(stops)
    before = job.images()
    for layer in 1, 2, LAYERS:  # the first: as it is
        for name in job.files():
            (job.dir / name).unlink()
        for name, image in before.items():
            (job.dir / name).write_bytes(image)
        (job.dir / "report.json").unlink()  # a good one of the round before would be protected
        change_state(job.dir / f"pruned.h5.restart.{(stops - 1) % 2}", layer=layer)
        done = job.run(2)
        assert done.returncode == 0, done.stderr
        told = f"its table is of layer {layer} of sweep {sweep}, its sections of layer 1 of sweep {sweep}"
        assert (told in done.stderr) == (layer > 1), done.stderr
        job.matches(whole)


def test_another_form_is_refused(stopped):
    """A file of another version of the program is no damaged one: it is refused by name, and nothing is touched."""
    job = stopped(1)
    [path] = job.restarts()
    change_state(path, form=b"olica restart 1")
    before = job.images()
    for arguments in [], ["--check"], ["--set", "restart.every=off"]:
        done = job.run(2, *arguments)
        assert done.returncode == CONFIG and before == job.images(), done.stderr
        assert (f"{path.name}: is a restart file of form 1, of another version of the program, expected form 2 "
                "(--fresh starts over)") in done.stderr, done.stderr
    assert job.run(1, "--fresh").returncode == 0 and job.files() == ["pruned.h5"]


def test_damaged_files_are_not_used(stopped, whole):
    """A torn restart file: the older one; none: from the beginning; a .part file that is gone: sweep 2 anew."""
    job = stopped(2)
    flipped(8200)(job.restarts()[-1])
    done = job.stop(2)
    assert "a restart file is not used" in done.stderr and "going on from layer 1 of sweep 1" in done.stderr
    for path in job.restarts():
        os.truncate(path, 3000)
    done = job.run(2, "--set", "run.walltime=off")
    assert done.returncode == 0 and "going on" not in done.stderr, done.stderr
    job.matches(whole)
    job = stopped(LAYERS + 2, "later")
    (job.dir / "pruned.h5.part").unlink()
    done = job.run(3)
    assert done.returncode == 0 and "sweep 2 begins anew" in done.stderr, done.stderr
    job.matches(whole)


def test_every_off_goes_on(stopped, whole):
    """It only writes none: what an earlier start has done is not lost, and what is of another run is refused."""
    job, off = stopped(LAYERS + 2), ["--set", "restart.every=off"]
    before = job.images()
    assert job.run(1, *off, fault=UNREADABLE[1]).returncode == IO and before == job.images()
    assert job.run(1, *off, "--set", "prune.sparsity=0.25").returncode == CONFIG and before == job.images()
    code, said = interrupt(1, signal.SIGKILL, 3, 0, job.arguments(*off))  # the third line is that of a layer
    assert code == 0 or {name for name in before if "restart" in name} <= set(job.files()), said
    if code != 0:
        done = job.run(2, *off)
        code, said = done.returncode, done.stderr
    assert code == 0 and "going on from layer 2 of sweep 2" in said, said
    job.matches(whole)


def test_burst_buffer(job, whole):
    """[restart] path; a directory that is not there is refused at once."""
    (job.dir / "fast").mkdir()
    elsewhere = ["--set", "restart.path=fast"]
    job.stop(2, *elsewhere)
    [name] = [path.name for path in (job.dir / "fast").iterdir()]
    assert job.files() == [] and re.fullmatch(r"pruned\.h5\.[0-9a-f]{8}\.restart\.0", name)
    for path, fault, words in (("nowhere", None, "nowhere: No such file or directory, expected a directory"),
                               ("job.ini", None, "job.ini: is no directory, expected one"),
                               ("fast", "call=open path=olica-probe do=EACCES", "fast: cannot create files in it: Permission denied")):
        done = job.run(2, "--set", f"restart.path={path}", fault=fault)
        assert done.returncode == IO and re.search(rf"I/O error: \[restart\] path: \S*{words}\n", done.stderr), done.stderr
    done = job.run(1, *elsewhere)
    assert done.returncode == 0 and "going on from layer 1 of sweep 1" in done.stderr, done.stderr
    assert list((job.dir / "fast").iterdir()) == []
    job.matches(whole)


def test_burst_buffer_comes_later(job, whole):
    """Restart files beside the checkpoint are not left behind, nor is anything begun on top of what they are of."""
    job.stop(2)
    (job.dir / "fast").mkdir()
    before = job.images()
    done = job.run(2, "--set", "restart.path=fast")
    assert done.returncode == CONFIG, done.stderr
    assert "pruned.h5.restart.* of an earlier run lie beside the checkpoint" in done.stderr and "--fresh" in done.stderr, done.stderr
    assert job.images() == before and list((job.dir / "fast").iterdir()) == []
    done = job.run(1, "--set", "restart.path=fast", "--fresh")
    assert done.returncode == 0 and "going on" not in done.stderr and job.files() == ["pruned.h5"], done.stderr
    job.matches(whole)


def test_burst_buffer_of_two_jobs(job, whole):
    """Checkpoints of the same name in other directories: neither takes, refuses or removes what is the other's."""
    (job.dir / "fast").mkdir()
    (job.dir / "other").mkdir()
    (job.dir / "link").symlink_to("other")
    shared = ["--set", "restart.path=fast"]
    other = [*shared, "--set", "output.checkpoint=other/pruned.h5", "--set", "output.report=other/report.json", "--set", "prune.sparsity=0.25"]
    job.stop(2, *shared)
    [mine] = (job.dir / "fast").iterdir()
    image = mine.read_bytes()
    done = job.stop(1, *other)
    assert "has restart files of other checkpoints of this name" in done.stderr and "going on" not in done.stderr, done.stderr
    job.stop(1, *other, "--fresh")
    done = job.run(1, *other, "--set", "output.checkpoint=link/pruned.h5")  # the same place
    assert done.returncode == 0 and "going on from layer 1 of sweep 1" in done.stderr, done.stderr
    assert list((job.dir / "fast").iterdir()) == [mine] and mine.read_bytes() == image
    done = job.run(1, *shared)
    assert done.returncode == 0 and "going on from layer 1 of sweep 1" in done.stderr, done.stderr
    job.matches(whole)


def test_report_of_a_stopped_run(job):
    """That it cannot be written is told, and is not how the run ends."""
    done = job.run(2, "--set", "run.walltime=00:00:01", fault="rank=0 call=write path=report.json nth=1+ do=ENOSPC")
    assert done.returncode == STOPPED and not (job.dir / "report.json").exists(), done.stderr
    done = job.run(2, "--set", "run.walltime=00:00:01", "--fresh", fault="rank=0 call=write path=report.json nth=2 do=ENOSPC")  # not the first one, "running"
    assert done.returncode == STOPPED and not (job.dir / "report.json").exists(), done.stderr
    assert re.search(r"WARN  \S*report.json.part: cannot write: No space left on device\n", done.stderr), done.stderr
    assert re.search(r"stopped early: by \[run\] walltime .* it goes on from layer 1 of sweep 1\n", done.stderr), done.stderr


def test_full_disk(job, whole):
    """A restart file that cannot be written is told, and no failure of the run."""
    ids(job.dir / "evaluation.npy", (40000,))
    assert job.run(1, "--set", "restart.every=off").returncode == 0
    expected, _ = job.content(), (job.dir / "pruned.h5").unlink()
    (job.dir / "report.json").unlink()
    done = mpirun(1, "-c", f"ulimit -f 1024; exec {BINARY} {job.config}", program="sh")  # KiB: the checkpoint is smaller
    assert done.returncode == 0, done.stderr
    assert "pruned.h5.restart.0: cannot resize: File too large" in done.stderr
    assert any("restart file could not be written" in w["text"] and w["count"] > 1 for w in job.report()["warnings"])
    assert job.content() == expected and job.files() == ["pruned.h5"]


def test_failure_keeps_what_is_done(job):
    """Something gets in the way of the last rename: exit code 4, and after that is gone the run goes on."""
    ids(job.dir / "evaluation.npy", (40000,))
    process = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, job.config],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
    while "prune layer 0 (1 of" not in process.stderr.readline():
        pass
    (job.dir / "pruned.h5").mkdir()
    error = process.communicate(timeout=HANGS)[1]
    assert process.returncode == IO and "will not be replaced" in error, error
    assert f"restart files are kept: the same config goes on from layer {LAYERS} of sweep 2" in error
    (job.dir / "pruned.h5").rmdir()
    assert "pruned.h5.part" in job.files()
    done = job.run(1)
    assert done.returncode == 0 and f"going on from layer {LAYERS} of sweep 2" in done.stderr, done.stderr
    assert job.files() == ["pruned.h5"] and mpirun(1, "--verify", job.dir / "pruned.h5").returncode == 0


@pytest.mark.parametrize("stops", [2, LAYERS, LAYERS + 2])
def test_another_type(stops, stopped, tmp_path):
    """Nothing of sweep 1 depends on the output's type: the survey is kept, what sweep 2 has written begins anew."""
    whole = Job(tmp_path, output={"dtype": "bf16"})
    assert whole.run(1).returncode == 0
    job = stopped(stops)
    done = job.run(2, "--set", "output.dtype=bf16")
    assert done.returncode == 0 and "going on from layer" in done.stderr, done.stderr
    assert ("sweep 2 begins anew, the survey is kept" in done.stderr) == (stops > LAYERS), done.stderr
    assert "survey layer 1 " not in done.stderr
    job.matches(whole)


def test_a_type_that_does_not_hold_it(tmp_path):
    """Said with the weight's name when it is read, in sweep 1 too where nothing scores the output matrix; another type goes on."""
    job = Job(tmp_path, output={"dtype": "fp16"})
    job.config.write_text(re.sub(r"\[evaluate\][^\[]*", "", job.config.read_text()))
    job.arguments = lambda *arguments: [*arguments, job.config]
    build(tmp_path / "model", config={"num_hidden_layers": LAYERS, "tie_word_embeddings": False, "vocab_size": BYTE_VOCABULARY,
                                      "max_position_embeddings": 96},
          change=lambda w: w["lm_head.weight"].__imul__(1e6))
    done = job.run(2)
    assert done.returncode == CONFIG and "prune layer" not in done.stderr, done.stderr
    assert re.search(r"\[output\] dtype = fp16: .*: lm_head.weight has .* as number .*expected at most 65504", done.stderr), done.stderr
    assert "restart files are kept: the run goes on once that is mended in the config" in done.stderr, done.stderr
    done = job.run(2, "--set", "output.dtype=bf16")
    assert done.returncode == 0 and f"going on from layer {LAYERS - 1} of sweep 1" in done.stderr, done.stderr
