"""Outputs: no file is overwritten by mistake, no result is lost, and a result that cannot be reported is a failure."""
import json, os, signal, subprocess, time
from pathlib import Path

import pytest

from damage import Job, both, put, tasks
from faults import inject
from helpers import BINARY, DEMO, HANGS, environment, mpirun, write_config

IO, USAGE, STOPPED = 4, 2, 75


def demo(directory, **output):
    return write_config(directory / "demo.ini", {
        "model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy"}, "prune": {"mlp_num": 1},
        "output": {"checkpoint": directory / "p.h5", "report": directory / "r.json", **output}})


def start(config, ranks=2):
    return subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), BINARY, config], stderr=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, text=True, env=environment(OMPI_MCA_mpi_yield_when_idle=1))


def wait_for(condition, seconds=HANGS):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.005)
    return found


def test_long_paths(tmp_path):
    """Open MPI builds names beside the checkpoint's in 256 bytes."""
    job = Job(tmp_path)
    name = "/".join(["out", "d" * 120, "e" * 150, "f" * 100])
    (job.dir / name).mkdir(parents=True)
    put("output", checkpoint=f"{name}/pruned.h5", report=f"{name}/report.json")(job)
    put("calibration", save=f"{name}/stats.h5")(job)
    done = job.run(2)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (job.dir / name).iterdir()) == ["pruned.h5", "report.json", "stats.h5"]


def test_what_appears_meanwhile_stays(tmp_path):
    """overwrite = no holds to the end; the new checkpoint stays under its other name, whole."""
    running = start(demo(tmp_path))
    wait_for((tmp_path / "p.h5.part").exists)
    (tmp_path / "p.h5").write_text("precious")
    _, said = running.communicate(timeout=HANGS)
    assert running.returncode == IO and "p.h5.part is whole and stays, but" in said, said
    assert (tmp_path / "p.h5").read_text() == "precious"
    assert mpirun(1, "--verify", tmp_path / "p.h5.part").returncode == 0


def test_one_job_at_a_time(tmp_path):
    """The second of two jobs of one config ends at once, the first is none the worse for it."""
    first = start(demo(tmp_path))
    wait_for((tmp_path / "p.h5.lock").exists)
    second = mpirun(2, tmp_path / "demo.ini")
    _, said = first.communicate(timeout=HANGS)
    assert second.returncode == IO and "another job is writing it" in second.stderr, second.stderr
    assert first.returncode == 0, said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.ini", "p.h5", "r.json"]
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "ok"


def test_no_other_file_is_taken_for_a_lock(tmp_path):
    """A lock is removed in the end: what is called so and is none is refused before the work. An empty one is of a job that was killed."""
    config, lock = demo(tmp_path), tmp_path / "p.h5.lock"
    makers = {"a file": lambda: lock.write_text("precious"), "a link": lambda: lock.symlink_to(config), "a link to nothing": lambda: lock.symlink_to("no"),
              "a pipe": lambda: os.mkfifo(lock), "a directory": lock.mkdir}
    for what, make in makers.items():
        make()
        before = os.lstat(lock)
        done = mpirun(2, config)
        assert done.returncode == USAGE and "p.h5.lock: is not a lock and is left as it is" in done.stderr, (what, done.stderr)
        assert os.lstat(lock) == before and not (tmp_path / "p.h5").exists(), what
        lock.rmdir() if what == "a directory" else lock.unlink()
    lock.touch()
    assert mpirun(2, config).returncode == 0 and not lock.exists()


def test_another_lock_stays(tmp_path):
    """Somebody removes the lock of a job that runs, and the next job makes its own: that is not the first one's to remove."""
    running, lock = start(demo(tmp_path)), tmp_path / "p.h5.lock"
    wait_for(lock.exists)
    lock.unlink()
    lock.touch()
    _, said = running.communicate(timeout=HANGS)
    assert running.returncode == 0 and lock.exists(), said


