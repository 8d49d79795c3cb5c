"""[calibration] save: one survey for many sparsities. What is read gives the same bytes as what is found out again; what
does not fit is refused by name; what is damaged is never believed."""
import fcntl, json, os, re, shutil, subprocess, zlib

import h5py
import numpy as np
import pytest

from helpers import BINARY, HANGS, environment, mpirun, write_config
from test_ranks import datasets
from tiny_model import BYTE_VOCABULARY, make_byte_model, make_ids

USAGE, INPUT, IO = 2, 3, 4
OTHER = {"prune": {"sparsity": 0.33, "k": 2, "mlp_num": 2, "ratio": 0.2, "skip_lowest": 0.1, "count_branches": "yes"}}


class Place:
    """A directory with a model, ids and a task, in which jobs run."""

    def __init__(self, directory):
        self.dir = directory
        make_byte_model(directory / "model", layers=4, config={"max_position_embeddings": 64})
        make_ids(directory / "calibration.npy", rows=7)
        make_ids(directory / "evaluation.npy", rows=7, seed=2)
        rows = [{"passage": "p" * i, "question": "is it", "answer": i % 2 == 0} for i in range(1, 5)]
        (directory / "boolq.jsonl").write_text("\n".join(map(json.dumps, rows)))
        self.stats = directory / "stats.h5"

    def run(self, name, sections=(), ranks=0, save=True, options=(), code=0):
        """Without mpirun if ranks is 0. Returns report and standard error."""
        whole = {"model": {"path": "model"}, "prune": {"mlp_num": 1, "ratio": 0.1},
                 "calibration": {"tokens": "calibration.npy", "samples": 7, "length": 8} | ({"save": "stats.h5"} if save else {}),
                 "evaluate": {"tokens": "evaluation.npy", "length": 8, "tasks": "boolq:boolq.jsonl"},
                 "output": {"checkpoint": f"{name}.h5", "report": f"{name}.json", "dtype": "bf16"}}
        for section, keys in dict(sections).items():
            whole[section] = whole[section] | keys
        config = write_config(self.dir / f"{name}.ini", whole)
        arguments = [*options, config, f"--predictions={self.dir / name}.jsonl"]
        done = (mpirun(ranks, *arguments) if ranks else
                subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=HANGS, env=environment()))
        assert done.returncode == code, done.stderr
        return json.loads((self.dir / f"{name}.json").read_text()), done.stderr

    def same(self, name, other):
        mine, its = datasets(self.dir / f"{name}.h5"), datasets(self.dir / f"{other}.h5")
        assert mine.keys() == its.keys() and [key for key in mine if mine[key] != its[key]] == []
        assert (self.dir / f"{name}.jsonl").read_text() == (self.dir / f"{other}.jsonl").read_text()
        reports = [json.loads((self.dir / f"{which}.json").read_text()) for which in (name, other)]
        for member in "tasks", "linearity_score", "calibrated_layers":
            assert reports[0][member] == reports[1][member], member
        for model in {"dense", "pruned"} & reports[0]["perplexity"].keys():  # its sum over ranks may differ in a last bit
            assert reports[0]["perplexity"][model] == pytest.approx(reports[1]["perplexity"][model], rel=1e-12)


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    """Statistics that two ranks have saved; and what a run with another sparsity gives without them."""
    place = Place(tmp_path_factory.mktemp("saved"))
    report, _ = place.run("first", ranks=2)
    assert report["survey"] == "made" and place.stats.exists() and not list(place.dir.glob("*.part"))
    report, _ = place.run("plain", OTHER, save=False)
    assert report["survey"] == "made"
    return place


@pytest.fixture
def place(surveyed, tmp_path):
    """The same, for a test that spoils it."""
    copy = Place.__new__(Place)
    copy.dir = tmp_path / "copy"
    shutil.copytree(surveyed.dir, copy.dir)  # with times: the model is the same
    copy.stats = copy.dir / "stats.h5"
    return copy


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_is_read_gives_the_same_bytes(surveyed, ranks):
    before, name = surveyed.stats.read_bytes(), f"reused{ranks}"
    report, said = surveyed.run(name, OTHER, ranks=ranks)
    assert report["survey"].startswith("read from ") and report["survey"].endswith("stats.h5")
    assert "survey: read from " in said and "survey layer" not in said and "evaluate layer" not in said
    surveyed.same(name, "plain")
    assert surveyed.stats.read_bytes() == before


