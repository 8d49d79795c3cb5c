"""Results against goldens of an independent float64 program, judged by conformance/compare.py: report, checkpoint
and logits, at every rank count and with every eigensolver."""
import json, subprocess, sys
from pathlib import Path

import pytest
from helpers import DEMO, run_job, shared

HERE = Path(__file__).resolve().parent / "conformance"
DEMO_VARIANTS = {"rotate": ["rotate", "fp32"], "bias-rotate": ["bias", "rotate", "fp32"]}


def demo_variant(kind, directory):
    out = directory / kind
    subprocess.run([sys.executable, HERE / "variants.py", DEMO, out, *DEMO_VARIANTS[kind]], check=True)
    return out


def case(name, directory):
    """Golden, model, ids and evaluation settings of a golden's name."""
    model, percent = name.rsplit(".", 1)
    if model.startswith("olica-demo"):
        kind = model.partition(".")[2]
        where = demo_variant(kind, directory) if kind else DEMO
        return (HERE / f"{name}.json", where, DEMO / "calibration.npy", DEMO / "evaluation.npy",
                {"length": 128, "windows": 128 if kind else 0})
    if model == "SmolLM2-135M":
        where = directory / "smol"
        subprocess.run([sys.executable, shared("models", model, "make_hf.py"), where], check=True)
        return (shared("conformance", f"{name}.json"), where, shared("conformance", f"{model}.calibration.npy"),
                shared("conformance", f"{model}.evaluation.npy"), {"length": 128, "windows": 16})
    return (shared("conformance", f"{name}.json"), shared("models", model), shared("conformance", f"{model}.calibration.npy"),
            shared("conformance", f"{model}.evaluation.npy"), {"length": 64})


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Each golden's files, made once."""
    directory, made = tmp_path_factory.mktemp("models"), {}

    def get(name):
        if name not in made:
            made[name] = case(name, directory)
        return made[name]
    return get


def judge(cases, name, ranks, directory, solver={}, tolerance="1e-4", precision="fp32"):
    golden, model, calibration, evaluation, evaluate = cases(name)
    g = json.loads(Path(golden).read_text())
    s = g["settings"]
    report = run_job(directory, ranks, {
        "model": {"path": model},
        "calibration": {"tokens": calibration, "samples": g["samples"], "length": g["length"]},
        "prune": {k: s[k] for k in ("sparsity", "k", "mlp_num", "ratio", "percdamp", "skip_lowest")},
        "solver": solver, "compute": {"precision": precision},
        "evaluate": dict(tokens=evaluation, **evaluate), "output": {"dtype": "fp32"}})
    done = subprocess.run([sys.executable, HERE / "compare.py", golden, directory / "job.json", directory / "job.h5",
                           calibration, "--tolerance", tolerance], capture_output=True, text=True)
    assert done.returncode == 0, "\n".join(x for x in done.stdout.splitlines() if not x.startswith("ok")) + done.stderr
    assert done.stdout.rstrip().endswith(" 0 failed")
    return report


SMALL = ["stories260K.20", "stories260K.45", "TinyStories-656K.20", "TinyStories-656K.45",
         "olica-demo.rotate.30", "olica-demo.bias-rotate.30"]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", SMALL)
def test_golden(cases, name, ranks, tmp_path):
    judge(cases, name, ranks, tmp_path)


# The whole demo takes its time; every rank count sees it, three of them with another solver than auto.
@pytest.mark.parametrize("ranks, eigen", [(1, "lapack"), (2, "auto"), (3, "scalapack"), (4, "slepc"), (8, "auto")])
def test_demo(cases, ranks, eigen, tmp_path):
    judge(cases, "olica-demo.20", ranks, tmp_path, {"eigen": eigen})


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("eigen", ["lapack", "scalapack", "slepc"])
@pytest.mark.parametrize("name", SMALL)
def test_solver(cases, name, eigen, ranks, tmp_path):
    """block = 8: more than one process row and column really holds data."""
    report = judge(cases, name, ranks, tmp_path, {"eigen": eigen, "block": 8})
    grids = [s["grid"] for s in report["solvers"] if s["backend"] == "scalapack"]
    if eigen == "scalapack" and ranks == 4:
        order = min(report["model"]["hidden"], report["model"]["kv_heads"] * report["model"]["head"])
        assert [2, 2] in grids and all(s["block"] == 8 for s in report["solvers"] if s["backend"] == eigen)
        assert order > 8  # so a second block exists, on the second process row and column
    assert {s["backend"] for s in report["solvers"] if s["problems"]} <= {eigen, "lapack"}
    assert any(s["backend"] == eigen and s["problems"] > 0 for s in report["solvers"])


@pytest.mark.parametrize("ranks, eigen", [(1, "lapack"), (4, "scalapack")])
@pytest.mark.parametrize("name", SMALL)
def test_mixed_precision(cases, name, eigen, ranks, tmp_path):
    report = judge(cases, name, ranks, tmp_path, {"eigen": eigen, "block": 8, "precision": "mixed"})
    assert sum(s["mixed"] for s in report["solvers"]) > 0


def test_smollm2_short(cases, tmp_path):
    judge(cases, "SmolLM2-135M.short", 2, tmp_path, tolerance="2e-3")