def test_a_lock_that_cannot_be_opened(tmp_path):
    """Another user's. The superuser opens everything: so an immutable file, where there are such."""
    config, lock = demo(tmp_path), tmp_path / "p.h5.lock"
    lock.touch(mode=0)
    if os.getuid() == 0 and subprocess.run(["chattr", "+i", lock], capture_output=True).returncode != 0:
        pytest.skip("skipped: no file can be closed to the superuser here")
    try:
        done = mpirun(2, config)
    finally:
        if os.getuid() == 0:
            subprocess.run(["chattr", "-i", lock], check=True)
    assert done.returncode == IO and "cannot open: " in done.stderr and "may be removed if no job runs" in done.stderr, done.stderr
    assert lock.exists()


def test_locks_are_outputs(tmp_path):
    """No output and no input may lie where a lock is made."""
    job = Job(tmp_path)
    put("calibration", save="out/stats.h5")(job)
    for owner, name in ("[output] checkpoint", "pruned.h5.lock"), ("[calibration] save", "stats.h5.lock"):
        done = job.run(0, f"--set=output.report=out/{name}")
        assert done.returncode == USAGE and f"{owner} and [output] report are both" in done.stderr, done.stderr
        text = job.out / name
        text.write_bytes((job.dir / "evaluation.npy").read_bytes())
        done = job.run(0, f"--set=evaluate.tokens=out/{name}")
        assert done.returncode == USAGE and f"{owner} would be written over [evaluate] tokens" in done.stderr, done.stderr
        text.unlink()
    assert names(job) == ["report.json"] and told(job) == ("failed", USAGE)  # the report's own name was free


def test_what_is_no_report_stays(tmp_path):
    job = Job(tmp_path)
    notes = job.out / "report.json"
    for text in "my precious notes", '{"status": "ok"}':
        notes.write_text(text)
        done = job.run(2)
        assert done.returncode == USAGE and "is no report" in done.stderr, done.stderr
        assert notes.read_text() == text and job.content() is None
    put("output", overwrite="yes")(job)
    assert job.run(2).returncode == 0


def test_predictions_that_cannot_be_written(tmp_path):
    """The checkpoint has no name before they are written: the same config goes on."""
    job = Job(tmp_path)
    both(tasks(), put("restart", cost=1))(job)
    job.arguments = ["--predictions", "p.jsonl"]
    environment = {"LD_PRELOAD": inject.SHIM, "OLICA_FAULT": "rank=0 call=write path=p.jsonl do=ENOSPC"}
    job.shell = "; ".join(f"export {name}='{value}'" for name, value in environment.items())
    done = job.run(2)
    assert done.returncode == IO and "p.jsonl" in done.stderr and "goes on from" in done.stderr and job.content() is None, done.stderr
    job.shell = ""
    done = job.run(2)
    assert done.returncode == 0 and "going on from" in done.stderr, done.stderr
    assert job.content() and (job.dir / "p.jsonl").exists()


def test_answers_that_nobody_can_read(tmp_path):
    job = Job(tmp_path)
    assert job.run(2).returncode == 0
    config = write_config(tmp_path / "c.ini", {**job.sections, "output": {"checkpoint": "other.h5"}})
    for arguments in (["--help"], ["--list"], ["--version"], ["--check", config], ["--verify", job.out / "pruned.h5"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BINARY, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, env=environment(), cwd=job.dir, timeout=HANGS)
        assert done.returncode == IO and b"standard output: cannot write" in done.stderr, arguments
    closed = subprocess.run(f"exec {BINARY} --verify {job.out / 'pruned.h5'} <&- >&- 2>&-", shell=True, env=environment(), timeout=HANGS)
    assert closed.returncode == 0


def test_ranks_that_are_asked_for_different_things(tmp_path):
    config = demo(tmp_path)
    for other in (["--set", "prune.sparsity=0.3", config], ["--chekc", config], []):
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", "1", BINARY, config, ":", "-n", "1", BINARY, *other],
                              capture_output=True, text=True, timeout=HANGS, env=environment(OMPI_MCA_mpi_yield_when_idle=1))
        assert done.returncode == USAGE and " ERROR olica_mpi: configuration error: " in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["demo.ini"]


