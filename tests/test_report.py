"""The report says what the run did and no more: figures have the name of what they are of, what surrounds them is told,
it is JSON whatever the names and numbers."""
import json, os, re, subprocess, time

import pytest

from damage import Job, both, put, tasks
from helpers import BINARY, HANGS, environment, mpirun, write_config

OK, USAGE, IO, MEMORY, STOPPED = 0, 2, 4, 6, 75


def strict(text):
    """JSON as the standard has it: no NaN, no Infinity, each key once."""
    def refuse(word):
        raise AssertionError(word)

    def once(pairs):
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)
    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)


def report(job, name="report.json"):
    return strict((job.out / name).read_text(encoding="utf8"))


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A job that has pruned, with tasks."""
    job = Job(tmp_path_factory.mktemp("done"))
    both(tasks(), put("evaluate", limit=2))(job)
    run = job.run(2)
    assert run.returncode == OK, run.stderr
    return job, run


# ---- names ----

@pytest.mark.parametrize("path, kind", [("model", "huggingface"), ("out/pruned.h5", "checkpoint")])
def test_a_model_alone(done, path, kind, tmp_path):
    """What is evaluated is neither dense nor pruned: in the report, the table and the log. Predictions of an unpruned
    model are the dense one's."""
    job, _ = done
    config = write_config(job.dir / f"{kind}.ini", {**job.sections, "model": {"path": path}, "prune": {"method": "none"},
                                                    "output": {"report": tmp_path / "r.json"}})
    run = mpirun(2, "--predictions", tmp_path / "p.jsonl", config, cwd=job.dir)
    assert run.returncode == OK, run.stderr
    alone, pruning = strict((tmp_path / "r.json").read_text()), report(job)
    assert alone["model"]["kind"] == kind and pruning["model"]["kind"] == "huggingface"
    assert alone["perplexity"].keys() == {"model", "tokens", "windows"} and alone["parameters"].keys() == {"model"}
    assert pruning["perplexity"].keys() == {"dense", "pruned", "tokens", "windows"}
    which = "pruned" if kind == "checkpoint" else "dense"
    assert alone["parameters"]["model"] == pruning["parameters"][which]
    assert alone["perplexity"]["model"] == pytest.approx(pruning["perplexity"][which], rel=1e-6)
    for scores in (alone["tasks"]["mean"], alone["questions_per_s"], *(task for name, task in alone["tasks"].items() if name != "mean")):
        assert scores.keys() - {"n", "truncated", "tokens_cut"} == {"model"}
    for line in (tmp_path / "p.jsonl").read_text().splitlines():
        assert json.loads(line).keys() == {"task", "index", "gold", "model" if kind == "checkpoint" else "dense"}
    assert not re.search("dense|pruned ", run.stdout) and re.search(r"^ +model$", run.stdout, re.M), run.stdout
    assert "INFO  model perplexity" in run.stderr and "dense" not in run.stderr


def test_what_surrounds_the_figures(done):
    job, run = done
    told = report(job)
    assert told["run"]["command_line"].endswith(" config.ini") and told["run"]["config"] == "config.ini"
    assert told["run"]["cpu_s"] == pytest.approx(sum(r["cpu_s"] for r in told["ranks"]), abs=1e-4) and all(r["cpu_s"] > 0 for r in told["ranks"])
    name = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo").read(), re.M)
    assert all(r["processor"] == (name[1][:63] if name else os.uname().machine) for r in told["ranks"])
    speeds = {p["name"]: p["tokens_per_s"] for p in told["phases"] if "tokens_per_s" in p}
    assert speeds.keys() == {"survey", "collect", "advance", "evaluate"} and all(v > 0 for v in speeds.values())
    survey = next(p for p in told["phases"] if p["name"] == "survey")  # all calibration tokens pass all layers once
    assert survey["tokens_per_s"] == pytest.approx(6 * 8 / survey["max_s"], rel=1e-3)
    assert told["checkpoint"] == {"path": "out/pruned.h5", "bytes": (job.out / "pruned.h5").stat().st_size}
    assert re.search(r"^checkpoint +out/pruned.h5 \([0-9.]+ KiB\)$", run.stdout, re.M)