def test_interrupted_after_reading(place):
    """Restart files of a run that has not timed the dense model's questions."""
    stop = ["--set=restart.cost=1", "--set=run.walltime=00:00:01"]
    for at in "layer 0 of sweep 2", "layer 1 of sweep 2":
        report, said = place.run("cut", OTHER, options=stop, code=75)
        assert at in report["message"] and "could not be written" not in said, said
    _, said = place.run("cut", OTHER, ranks=2)
    assert "going on from layer 1 of sweep 2" in said, said
    place.same("cut", "plain")


@pytest.mark.parametrize("evaluate", [{"length": 4}, {"limit": 2}, {"dense": "no"}], ids=lambda e: next(iter(e)))
def test_other_evaluations(surveyed, evaluate):
    """The dense model is evaluated anew where its scores are of something else, and not where nobody asks for them."""
    [name], sections = evaluate, OTHER | {"evaluate": evaluate}
    report, said = surveyed.run(name, sections)
    surveyed.run(name + "plain", sections, save=False)
    assert report["survey"].startswith("read from ") and "survey layer" not in said
    assert ("evaluate layer 3 (4 of 4)" in said) == (name != "dense")
    surveyed.same(name, name + "plain")


@pytest.mark.parametrize("sections, code, said", [
    ({"prune": {"percdamp": 0.25}}, USAGE, "percdamp was 0.5, is 0.25"),
    ({"calibration": {"samples": 6}}, USAGE, "samples was 7, is 6"),
    ({"solver": {"eigen": "lapack"}}, USAGE, "eigen was \"auto\", is \"lapack\""),
    ({"solver": {"precision": "double"}}, USAGE, "precision was \"auto\", is \"double\""),
], ids=["percdamp", "samples", "solver", "precision"])
def test_other_settings(place, sections, code, said):
    before = place.stats.read_bytes()
    report, error = run_other(place, sections, code)
    assert said in error and "--fresh" in error and place.stats.read_bytes() == before
    assert report["status"] == "failed" and report["exit_code"] == code


def run_other(place, sections, code, **more):
    """Sections that Place.run does not know are set on the command line."""
    options = [f"--set={s}.{k}={v}" for s, keys in sections.items() for k, v in keys.items()]
    return place.run("other", options=[*options, *more.pop("options", [])], code=code, **more)


def test_other_data(place):
    make_ids(place.dir / "calibration.npy", rows=7, seed=9)
    _, said = place.run("other", code=INPUT)
    assert "calibration was" in said and "stats.h5" in said
    shutil.copy(place.dir / "evaluation.npy", place.dir / "calibration.npy")
    _, said = place.run("other", ranks=3, code=INPUT)
    assert said.count("olica_mpi:") == 1