def catches(pid):
    try:
        line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1


def test_signal_before_the_work(tmp_path):
    """USR1 while MPI starts and inputs are read: noted, and the run stops at its first boundary."""
    running = start(demo(tmp_path), ranks=1)
    children = lambda: Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    pid = int(wait_for(children)[0])
    wait_for(lambda: catches(pid) and "olica_mpi" in Path(f"/proc/{pid}/comm").read_text())
    os.kill(pid, signal.SIGUSR1)
    _, said = running.communicate(timeout=HANGS)
    assert running.returncode == STOPPED and "survey layer 1" not in said, said
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "stopped"


LINKED = {"[output] checkpoint": "p.h5", "[output] report": "r.json", "[calibration] save": "s.h5", "--dump-tokens": "d.npy", "--predictions": "q.jsonl"}


def linked_job(directory, **output):
    """A job with every output, all in home/; `config` alone stands beside it."""
    job = Job(directory)
    tasks()(job)
    (directory / "home").mkdir()
    put("output", checkpoint="home/p.h5", report="home/r.json", overwrite="yes", **output)(job)
    put("calibration", save="home/s.h5")(job)
    job.arguments = ["--dump-tokens=home/d.npy", "--predictions=home/q.jsonl"]
    return job


@pytest.mark.parametrize("how", ["to a file", "to nothing", "chain"])
def test_links_are_followed(tmp_path, how):
    """Each output goes where its link leads, on another file system too, and the links stay."""
    job = linked_job(tmp_path)
    scratch = Path("/dev/shm") / f"olica-links-{os.getpid()}-{how[3:8]}"
    scratch.mkdir()
    try:
        for name in LINKED.values():
            link = job.dir / "home" / name
            if how == "to a file" and name != "s.h5":
                (scratch / name).touch()
            if how == "chain":
                (job.dir / name).symlink_to(scratch / name)
                link.symlink_to(f"../{name}")
            else:
                link.symlink_to(scratch / name)
        done = job.run(2)
        assert done.returncode == 0, done.stderr
        for setting, name in LINKED.items():
            assert f"{setting}: home/{name} is a link; what is written is " in done.stderr, done.stderr
            assert (job.dir / "home" / name).is_symlink() and (scratch / name).stat().st_size > 0, name
        assert {p.name for p in scratch.iterdir()} == set(LINKED.values()) == {p.name for p in (job.dir / "home").iterdir()}
        assert mpirun(1, "--verify", scratch / "p.h5").returncode == 0
        again = job.run(2)  # the saved statistics are read through their link
        assert again.returncode == 0 and "survey: read from" in again.stderr, again.stderr
    finally:
        subprocess.run(["rm", "-r", scratch], check=True)


def test_a_restart_through_a_link(tmp_path):
    """Restart files lie beside the target: whoever names that, or the link, goes on."""
    job = linked_job(tmp_path)
    (job.dir / "scratch").mkdir()
    (job.dir / "home/p.h5").symlink_to("../scratch/p.h5")
    put("restart", cost=1)(job)
    job.arguments = []
    done = job.run(2, "--set", "run.walltime=00:00:01", "--set", "output.report=home/no/r.json")
    assert done.returncode == IO, done.stderr
    done = job.run(2, "--set", "run.walltime=00:00:01")
    assert done.returncode in (0, STOPPED), done.stderr
    if done.returncode == STOPPED:
        assert list((job.dir / "scratch").glob("p.h5.restart.*")) and not list((job.dir / "home").glob("*restart*"))
        done = job.run(2, "--set", "output.checkpoint=scratch/p.h5")
        assert done.returncode == 0 and "going on from" in done.stderr, done.stderr
    assert (job.dir / "home/p.h5").is_symlink() and (job.dir / "scratch/p.h5").is_file()