def test_command_line_is_a_shells(job):
    run = job.run(0, "--set", "output.report=out/it's (mine) & so.json", "--set=prune.k=2")
    assert run.returncode == OK, run.stderr
    told = report(job, "it's (mine) & so.json")["run"]["command_line"]
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {told}"], capture_output=True, text=True).stdout.splitlines()
    assert words == [str(BINARY), "--set", "output.report=out/it's (mine) & so.json", "--set=prune.k=2", "config.ini"]


def test_nothing_is_negative(job):
    """Rank 1 is started 2 s before rank 0: its phases are its own."""
    job.shell = 'if [ "$OMPI_COMM_WORLD_RANK" = 0 ]; then sleep 2; fi'
    run = job.run(2)
    assert run.returncode == OK, run.stderr
    told = report(job)
    assert told["run"]["wall_s"] >= sum(p["mean_s"] for p in told["phases"] if "." not in p["name"])
    assert float(re.search(r"^outside of phases +(\S+)", run.stdout, re.M)[1]) >= 0


def test_one_is_no_plural(job):
    both(put("evaluate", windows=1), put("compute", threads=1))(job)
    run, check = job.run(1), job.run(0, "--set", "output.overwrite=yes", "--check")
    assert run.returncode == check.returncode == OK, run.stderr + check.stderr
    said = run.stdout + run.stderr + check.stdout
    assert not re.search(r"(?<![0-9.,])1 (ranks|nodes|threads|layers|windows|questions|sequences|files)\b", said), said
    assert "1 rank on 1 node, 1 thread each" in run.stderr and "1 window\n" in run.stdout


# ---- JSON whatever comes ----

def test_names_in_latin_1(tmp_path):
    """Their bytes are told apart, the rest stays; the log says so."""
    place = os.fsencode(tmp_path) + b"/d\xe9j\xc3\xa0"
    os.mkdir(place)
    job = Job(tmp_path / os.fsdecode(b"d\xe9j\xc3\xa0"))
    put("restart", cost=1)(job)
    config = place + b"/config.ini"
    write_config(os.fsdecode(config), {**job.sections, "calibration": {**job.sections["calibration"], "save": "stats.h5"}})
    stopped = subprocess.run([BINARY, "--set", "run.walltime=00:00:01", config], capture_output=True, env=environment(), timeout=HANGS)
    run = subprocess.run([BINARY, config], capture_output=True, env=environment(), timeout=HANGS)
    assert (stopped.returncode, run.returncode) == (STOPPED, OK), run.stderr
    told = report(job)
    assert told["run"]["config"].endswith("/d\\xe9jà/config.ini") and told["checkpoint"]["path"].endswith("/d\\xe9jà/out/pruned.h5")
    assert told["survey"] == "made" and told["restart"]["runs_before"] == 1
    assert b"a path is not UTF-8" in run.stderr and any("not UTF-8" in w["text"] for w in told["warnings"])


@pytest.mark.parametrize("form, zone", [("%s", "UTC"), ("%Y-%m-%dT%H:%M:%S", "UTC"), ("%Y-%m-%dT%H:%M:%S", "XYZ-5:30"),
                                        ("%Y-%m-%d %H:%M:%S", "XYZ+7"), ("%Y-%m-%dT%H:%M:%SZ", "XYZ+7")])
def test_end_of_a_slurm_job(job, form, zone, monkeypatch):
    """As seconds since 1970 or as a date; soon means soon, far off is far off."""
    put("restart", cost=1)(job)
    for ahead, code in (3, STOPPED), (5000, OK):
        at = time.time() + ahead
        text = str(int(at)) if form == "%s" else subprocess.run(
            ["date", *["-u"] * form.endswith("Z"), "-d", f"@{int(at)}", f"+{form}"], capture_output=True, text=True,
            env={**os.environ, "TZ": zone}).stdout.strip()
        monkeypatch.setenv("SLURM_JOB_END_TIME", text)
        monkeypatch.setenv("TZ", zone)
        assert job.run(0).returncode == code, text


def test_an_end_that_is_none(job, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", "2026-13-45")
    run = job.run(2)
    assert run.returncode == OK and run.stderr.count("is no time") == 1, run.stderr