def test_other_weights(place):
    """Of the same shapes, size and time of change, as in images and package stores that set all times alike: a number in the middle of one tensor."""
    path, before = place.dir / "model/model.safetensors", place.stats.read_bytes()
    image, times = bytearray(path.read_bytes()), path.stat()
    image[-4 * BYTE_VOCABULARY * 16 // 2] ^= 1  # the last tensor is the output matrix
    path.write_bytes(image)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for ranks in 0, 2:
        _, said = place.run("other", ranks=ranks, code=INPUT)
        assert re.search(r'stats.h5: is of another run: weights of model.safetensors was "index \w+, sample \w+", is "index', said), said
    assert place.stats.read_bytes() == before


def test_an_older_program(place):
    """Its fingerprint said less."""
    def act(sets, attributes):
        value, about = sets["meta/about_json"]
        text = json.loads(value.tobytes().rstrip(b"\0"))
        del text["survey"]["program"]["fingerprint"], text["survey"]["model"]["weights of model.safetensors"]
        value = np.frombuffer(json.dumps(text).encode() + b"\0" * value.tobytes().endswith(b"\0"), value.dtype)
        sets["meta/about_json"] = value, about | {"crc32": np.uint32(zlib.crc32(value.tobytes()))}
    rewritten(act)(place.stats)
    _, said = place.run("other", code=USAGE)
    assert "fingerprint was not there, is 3; weights of model.safetensors was not there" in said, said


@pytest.mark.parametrize("how", ["--fresh", "--set=output.overwrite=yes"])
def test_replaced_where_asked_for(place, how):
    before = place.stats.read_bytes()
    report, said = run_other(place, {"prune": {"percdamp": 0.25}}, 0, options=[how])
    assert report["survey"] == "made" and "it is replaced" in said and place.stats.read_bytes() != before
    report, _ = place.run("again", options=["--set=prune.percdamp=0.25", "--set=prune.sparsity=0.1"])
    assert report["survey"].startswith("read from ")


def test_fresh_surveys_again(place):
    report, _ = place.run("fresh", options=["--fresh"])
    assert report["survey"] == "made"


# ---- hostile files ----

def rewritten(change):
    def act(path):
        with h5py.File(path) as old:
            sets = {name: (old[name][()], dict(old[name].attrs)) for name in
                    ("meta/about_json", "survey/output_energy", "survey/score", "dense/perplexity", "dense/likelihood")}
            attributes = dict(old.attrs)
        change(sets, attributes)
        with h5py.File(path, "w", libver="v108") as new:
            for name, value in attributes.items():
                new.attrs[name] = np.bytes_(value) if isinstance(value, (bytes, str)) else value
            for name, (value, about) in sets.items():
                new[name] = value
                for key, x in about.items():
                    new[name].attrs[key] = np.bytes_(x) if isinstance(x, (bytes, str)) else x
    return act


def numbers(name, change):
    """With a checksum that fits."""
    def act(sets, attributes):
        value, about = sets[name]
        value = np.ascontiguousarray(change(value))
        sets[name] = value, about | {"crc32": np.uint32(zlib.crc32(value.tobytes()))}
    return rewritten(act)


def spoiled(at, value):
    def change(x):
        x = x.copy()
        x.flat[at] = value
        return x
    return change


def flip(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 4
    path.write_bytes(data)


def flipped(path):
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        at = file["survey/output_energy"].id.get_offset() + 11
    data[at] ^= 4
    path.write_bytes(data)


def headless(path):
    """Cut off, and its first bytes do not tell any more whose it is."""
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes(100) + data[160:-5000])


FOREIGN = {
    "empty": (lambda path: path.write_bytes(b""), "not an HDF5 file|ends at"),
    "text": (lambda path: path.write_text("precious notes\n"), "not an HDF5 file"),
    "ids": (lambda path: shutil.copy(path.parent / "calibration.npy", path), "not an HDF5 file"),
    "a checkpoint": (lambda path: shutil.copy(path.parent / "first.h5", path), "olica-statistics"),
    "half a checkpoint": (lambda path: path.write_bytes((path.parent / "first.h5").read_bytes()[:-5000]), "cannot open"),
    "headless": (headless, "cannot open"),
}
HOSTILE = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "stats.h5"),
    "a bit flipped": (flipped, "output_energy has checksum"),
    "a bit of its structure flipped": (lambda path: flip(path, 0xf2), "stats.h5"),
    "NaN": (numbers("survey/score", spoiled(0, np.nan)), "score has nan"),
    "negative energy": (numbers("survey/output_energy", spoiled(3, -1.0)), "output_energy has -1"),
    "more layers": (numbers("survey/score", lambda x: np.concatenate([x, x])), "survey/score is fp64 [8], expected fp64 [4]"),
    "one choice": (numbers("dense/likelihood", lambda x: x[:1]), "dense/likelihood"),
    "no text": (numbers("meta/about_json", lambda x: x * 0 + 65), "does not say"),
    "no energies": (rewritten(lambda sets, attributes: sets.pop("survey/output_energy")), "output_energy is missing"),
    "a stranger": (rewritten(lambda sets, attributes: sets.update({"survey/other": sets["survey/score"]})), "survey/other does not belong"),
    "incomplete": (rewritten(lambda sets, attributes: attributes.update(complete=0)), "complete"),
    "no checksum": (rewritten(lambda sets, attributes: sets["survey/score"][1].pop("crc32")), "survey/score has no attribute crc32"),
}


def refused(place, spoil, says, options=(), ranks=0):
    act, said = spoil
    act(place.stats)
    before = place.stats.read_bytes()
    report, error = place.run("other", options=options, ranks=ranks, code=INPUT)
    assert any(words in error for words in said.split("|")) and "[calibration] save: " in error and says in error, error
    assert error.count("olica_mpi:") == 1 and place.stats.read_bytes() == before and report["status"] == "failed"
    assert not list(place.dir.glob("stats.h5.*"))


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_stays(place, name):
    """Whatever is asked for: it may be anybody's."""
    for options in [], ["--set=output.overwrite=yes"], ["--fresh"]:
        refused(place, FOREIGN[name], "it stays: remove it or name another", options, ranks=2 if options else 0)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_damaged(place, name):
    """Refused, with a way out; replaced where that is asked for, by what is found out as if it had never been there."""
    several = 2 if name in ("NaN", "truncated", "a bit flipped") else 0
    refused(place, HOSTILE[name], "overwrite = yes or --fresh replaces it", ranks=several)
    report, said = place.run("other", OTHER, options=["--fresh" if name == "truncated" else "--set=output.overwrite=yes"], ranks=several)
    assert report["survey"] == "made" and "stats.h5" in said and "; it is replaced" in said, said
    place.same("other", "plain")
    report, _ = place.run("again", OTHER)
    assert report["survey"].startswith("read from ") and not list(place.dir.glob("stats.h5.*"))