@pytest.mark.parametrize("setting", LINKED)
def test_links_that_lead_nowhere(tmp_path, setting):
    """Refused before the work: a circle, a directory, a directory that is not there, a slash at the end."""
    job = linked_job(tmp_path)
    link = job.dir / "home" / LINKED[setting]
    makers = {"Too many levels": lambda: link.symlink_to(link.name), "directory": lambda: link.symlink_to(".."),
              "no directory": lambda: link.symlink_to("../none/x/file"), "pipe": lambda: (os.mkfifo(job.dir / "pipe"), link.symlink_to("../pipe"))}
    for said, make in makers.items():
        make()
        done = job.run(2)
        assert done.returncode in (USAGE, IO) and "survey layer" not in done.stderr, done.stderr
        assert said in done.stderr or "no regular file" in done.stderr, (said, done.stderr)
        assert link.is_symlink()
        link.unlink()
    name = setting.strip("[").replace("] ", ".")
    argument = f"{setting}=home/new/" if setting.startswith("--") else f"--set={name}=home/new/"
    done = job.run(2, argument) if not setting.startswith("--") else mpirun(2, *job.arguments, argument, "config.ini", cwd=job.dir)
    assert done.returncode == USAGE and f"{setting}: home/new/ ends in a slash" in done.stderr, done.stderr
    assert not link.exists()


def test_a_link_to_nothing_is_not_written_through_unasked(tmp_path):
    job = linked_job(tmp_path)
    put("output", overwrite="no")(job)
    (job.dir / "home/p.h5").symlink_to("../p.h5")
    for ranks, arguments in (2, []), (0, ["--check"]):
        done = job.run(ranks, *arguments)
        assert done.returncode == USAGE and "home/p.h5 exists; [output] overwrite = yes" in done.stderr, done.stderr
    assert not (job.dir / "p.h5").exists()


def test_outputs_that_are_one_file_by_links(tmp_path):
    job = linked_job(tmp_path)
    (job.dir / "home/r.json").symlink_to("p.h5")
    done = job.run(0)
    assert done.returncode == USAGE and "[output] checkpoint and [output] report are both" in done.stderr, done.stderr
    (job.dir / "home/r.json").unlink()
    (job.dir / "home/p.h5").symlink_to("../calibration.npy")
    done = job.run(0)
    assert done.returncode == USAGE and "would be written over [calibration] tokens" in done.stderr, done.stderr


def test_hard_links_keep_what_they_have(tmp_path):
    job = linked_job(tmp_path)
    (job.dir / "home/p.h5").write_text("old")
    os.link(job.dir / "home/p.h5", job.dir / "other")
    done = job.run(2)
    assert done.returncode == 0 and "WARN  [output] checkpoint: home/p.h5 has other names (hard links)" in done.stderr, done.stderr
    assert (job.dir / "other").read_text() == "old" and (job.dir / "home/p.h5").stat().st_size > 1000


def test_names_of_every_kind(tmp_path):
    """Blanks, letters beyond ASCII, marks of a shell; and the part of a directory that is not there is named."""
    job = linked_job(tmp_path)
    for name in "a b", "größe", "it's", "100%s", "a;b#c", "(x)&y", "-p":
        done = job.run(0, f"--set=output.checkpoint=home/{name}/{name}.h5", "--set=output.report=")
        assert done.returncode == IO and f"home/{name}/." in done.stderr, done.stderr
        (job.dir / "home" / name).mkdir()
        done = job.run(2, f"--set=output.checkpoint=home/{name}/{name}.h5", "--set=output.report=")
        assert done.returncode == 0 and (job.dir / "home" / name / f"{name}.h5").is_file(), done.stderr
    done = job.run(0, "--set=output.checkpoint=home/no/such/place/p.h5")
    assert done.returncode == IO and "home/no: No such file" in done.stderr, done.stderr
    done = job.run(0, "--set=output.checkpoint=calibration.npy/x/p.h5")
    assert done.returncode == IO and "calibration.npy: Not a directory" in done.stderr, done.stderr


# ---- the report's name belongs to one run ----

