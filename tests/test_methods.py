"""Every method of --list, through everything that a run can do with it: --check, pruning on 1 to 3 ranks to the byte, stops and
restarts, a kill, saved statistics, evaluation of the checkpoint. A method that is added is tested by being listed."""
import json, re, signal, subprocess, time

import numpy as np
import pytest

import judge
from helpers import BINARY, DEMO, ROOT, environment, mpirun, run_job, write_config
from test_ranks import datasets
from test_variants import SEVEN, build, ids

LAYERS, STOPPED = 3, 75
# What a method needs to be said on a small model, beside its defaults.
SETTINGS = {"olica": {"mlp_num": 1, "ratio": 0.1}, "refit": {"probes": 4},
            "refit, uniform": {"method": "refit", "shape": "uniform"}, "refit, influence": {"method": "refit", "allocation": "influence"},
            "refit, dense statistics": {"method": "refit", "statistics": "dense", "probes": 4},
            "refit, all modules": {"method": "refit", "shape": "olica", "select": "obs", "probes": 4}}
VARIANTS = [name for name in SETTINGS if "," in name]  # a listed method with settings that make it another


def listed():
    text = subprocess.run([BINARY, "--list"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^  (\S+) ", text.split("methods ([prune] method)\n")[1].split("\n\n")[0], re.M)
    assert {"none", "olica", "magnitude"} <= set(names)
    return [name for name in names if name != "none"]


def job_of(method, directory, **changes):
    if not (directory / "model").exists():
        build(directory / "model", config={"num_hidden_layers": LAYERS, "max_position_embeddings": 96})
        ids(directory / "calibration.npy", (9, 16))
        ids(directory / "evaluation.npy", (500,))
    sections = {"model": {"path": directory / "model"},
                "prune": {"method": method, "sparsity": 0.2, **SETTINGS.get(method, {})},
                "calibration": {"tokens": directory / "calibration.npy", "samples": 9, "length": 16},
                "evaluate": {"tokens": directory / "evaluation.npy", "length": 16}, "restart": {"cost": 1}}
    for section, keys in changes.items():
        sections.setdefault(section, {}).update(keys)
    return sections


def alike(a, b):
    return a.keys() == b.keys() and [name for name in a if a[name] != b[name]] == []


# Members of a report that tell of the run, and not of what the method has made of the model.
OF_THE_RUN = set("olica_mpi status exit_code message run restart settings model survey layer_times perplexity tasks questions_per_s "
                 "phases ranks memory checkpoint solvers warnings".split())


def told(report):
    """What a report tells of the model, with all that the method has found; sums over ranks may differ in a last bit."""
    return {member: value for member, value in sorted(report.items()) if member not in OF_THE_RUN}


def numbers(x):
    return np.hstack([numbers(v) for v in (x.values() if isinstance(x, dict) else x or [])] or [[]]) if not isinstance(x, (int, float)) else [x]


@pytest.fixture(scope="module", params=listed() + VARIANTS)
def whole(request, tmp_path_factory):
    """A run that nothing disturbed, on 2 ranks."""
    directory = tmp_path_factory.mktemp(request.param)
    return request.param, directory, run_job(directory, 2, job_of(request.param, directory), name="whole")


@pytest.mark.parametrize("ranks", [1, 3])
def test_same_bytes_on_any_ranks(whole, ranks, tmp_path):
    method, directory, report = whole
    mine = run_job(tmp_path, ranks, job_of(method, directory))
    assert alike(datasets(tmp_path / "job.h5"), datasets(directory / "whole.h5"))
    assert numbers(told(mine)) == pytest.approx(numbers(told(report)), rel=1e-12)


def test_reaches_its_sparsity_and_evaluates(whole, tmp_path):
    """The checkpoint verifies, and evaluates to the printed number."""
    method, directory, report = whole
    parameters = report["parameters"]
    assert parameters["pruned"] < parameters["dense"] and parameters["sparsity_reached"] > 0.15
    done = mpirun(2, "--verify", directory / "whole.h5")
    assert done.returncode == 0, done.stderr
    again = run_job(tmp_path, 2, {"model": {"path": directory / "whole.h5"}, "prune": {"method": "none"},
                                  "evaluate": {"tokens": directory / "evaluation.npy", "length": 16}})["perplexity"]
    assert again.get("model", again.get("dense")) == pytest.approx(report["perplexity"]["pruned"], rel=1e-12)


def test_stopped_and_killed(whole, tmp_path):
    """A layer a start, at changing numbers of ranks, with a kill -9 in between: the same checkpoint and report."""
    method, directory, report = whole
    config = write_config(tmp_path / "job.ini", job_of(method, directory, output={
        "checkpoint": tmp_path / "job.h5", "report": tmp_path / "job.json"}))
    sweeps = 1 + max(part["sweep"] == "survey" and part.get("pass", 1) for part in report["layer_times"])
    for turn in range((sweeps + 2) * LAYERS):
        if turn == 3:
            victim = subprocess.Popen([BINARY, config], stderr=subprocess.PIPE, env=environment())
            victim.stderr.readline()
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
        done = mpirun([1, 3, 2][turn % 3], "--set", "run.walltime=00:00:01", config)
        if done.returncode != STOPPED:
            break
        assert json.loads((tmp_path / "job.json").read_text())["status"] == "stopped"
    assert done.returncode == 0, done.stderr
    assert turn >= LAYERS - 1 and "going on from layer" in done.stderr
    assert alike(datasets(tmp_path / "job.h5"), datasets(directory / "whole.h5"))
    mine = json.loads((tmp_path / "job.json").read_text())
    assert numbers(told(mine)) == pytest.approx(numbers(told(report)), rel=1e-12)
    assert ("eigenproblems: " in done.stderr) == any(solver["problems"] for solver in mine.get("solvers", []))


def test_report_is_documented(whole):
    """doc/report.md names every finding, and every fact of a layer."""
    text, report = (ROOT / "doc" / "report.md").read_text(), whole[2]
    assert not [name for name in {*told(report), *(key for layer in report["layers"] for key in layer)} if f"`{name}`" not in text]


def test_saved_statistics(whole, tmp_path):
    """Another sparsity from saved statistics is what it is without them; a method that observes nothing saves nothing."""
    method, directory, _ = whole
    stats, other = tmp_path / "stats.h5", {"sparsity": 0.25}
    run_job(tmp_path, 2, job_of(method, directory, calibration={"save": stats}), name="first")
    read = run_job(tmp_path, 3, job_of(method, directory, prune=other, calibration={"save": stats}), name="read")
    run_job(tmp_path, 1, job_of(method, directory, prune=other), name="anew")
    assert alike(datasets(tmp_path / "read.h5"), datasets(tmp_path / "anew.h5"))
    assert stats.exists() == ("survey" in read)
    if stats.exists():
        assert read["survey"] == f"read from {stats}"


def test_check_estimates_within_a_tenth(whole, tmp_path):
    """--check names the method's budget; its estimate bounds what is counted, by no more than a tenth."""
    method, *_ = whole
    sections = {"model": {"path": DEMO}, "prune": {"method": method, **SETTINGS.get(method, {})},
                "calibration": {"tokens": DEMO / "calibration.npy", "samples": 16},
                "evaluate": {"tokens": DEMO / "evaluation.npy", "windows": 16}}
    memory = run_job(tmp_path, 2, sections)["memory"]
    assert memory["counted"]["max"] <= memory["estimate"] <= 1.1 * memory["counted"]["max"]
    done = mpirun(2, "--check", tmp_path / "job.ini")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^budget .*share", done.stdout, re.M) and re.search(r"^a layer .*FFN neurons", done.stdout, re.M)
    planned = float(re.search(r"^memory +([0-9.]+) MiB a rank", done.stdout, re.M)[1])
    assert planned == pytest.approx(memory["estimate"] / 2**20, abs=0.06)


def test_estimate_of_layers_that_differ(tmp_path):
    """A checkpoint's first layer is not its largest: here the second one has a branch, as wide as the hidden size."""
    build(tmp_path / "model", config={"num_hidden_layers": LAYERS, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8,
                                      "num_key_value_heads": 8})
    ids(tmp_path / "calibration.npy", (9, 16))
    ids(tmp_path / "evaluation.npy", (500,))
    layers = run_job(tmp_path, 1, {"model": {"path": tmp_path / "model"}, "prune": {"sparsity": 0.2, "mlp_num": 1, "ratio": 1},
                                   "calibration": {"tokens": tmp_path / "calibration.npy", "samples": 9, "length": 16}}, name="wide")["layers"]
    assert [layer["branch_rank"] for layer in layers] == [0, 512, 0]
    memory = run_job(tmp_path, 1, {"model": {"path": tmp_path / "wide.h5"}, "prune": {"method": "none"}, "compute": {"precision": "bf16"},
                                   "evaluate": {"tokens": tmp_path / "evaluation.npy", "length": 16}})["memory"]
    assert memory["counted"]["max"] <= memory["estimate"] <= 1.1 * memory["counted"]["max"]


# ---- magnitude, written a second time ---------------------------------------------------------------------------

def magnitude(dense, sparsity):
    """Neurons with the smallest norms go, the same share of value and of FFN neurons; the FFN takes the rounding."""
    m = judge.Model(dense.config, dict(dense.w))
    size = lambda *names: sum(dense.get(0, f"{n}/{part}").size for n in names for part in ("weight", "bias")
                              if dense.get(0, f"{n}/{part}") is not None)
    target = dense.parameters() * sparsity / dense.L
    values = int(target / (size("v_proj", "o_proj") + size("gate_proj", "up_proj", "down_proj")) * dense.h)
    bias = lambda name: dense.get(0, name + "/bias") is not None
    value = dense.K * (dense.d + bias("v_proj")) + dense.d * dense.H
    neuron = 3 * dense.d + bias("gate_proj") + bias("up_proj")
    neurons = int((target - values * value) / neuron + 1e-9)
    for i in range(m.L):
        judge.cut_values(m, i, values, np.ones(m.d), np.ones(m.H * m.h))
        judge.cut_ffn(m, i, 0, neurons, np.ones(m.d), np.ones(m.f))
    return m


@pytest.mark.parametrize("biased, sparsity", [(False, 0.2), (True, 0.35)])
def test_magnitude_is_its_formula(tmp_path, biased, sparsity):
    build(tmp_path / "model", config={"num_hidden_layers": LAYERS, "attention_bias": biased, "mlp_bias": biased},
          biases=SEVEN if biased else ())
    ids(tmp_path / "evaluation.npy", (300,))
    report = run_job(tmp_path, 2, {"model": {"path": tmp_path / "model"}, "prune": {"method": "magnitude", "sparsity": sparsity},
                                   "evaluate": {"tokens": tmp_path / "evaluation.npy", "length": 16}, "output": {"dtype": "fp32"}})
    golden = magnitude(judge.load_model(tmp_path / "model"), sparsity)
    assert report["parameters"]["pruned"] == golden.parameters()
    found = judge.load_checkpoint(tmp_path / "job.h5")
    for name, x in golden.w.items():
        assert np.allclose(found.w[name], x, rtol=1e-6, atol=0), name
    want = judge.perplexity(golden, np.load(tmp_path / "evaluation.npy"), 16)
    assert report["perplexity"]["pruned"] == pytest.approx(want, rel=1e-5)
