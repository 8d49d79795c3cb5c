"""method = refit: goldens of an independent float64 program (kept neurons, down matrices, perplexity) on any ranks, nodes and
solvers; its settings."""
import json

import numpy as np
import pytest

import judge
from helpers import DEMO, mpirun, run_job, shared, write_config

TOLERANCE = 3e-4  # of numbers of the pruned model, as conformance/compare.py has it


def sections_of(name):
    """Golden and job of its name."""
    g, model = json.loads(shared("conformance", f"{name}.json").read_text()), name.split(".")[0]
    s = g["settings"]
    where = (DEMO, DEMO / "calibration.npy", DEMO / "evaluation.npy") if model == "olica-demo" else \
        (shared("models", model), *(shared("conformance", f"{model}.{kind}.npy") for kind in ("calibration", "evaluation")))
    keys = ("sparsity", "shape", "select", "damping", "skip_lowest", "statistics", "align")
    return g, {"model": {"path": where[0]}, "calibration": {"tokens": where[1], "samples": g["samples"], "length": g["length"]},
               "prune": {"method": "refit", "allocation": "uniform", **{key: s[key] for key in keys}},
               "evaluate": {"tokens": where[2], "length": g["length"]}, "output": {"dtype": "fp32"}}


def judge_golden(g, report, checkpoint):
    found = judge.load_checkpoint(checkpoint)
    assert report["parameters"]["pruned"] == g["pruned"]["parameters"]
    for model in ("dense", "pruned"):
        assert report["perplexity"][model] == pytest.approx(g[model]["perplexity"], rel=1e-4 if model == "dense" else TOLERANCE)
    for golden, layer in zip(g["pruned"]["layers"], report["layers"]):
        i, down = golden["layer"], found.get(golden["layer"], "down_proj/weight")
        assert golden["nearest_tie"] > 1e-6
        assert found.get(i, "ffn_kept").tolist() == golden["ffn_kept"], i
        assert np.linalg.norm(down) == pytest.approx(golden["down_norm"], rel=TOLERANCE)
        assert layer["down_change"] == pytest.approx(golden["down_change"], rel=TOLERANCE)
        assert down.ravel()[:4] == pytest.approx(golden["down_first"], rel=TOLERANCE, abs=TOLERANCE * np.abs(down).max())


GOLDENS = ["stories260K.refit-dense.20", "stories260K.refit-pruned.20", "TinyStories-656K.refit-dense.20",
           "TinyStories-656K.refit-pruned.20"]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name, ranks, tmp_path):
    g, sections = sections_of(name)
    judge_golden(g, run_job(tmp_path, ranks, sections), tmp_path / "job.h5")


@pytest.mark.parametrize("ranks", [1, 3])
def test_golden_of_the_demo(ranks, tmp_path):
    g, sections = sections_of("olica-demo.refit-pruned.20")
    judge_golden(g, run_job(tmp_path, ranks, sections), tmp_path / "job.h5")


@pytest.mark.parametrize("ranks_per_node", [1, 3])
@pytest.mark.parametrize("eigen", ["lapack", "scalapack", "slepc"])
def test_golden_over_nodes_and_grids(eigen, ranks_per_node, tmp_path):
    """The parts of the Gram come from several nodes, into blocks of several process rows and columns."""
    g, sections = sections_of("stories260K.refit-pruned.20")
    report = run_job(tmp_path, 4, {**sections, "solver": {"eigen": eigen, "block": 8}}, env={"OLICA_RANKS_PER_NODE": ranks_per_node})
    judge_golden(g, report, tmp_path / "job.h5")


def test_bf16_is_near(tmp_path):
    g, sections = sections_of("stories260K.refit-pruned.20")
    report = run_job(tmp_path, 2, {**sections, "compute": {"precision": "bf16"}})
    assert report["perplexity"]["pruned"] == pytest.approx(g["pruned"]["perplexity"], rel=3e-2)


def demo(directory, **prune):
    return {"model": {"path": DEMO}, "prune": {"method": "refit", **prune},
            "calibration": {"tokens": DEMO / "calibration.npy", "samples": 8},
            "output": {"checkpoint": directory / "job.h5", "report": directory / "job.json"}}


@pytest.mark.parametrize("align", [8, 64])
def test_widths_are_aligned(align, tmp_path):
    """The width is the smallest multiple that removes no more than was asked for."""
    report = run_job(tmp_path, 2, demo(tmp_path, shape="uniform", allocation="uniform", align=align))
    width, dense = report["layers"][0]["ffn_width"], judge.load_model(DEMO)
    asked = dense.parameters() * 0.2 / (dense.L * 3 * dense.d)
    assert width % align == 0 and 0 <= dense.f - asked - (width - align) <= align
    assert {layer["ffn_width"] for layer in report["layers"]} == {width}


@pytest.mark.parametrize("prune, why", [
    ({"sparsity": 0.9}, "expected a sparsity of at most 0."),
    ({"align": 7}, 'align = "7", expected one of 1, 8, 64, 128, 256'),
    ({"damping": 0}, 'damping = "0", expected'),
    ({"select": "best"}, 'select = "best", expected one of olica'),
])
def test_refused_by_name(prune, why, tmp_path):
    done = mpirun(2, write_config(tmp_path / "job.ini", demo(tmp_path, **prune)))
    assert done.returncode == 2 and why in done.stderr, done.stderr
    assert not (tmp_path / "job.h5").exists()


def test_largest_sparsity_is_one(tmp_path):
    """The bound that the refusal names, and --check, can be asked for."""
    done = mpirun(1, "--check", write_config(tmp_path / "job.ini", demo(tmp_path)))
    most = float(done.stdout.split("a sparsity of 0 to ")[1].split(":")[0])
    report = run_job(tmp_path, 1, demo(tmp_path, sparsity=most))
    assert report["parameters"]["sparsity_reached"] == pytest.approx(most, abs=2e-3)
    done = mpirun(1, "--check", write_config(tmp_path / "more.ini", demo(tmp_path, sparsity=most + 0.01)))
    assert done.returncode == 2 and f"at most {most:.4f}" in done.stderr