FAILS = ("--set", "compute.memory=2MiB")  # a limit that no plan meets


def told(job, name="report.json"):
    report = json.loads((job.out / name).read_text())
    return report["status"], report.get("exit_code")


def names(job):
    return sorted(path.name for path in job.out.iterdir())


@pytest.fixture
def done(tmp_path):
    """A job that has ended well, with its report."""
    job = Job(tmp_path)
    assert job.run(2).returncode == 0
    return job, (job.out / "report.json").read_bytes(), job.content()


@pytest.mark.parametrize("how", [FAILS, ("--set", "prune.sparsity=0.99"), ("--set", "model.path=nowhere"), ("--set", "evaluate.stride=9"),
                                 ("--set", "calibration.text=alpaca:x.json"), ("--predictions", "evaluation.npy", "--set", f"evaluate.tasks=piqa:x")],
                         ids=["memory", "budget", "model", "together", "text and tokens", "another output"])
def test_a_report_of_every_failure(how, done):
    """Also of what is refused before the work. The good one stays as it is without overwrite; with it, it is kept beside
    the failed run's, since its checkpoint is there still, until a run ends well."""
    job, good, checkpoint = done
    fresh = ("--set", "output.report=out/fresh.json", "--set", "output.checkpoint=out/other.h5")
    run = job.run(2, *fresh, *how)
    code = run.returncode
    assert code not in (0, 70) and told(job, "fresh.json") == ("failed", code), run.stderr
    (job.out / "fresh.json").unlink()
    run = job.run(2, "--set", "output.checkpoint=out/other.h5", *how)
    assert run.returncode == code and told(job, "report.failed.json") == ("failed", code), run.stderr
    assert "out/report.json stays as it is: the report of this run is out/report.failed.json" in run.stderr, run.stderr
    assert (job.out / "report.json").read_bytes() == good and names(job) == ["pruned.h5", "report.failed.json", "report.json"]
    for _ in range(2):
        run = job.run(2, "--set", "output.overwrite=yes", *how)
        assert run.returncode == code and told(job) == ("failed", code), run.stderr
        assert (job.out / "report.previous.json").read_bytes() == good and job.content() == checkpoint
    run = job.run(2, "--set", "output.overwrite=yes")
    assert run.returncode == 0 and told(job) == ("ok", 0), run.stderr
    assert names(job) == ["pruned.h5", "report.failed.json", "report.json"]


def test_a_good_report_is_a_result(done):
    """overwrite = no: also where there is no checkpoint to guard, and --check says so before."""
    job, good, _ = done
    alone = ("--set", "prune.method=none")
    for more in ((), ("--check",)):
        run = job.run(2, *alone, *more)
        assert run.returncode == USAGE and "out/report.json is the report of a run that ended well" in run.stderr, run.stderr
        assert (job.out / "report.json").read_bytes() == good
    assert told(job, "report.failed.json") == ("failed", USAGE)
    other = job.run(2, "--set", "output.checkpoint=out/other.h5")
    assert other.returncode == USAGE and not (job.out / "other.h5").exists()
    assert job.run(2, *alone, "--set", "output.overwrite=yes").returncode == 0 and told(job) == ("ok", 0)


@pytest.mark.parametrize("status", ["failed", "stopped", "running"])
def test_what_is_no_result_is_replaced(status, done):
    job, good, _ = done
    (job.out / "pruned.h5").unlink()
    (job.out / "report.json").write_bytes(good.replace(b'"status": "ok"', f'"status": "{status}"'.encode()))
    assert job.run(2).returncode == 0 and told(job) == ("ok", 0)
    assert names(job) == ["pruned.h5", "report.json"]


def test_a_report_that_is_no_report_beside(done):
    """The names beside it may be somebody's, too."""
    job, good, _ = done
    for name in "failed", "previous":
        (job.out / f"report.{name}.json").write_text("precious")
    run = job.run(2)
    assert run.returncode == USAGE and "report.failed.json: exists and stays: this run has no report" in run.stderr, run.stderr
    run = job.run(2, "--set", "output.overwrite=yes", *FAILS)
    assert run.returncode == 6 and told(job) == ("failed", 6) and "the one before is not kept" in run.stderr, run.stderr
    assert [(job.out / f"report.{name}.json").read_text() for name in ("failed", "previous")] == ["precious"] * 2