# ---- other jobs at the same time ----

def together(place, count):
    """So many jobs at once that differ in their outputs; their standard errors."""
    configs = [write_config(place.dir / f"t{i}.ini", {
        "model": {"path": "model"}, "prune": {"mlp_num": 1, "ratio": 0.1}, "evaluate": {"tokens": "evaluation.npy", "length": 8},
        "calibration": {"tokens": "calibration.npy", "samples": 7, "length": 8, "save": "stats.h5"},
        "output": {"checkpoint": f"t{i}.h5", "report": f"t{i}.json", "overwrite": "yes"}}) for i in range(count)]
    running = [subprocess.Popen([BINARY, config], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment()) for config in configs]
    said = [job.communicate(timeout=HANGS)[1] for job in running]
    assert [job.returncode for job in running] == [0] * count, said
    return said


def test_jobs_at_once(place):
    """Whichever saves first: all end well, and what lies there is whole."""
    for _ in range(4):
        place.stats.unlink(missing_ok=True)
        said = "".join(together(place, 3))
        assert "saved in" in said, said
        assert not list(place.dir.glob("stats.h5.*"))
        assert all("survey: read from" in text for text in together(place, 2))
    report, _ = place.run("again", OTHER)
    assert report["survey"].startswith("read from ")
    place.same("again", "plain")


def test_while_another_job_writes(place):
    """It has the lock: this one does not wait for it, nor fail."""
    place.stats.unlink()
    with open(place.dir / "stats.h5.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        report, said = place.run("plain2", OTHER, ranks=2)
        assert not place.stats.exists() and (place.dir / "stats.h5.lock").exists()
    words = "[calibration] save: another job is writing "
    assert words in said and "stats.h5; this one goes on without" in said and said.count(words) == 1, said
    assert words in json.dumps(report["warnings"]) and report["survey"] == "made"
    place.same("plain2", "plain")


def test_what_is_no_lock(place):
    """Known before the survey."""
    (place.dir / "stats.h5.lock").write_text("precious")
    _, said = place.run("other", ranks=2, code=USAGE)
    assert "stats.h5.lock: is not a lock and is left as it is" in said and "survey layer" not in said, said
    assert (place.dir / "stats.h5.lock").read_text() == "precious"


@pytest.mark.parametrize("there", [False, True])
def test_what_comes_meanwhile_stays(place, there):
    """Also where the run replaces the file that it has found: this one it has not seen."""
    if not there:
        place.stats.unlink()
    config = place.run("plain2", OTHER, options=["--fresh"], ranks=2) and place.dir / "plain2.ini"  # writes the config
    if not there:
        place.stats.unlink()
    running = subprocess.Popen([BINARY, "--fresh", "--set=output.overwrite=yes", config], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               text=True, env=environment())
    lines = []
    for line in running.stderr:
        lines.append(line)
        if "survey layer 0 (1 of" in line:
            (place.dir / "new").write_text("precious")
            os.rename(place.dir / "new", place.stats)
            break
    said = "".join(lines) + running.communicate(timeout=HANGS)[1]
    assert running.returncode == 0 and "stats.h5 has come while this job ran: it stays" in said, said
    assert place.stats.read_text() == "precious" and not list(place.dir.glob("stats.h5.*"))
    place.same("plain2", "plain")


def test_no_two_outputs_in_one_file(place):
    before = place.stats.read_bytes()
    config = place.dir / "first.ini"
    done = subprocess.run([BINARY, f"--set=output.checkpoint={place.stats}", config], capture_output=True, text=True, timeout=HANGS, env=environment())
    assert done.returncode == USAGE and "[calibration] save" in done.stderr and place.stats.read_bytes() == before
    planned = subprocess.run([BINARY, "--check", "--set=output.overwrite=yes", config], capture_output=True, text=True, timeout=HANGS, env=environment())
    assert planned.returncode == 0 and "stats.h5: would be read" in planned.stdout


def test_where_nothing_can_be_written(place):
    """Known before the survey."""
    _, said = place.run("other", options=["--set=calibration.save=nowhere/stats.h5"], code=IO)
    assert "nowhere" in said and "survey layer" not in said
