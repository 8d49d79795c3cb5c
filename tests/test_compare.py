"""Comparisons: lists of methods and sparsities in one job, each pair like a job of its own; the summary; interruptions."""
import csv, hashlib, json, os, re, shutil, signal, subprocess, time

import h5py, numpy as np
import pytest
from faults import inject
from helpers import BINARY, HANGS, environment, mpirun, write_config
from tiny_model import make_byte_model, make_ids

LENGTH, OK, USAGE, STOPPED = 16, 0, 2, 75
OWN = {"mlp_num": "olica", "ratio": "olica", "probes": "refit"}  # settings of one method
METHODS, SPARSITIES = ["olica", "magnitude", "refit"], ["0.1", "0.2"]


class Place:
    def __init__(self, directory, **model):
        self.dir = directory
        make_byte_model(directory / "model", **({"layers": 3} | model), config={"max_position_embeddings": 64})
        make_ids(directory / "calibration.npy", rows=6, length=LENGTH)
        for name, seed in (("wiki", 1), ("ptb", 2)):
            (directory / f"{name}.txt").write_bytes(bytes(np.random.default_rng(seed).integers(97, 123, 400, dtype=np.uint8)))

    def config(self, name="job", **sections):
        whole = {"model": {"path": "model"}, "calibration": {"tokens": "calibration.npy", "samples": 6, "length": LENGTH},
                 "prune": {"method": ", ".join(METHODS), "sparsity": ", ".join(SPARSITIES), "mlp_num": 1, "ratio": 0.1, "probes": 4},
                 "evaluate": {"text": "wiki:wiki.txt, ptb:ptb.txt", "length": LENGTH},
                 "output": {"checkpoint": f"{name}.h5", "report": f"{name}.json"}, "restart": {"cost": 1}}
        for section, keys in sections.items():
            whole[section] = {k: v for k, v in (whole.get(section, {}) | keys).items() if v is not None}
        return write_config(self.dir / f"{name}.ini", whole)

    def run(self, name="job", *arguments, ranks=1, code=OK, **sections):
        done = mpirun(ranks, *arguments, self.config(name, **sections))
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def json(self, name):
        return json.loads((self.dir / f"{name}.json").read_text())

    def datasets(self, name):
        found = hashlib.sha256()
        with h5py.File(self.dir / f"{name}.h5") as file:
            file["model"].visititems(lambda key, x: found.update(key.encode() + np.asarray(x).tobytes()) if isinstance(x, h5py.Dataset) else None)
        return found.hexdigest()


def pairs():
    return [(m, s) for m in METHODS for s in SPARSITIES]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("compared"))
    place.done = place.run()
    return place


@pytest.mark.parametrize("method, sparsity", pairs())
def test_a_pair_is_a_job(compared, method, sparsity):
    """The figures and bytes of a pair are those of a job with that method and sparsity alone."""
    own = {key: None for key, owner in OWN.items() if owner != method}
    compared.run("alone", prune={"method": method, "sparsity": sparsity, **own}, output={"overwrite": "yes"})
    row = next(r for r in compared.json("job")["pairs"] if (r["method"], r["sparsity"]) == (method, float(sparsity)))
    alone, pair = compared.json("alone"), f"job.{method}.{sparsity}"
    assert row["status"] == "ok" and row["parameters"] == alone["parameters"]["pruned"]
    assert row["perplexity"] == {name: figures["pruned"] for name, figures in alone["perplexities"].items()}
    assert compared.datasets(pair) == compared.datasets("alone")
    assert row["report"].endswith(f"{pair}.json") and row["checkpoint"].endswith(f"{pair}.h5")
    assert compared.json("job")["dense"]["perplexity"] == {name: figures["dense"] for name, figures in alone["perplexities"].items()}


def test_summary(compared):
    summary = compared.json("job")
    assert summary["status"] == "ok" and [(r["method"], str(r["sparsity"])) for r in summary["pairs"]] == pairs()
    rows = list(csv.DictReader((compared.dir / "job.csv").open()))
    assert [r["method"] for r in rows] == ["dense"] + [m for m, _ in pairs()]
    for row, pair in zip(rows[1:], summary["pairs"]):
        assert float(row["perplexity.ptb"]) == pytest.approx(pair["perplexity"]["ptb"], rel=1e-14)
        assert int(row["parameters"]) == pair["parameters"] and float(row["wall_s"]) > 0 and row["status"] == "ok"
    table = compared.done.stdout.splitlines()
    assert table[0].split() == ["method", "sparsity", "reached", "parameters", "wiki", "ptb", "seconds"]
    assert [line.split()[0] for line in table[1:-1]] == ["dense"] + [m for m, _ in pairs()]
    assert table[-1].split() == ["report", str(compared.dir / "job.json")]
    assert table[2].split()[4] == f"{summary['pairs'][0]['perplexity']['wiki']:.3f}"


