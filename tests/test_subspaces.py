"""[solver] precision: subspaces in mixed precision are those of double, of every method that takes one, and the report counts them."""
import pytest

import judge
from helpers import DEMO, run_job
from test_ranks import datasets
from test_variants import METHOD, SEVEN, build, close, compare_layers, prune, relative


def demo(**sections):
    return {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "output": {"dtype": "fp32"},
            "calibration": {"tokens": DEMO / "calibration.npy", "samples": 24, "length": 128},
            "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 4}, **sections}


def counts(report):
    """Subspaces: of mixed precision, again in double; and all eigenproblems."""
    return [sum(s[key] for s in report["solvers"]) for key in ("mixed", "again_in_double", "problems")]


def test_demo_in_both(tmp_path):
    """Query, key and branch; at 1 rank and on a grid. Value rotations stay in double."""
    runs = {"double": (1, {}), "mixed": (1, {}), "grid": (4, {"eigen": "scalapack", "block": 16}), "auto": (1, {})}
    reports = {}
    for name, (ranks, more) in runs.items():
        precision = "mixed" if name == "grid" else name
        reports[name] = run_job(tmp_path, ranks, demo(solver={"precision": precision, **more}), name=name)
        assert reports[name]["settings"]["solver"]["precision"] == precision
    subspaces = 2 * 6 + 2
    for name in "mixed", "grid":
        mixed, again, problems = counts(reports[name])
        assert mixed + again == subspaces < problems == counts(reports["double"])[2] and mixed > again, (mixed, again)
    assert counts(reports["double"])[:2] == counts(reports["auto"])[:2] == [0, 0]
    expected = judge.load_checkpoint(tmp_path / "double.h5")
    for name in "mixed", "grid":
        found = judge.load_checkpoint(tmp_path / f"{name}.h5")
        for i in range(found.L):
            compare_layers(found, expected, i)
        assert relative(reports[name]["perplexity"]["pruned"], reports["double"]["perplexity"]["pruned"]) < METHOD
    assert datasets(tmp_path / "auto.h5") == datasets(tmp_path / "double.h5")


def test_mixed_on_any_ranks(tmp_path):
    """The same bytes, as in double."""
    runs = [run_job(tmp_path, ranks, demo(solver={"precision": "mixed"}), name=f"job{ranks}") for ranks in (1, 3)]
    assert counts(runs[0]) == counts(runs[1])
    assert datasets(tmp_path / "job1.h5") == datasets(tmp_path / "job3.h5")


@pytest.mark.parametrize("method", ["refit", "svd-llm"])
def test_other_methods_in_both(method, tmp_path):
    build(tmp_path / "model", config={"head_dim": 10, "attention_bias": True, "mlp_bias": True}, biases=SEVEN)
    settings = {"method": method, "sparsity": 0.3, **({"shape": "olica"} if method == "refit" else {})}
    for precision in "double", "mixed":
        report = prune(tmp_path, settings=settings, name=precision, solver={"precision": precision}, shape=(32, 20))
        mixed, again, _ = counts(report)
        assert (mixed > 0) == (precision == "mixed") and again <= mixed
    found, expected = (judge.load_checkpoint(tmp_path / f"{p}.h5") for p in ("mixed", "double"))
    for i in range(found.L):
        for p in "q_proj", "k_proj", "down_proj":
            close(found.matrix(i, p), expected.matrix(i, p), METHOD, f"layer {i}: {p}")


def test_slepc_says_so(tmp_path):
    build(tmp_path / "model")
    report = prune(tmp_path, solver={"precision": "mixed", "eigen": "slepc"})
    assert counts(report)[:2] == [0, 0]
    assert any("slepc has no fp32" in w["text"] for w in report["warnings"]), report["warnings"]
    report = prune(tmp_path, solver={"precision": "auto", "eigen": "slepc"})
    assert not any("fp32" in w["text"] for w in report["warnings"]), report["warnings"]