def test_settings_that_cannot_be_read(done):
    """Where the report belongs is not known then, and the log says that there is none."""
    job, good, _ = done
    run = job.run(2, "--set", "output.overwrite=yes", "--set", "prune.sparsty=0.3")
    assert run.returncode == USAGE and "no report is written: the settings could not be read" in run.stderr
    assert (job.out / "report.json").read_bytes() == good


@pytest.mark.parametrize("overwrite", ["no", "yes"])
def test_two_jobs_with_one_report(overwrite, tmp_path):
    """They write other checkpoints: the second ends at once, the first one's report is its own."""
    config = demo(tmp_path, overwrite=overwrite)
    first = start(config)
    wait_for(lambda: (tmp_path / "r.json").exists())
    marker = json.loads((tmp_path / "r.json").read_text())
    assert marker["status"] == "running" and "exit_code" not in marker and marker["run"]["pid"] > 0 and marker["run"]["host"]
    assert marker["settings"]["output"]["checkpoint"].endswith("p.h5")
    os.kill(marker["run"]["pid"], signal.SIGSTOP)  # for as long as the others take
    for more in ((), ("--set", "prune.sparsity=0.99"), ("--set", "evaluate.stride=900")):
        second = mpirun(2, "--set", "output.checkpoint=q.h5", *more, config)
        assert second.returncode == (IO if more[1:] != ("evaluate.stride=900",) else USAGE), second.stderr
        assert more or "r.json: another job is writing it" in second.stderr
        assert "is of another job, which runs: this one has no report" in second.stderr, second.stderr
    os.kill(marker["run"]["pid"], signal.SIGCONT)
    _, said = first.communicate(timeout=HANGS)
    assert first.returncode == 0, said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.ini", "p.h5", "r.json"]
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "ok"


def test_a_killed_run_is_not_the_one_before(tmp_path):
    """With overwrite its report takes the old one's place at the start: nobody takes the old "ok" for it."""
    config = demo(tmp_path, overwrite="yes")
    assert mpirun(2, config).returncode == 0
    good = (tmp_path / "r.json").read_bytes()
    running = start(config, ranks=1)
    wait_for(lambda: json.loads((tmp_path / "r.json").read_text())["status"] == "running" if (tmp_path / "r.json").exists() else False)
    os.kill(json.loads((tmp_path / "r.json").read_text())["run"]["pid"], signal.SIGKILL)
    running.communicate(timeout=HANGS)
    assert running.returncode != 0 and json.loads((tmp_path / "r.json").read_text())["status"] == "running"
    assert (tmp_path / "r.previous.json").read_bytes() == good
    assert mpirun(2, config).returncode == 0  # takes the killed one's place
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.ini", "p.h5", "r.json"]


def test_a_report_that_came_meanwhile(tmp_path):
    """overwrite = no holds to the end."""
    config = demo(tmp_path)
    running = start(config)
    wait_for((tmp_path / "p.h5.part").exists)
    (tmp_path / "r.json").write_text("precious")
    _, said = running.communicate(timeout=HANGS)
    assert running.returncode == IO and "r.json: has come while this job ran and stays" in said, said
    assert (tmp_path / "r.json").read_text() == "precious"


@pytest.mark.parametrize("report, code", [("r.json", 0), ("", IO)])
def test_a_table_that_nobody_can_read(report, code, tmp_path):
    """It repeats the report; without one it is the answer."""
    config = demo(tmp_path, report=report and tmp_path / report)
    with open("/dev/full", "w") as full:
        run = subprocess.run([BINARY, config], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=HANGS)
    assert run.returncode == code and "standard output: cannot write the closing table" in run.stderr, run.stderr