def test_dense_model_is_scored_once(compared):
    scored = [("dense" in compared.json(f"job.{m}.{s}")["perplexity"]) for m, s in pairs()]
    assert scored == [True] + [False] * (len(scored) - 1)


def test_statistics_are_made_once_and_go(compared):
    surveys = [compared.json(f"job.{m}.{s}").get("survey", "") for m, s in pairs()]
    assert surveys[0] == "made" and surveys[1].startswith("read from") and "job.olica.statistics.h5" in surveys[1]
    assert not list(compared.dir.glob("*statistics*"))


def test_script_draws(compared):
    if not shutil.which("gnuplot"):
        assert "plot for [m in \"olica magnitude refit\"] 'job.csv'" in (compared.dir / "job.gp").read_text()
        return
    subprocess.run(["gnuplot", "job.gp"], cwd=compared.dir, check=True)
    assert "<svg" in (compared.dir / "job.svg").read_text()


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks(compared, tmp_path, ranks):
    place = Place(tmp_path)
    place.run(ranks=ranks)
    for method, sparsity in pairs():
        assert place.datasets(f"job.{method}.{sparsity}") == compared.datasets(f"job.{method}.{sparsity}")
    for mine, theirs in zip(place.json("job")["pairs"], compared.json("job")["pairs"]):
        assert mine["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-9)


def test_kl(tmp_path):
    place = Place(tmp_path)
    done = place.run(evaluate={"kl": "yes", "text": "wiki.txt"}, prune={"method": "magnitude, refit", "sparsity": "0.2", "mlp_num": None, "ratio": None})
    assert all(r["kl"]["text"] > 0 for r in place.json("job")["pairs"]) and "KL" in done.stdout.splitlines()[0]


def test_a_pair_that_fails_does_not_stop_the_others(tmp_path):
    place = Place(tmp_path)
    done = place.run(code=USAGE, prune={"sparsity": "0.95, 0.1"}, ranks=2)
    rows = {(r["method"], r["sparsity"]): r for r in place.json("job")["pairs"]}
    assert len(rows) == 6 and place.json("job")["status"] == "failed"
    assert rows["refit", 0.95]["status"] != "ok" and rows["refit", 0.95]["message"]
    assert rows["refit", 0.1]["status"] == rows["olica", 0.1]["status"] == rows["magnitude", 0.1]["status"] == "ok"
    assert re.search(r"method \w+, sparsity 0.95: ", done.stderr.splitlines()[-1]) or "sparsity 0.95" in done.stderr
    assert place.json("job")["dense"]["perplexity"]


def test_interrupted(compared, tmp_path):
    """Killed in the middle, started again: what was done stays, the rest comes, bytes are those of an uninterrupted one."""
    place = Place(tmp_path)
    config = place.config()
    process = subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, config], env=environment(OMPI_MCA_mpi_yield_when_idle=1),
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    began = time.time()
    while time.time() < began + HANGS and process.poll() is None:
        if (place.dir / "job.json").exists() and len(place.json("job")["pairs"]) >= 2:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(["pkill", "-9", "-f", str(config)])
    process.wait()
    summary = place.json("job")
    assert summary["status"] == "running" and 2 <= len(summary["pairs"]) < 6, "it was not killed in the middle"
    done = place.run(ranks=2)
    assert len(re.findall(r"pair \d of 6", done.stderr)) == 6 - len(summary["pairs"])
    assert place.json("job")["status"] == "ok" and place.json("job")["pairs"][:2] == summary["pairs"][:2]
    for method, sparsity in pairs():
        assert place.datasets(f"job.{method}.{sparsity}") == compared.datasets(f"job.{method}.{sparsity}")


@pytest.mark.parametrize("done", [0, 1, 2])
def test_killed_behind_a_pair(compared, tmp_path, done):
    """Killed when a pair was done, before the summary said so: the pair is taken over, with the dense model's figures or behind them."""
    place = Place(tmp_path)
    method, sparsity = pairs()[done]
    exports = {"export": "compact:small"}
    run = mpirun(1, place.config(output=exports), options=inject.preload(f"rank=0 call=rename path=/job.json$ nth={done + 2} do=kill"))
    assert run.returncode in inject.KILLED and len(place.json("job")["pairs"]) == done and place.json(f"job.{method}.{sparsity}")["status"] == "ok", run.stderr
    run = place.run(output=exports)
    assert re.findall(r"pair (\d) of 6", run.stderr) == [str(i) for i in range(done + 2, 7)], run.stderr
    assert f"job.{method}.{sparsity}.json: done before" in run.stderr and place.json("job")["dense"]["perplexity"] == compared.json("job")["dense"]["perplexity"]
    for method, sparsity in pairs():
        assert place.datasets(f"job.{method}.{sparsity}") == compared.datasets(f"job.{method}.{sparsity}")


def open_again(place, status="running", rows=5):
    """As if it had been interrupted before the last pair."""
    summary = place.json("job")
    summary["status"], summary["pairs"] = status, summary["pairs"][:rows]
    (place.dir / "job.json").write_text(json.dumps(summary))
    for path in place.dir.glob("job.refit.0.2.*"):
        path.unlink()


@pytest.fixture
def copied(compared, tmp_path):
    """Names in reports are absolute: the copy gets its own."""
    place = Place.__new__(Place)
    place.dir = tmp_path / "copied"
    shutil.copytree(compared.dir, place.dir)
    return place


def test_other_settings_are_not_mixed_in(copied):
    copied.run(code=OK, output={"overwrite": "yes"})
    open_again(copied)
    done = copied.run(code=USAGE, calibration={"samples": 5})
    assert "method olica, sparsity 0.1 was made with other settings" in done.stderr
    done = copied.run(output={"overwrite": "yes"})
    assert re.findall(r"pair (\d) of 6", done.stderr) == ["6"]
    open_again(copied)
    os.utime(copied.dir / "model/config.json")
    assert len(re.findall(r"pair \d of 6", copied.run(output={"overwrite": "yes"}).stderr)) == 6


def test_a_summary_that_is_complete_stays(copied):
    done = copied.run(code=USAGE)
    assert "the summary of a comparison that has ended" in done.stderr and "overwrite" in done.stderr
    before = (copied.dir / "job.json").read_text()
    (copied.dir / "job.json").write_text("{}")
    assert "no summary of a comparison" in copied.run(code=USAGE).stderr
    (copied.dir / "job.json").write_text(before)


def test_stop_ends_it(tmp_path):
    place = Place(tmp_path)
    done = place.run(code=STOPPED, run={"walltime": "00:00:01"}, prune={"sparsity": "0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45"})
    assert place.json("job")["status"] == "stopped" and len(place.json("job")["pairs"]) < 24
    assert "reached" in done.stdout


REFUSED = {
    "twice": ({"method": "olica, refit, olica"}, "lists olica twice"),
    "twice as a number": ({"sparsity": "0.1, 0.10"}, "lists 0.10 twice"),
    "none": ({"method": "none, olica"}, "prunes nothing"),
    "no method": ({"method": "olica, olika"}, "olika"),
    "no sparsity": ({"sparsity": "0.1, 1.5"}, "1.5"),
    "nothing between": ({"sparsity": "0.1,,0.2"}, '""'),
    "setting of a method that is not listed": ({"method": "refit, magnitude"}, "mlp_num belongs to method = olica"),
    "too many": ({"sparsity": ", ".join(f"0.{i:03d}" for i in range(1, 201))}, "expected at most 256"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_any_work(what, tmp_path):
    place = Place(tmp_path)
    keys, words = REFUSED[what]
    done = place.run(code=USAGE, prune=keys, ranks=2)
    assert words in done.stderr and not list(place.dir.glob("*.h5")), done.stderr


def test_by_set_and_check(compared):
    done = mpirun(2, "--check", "--set", "prune.sparsity=0.1,0.25", "--set", "output.checkpoint=other.h5", "--set", "output.report=other.json",
                  compared.dir / "job.ini", cwd=compared.dir)
    assert done.returncode == OK, done.stderr
    assert re.findall(r"^method (\w+), sparsity (\S+)$", done.stdout, re.M) == [(m, s) for m in METHODS for s in ("0.1", "0.25")]
    assert done.stdout.count("\nmemory") == 6 and not list(compared.dir.glob("other*"))


def test_set_chooses_a_sparsity(tmp_path):
    """One method in the file, several sparsities: --set with one of them, or with another, is one job."""
    place = Place(tmp_path)
    for sparsity in ("0.2", "0.15"):
        done = place.run("job", "--check", "--set", f"prune.sparsity={sparsity}", ranks=2, prune={"method": "magnitude", "mlp_num": None, "ratio": None, "probes": None})
        assert "\nmemory" in done.stdout and "method " not in done.stdout.split("\nmemory")[0].splitlines()[0], done.stdout


def test_pairs_of_other_jobs_are_taken_over(compared, tmp_path):
    """As jobs/compare.sh leaves them: each pair by a job of its own, then the comparison itself."""
    place = Place(tmp_path)
    config = place.config()
    for method, sparsity in pairs()[1:4]:
        done = mpirun(2, "--set", f"prune.method={method}", "--set", f"prune.sparsity={sparsity}",
                      "--set", f"output.checkpoint=job.{method}.{sparsity}.h5", "--set", f"output.report=job.{method}.{sparsity}.json", config, cwd=place.dir)
        assert done.returncode == OK, done.stderr
    done = place.run()
    assert re.findall(r"pair (\d) of 6", done.stderr) == ["1", "5", "6"] and done.stderr.count("done before, with the same settings") == 3
    for mine, theirs in zip(place.json("job")["pairs"], compared.json("job")["pairs"], strict=True):
        assert mine["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-9) and mine["parameters"] == theirs["parameters"]
    for method, sparsity in pairs():
        assert place.datasets(f"job.{method}.{sparsity}") == compared.datasets(f"job.{method}.{sparsity}")
