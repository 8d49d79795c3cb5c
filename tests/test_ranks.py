"""Any number of ranks and threads, any solver: the same answer, and work that is really shared."""
from concurrent.futures import ThreadPoolExecutor

import h5py

import judge
from helpers import DEMO, run_job
from test_variants import METHOD, SAME, SEVEN, build, compare_layers, ids, prune, relative

RUNS = [("lapack", p) for p in (2, 3, 4, 8)] + [(e, p) for e in ("scalapack", "slepc") for p in (1, 2, 4)]


def solve(directory, run, shape=(9, 16)):
    """9 sequences: some ranks have one more than others; 8 ranks: more than layers and heads."""
    eigen, ranks = run
    return prune(directory, ranks, shape=shape, name=f"{eigen}{ranks}", solver={"eigen": eigen, "block": 4})


def test_ranks_and_solvers(tmp_path):
    config = {"head_dim": 10, "attention_bias": True, "mlp_bias": True}
    build(tmp_path / "model", config=config, biases=SEVEN)
    first = solve(tmp_path, ("lapack", 1))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda run: solve(tmp_path, run), RUNS))
    expected = judge.load_checkpoint(tmp_path / "lapack1.h5")
    for (eigen, ranks), report in zip(RUNS, reports):
        assert report["run"]["ranks"] == ranks and report["settings"]["solver"]["eigen"] == eigen
        assert report["calibrated_layers"] == first["calibrated_layers"]
        found = judge.load_checkpoint(tmp_path / f"{eigen}{ranks}.h5")
        for i in range(found.L):
            compare_layers(found, expected, i)
        for which, tolerance in ("dense", SAME), ("pruned", METHOD):
            assert relative(report["perplexity"][which], first["perplexity"][which]) < tolerance, (eigen, ranks)


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file["model"].visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_same_bytes_on_any_ranks_and_threads(tmp_path):
    """A last bit in a sum turns a rounding to bf16, and that a choice of neurons two layers on."""
    results = []
    for ranks, threads in (1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (8, 1):
        report = run_job(tmp_path, ranks, {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "output": {"dtype": "bf16"},
                                           "calibration": {"tokens": DEMO / "calibration.npy", "samples": 24, "length": 128},
                                           "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 4},
                                           "compute": {"threads": threads}})
        results.append((datasets(tmp_path / "job.h5"), report["perplexity"]["pruned"]))
    tensors, perplexity = results[0]
    for others, its in results[1:]:
        assert [name for name in tensors if tensors[name] != others[name]] == [] and tensors.keys() == others.keys()
        assert relative(its, perplexity) < SAME


def test_work_is_shared(tmp_path):
    P, S = 4, 22
    build(tmp_path / "model", config={"num_hidden_layers": 8, "hidden_size": 96, "intermediate_size": 256,
                                      "head_dim": 24, "vocab_size": 400})
    ids(tmp_path / "calibration.npy", (S, 64), vocabulary=400)
    ids(tmp_path / "ids.npy", (2000,), vocabulary=400)
    report = prune(tmp_path, P, shape=(S, 64))
    ranks = report["ranks"]
    assert len(ranks) == P and sum(r["sequences"] for r in ranks) == S
    assert max(r["sequences"] for r in ranks) <= -(-S // P)
    stored = (tmp_path / "model" / "model.safetensors").stat().st_size
    read = sum(r["bytes_read"] for r in ranks)
    assert 1.9 * stored < read <= 2 * 1.1 * stored  # two sweeps
    assert max(r["bytes_read"] for r in ranks) <= 2 / P * read
    written = (tmp_path / "job.h5").stat().st_size
    assert max(r["bytes_written"] for r in ranks) <= 2 / P * written
    assert sum(r["bytes_written"] for r in ranks) > 0.9 * written
    eigen = [r["eigenproblems"] for r in ranks]
    assert max(eigen) <= 0.6 * sum(eigen) and sum(e > 0 for e in eigen) > 1, eigen
    phases = {p["name"]: p for p in report["phases"]}
    assert {"read", "survey", "collect", "solve", "cut", "advance", "write", "evaluate"} <= set(phases)
    total = sum(p["mean_s"] for name, p in phases.items() if "." not in name)
    # Within 5 %; a job this short also sees that its ranks do not start at the same moment.
    wall = report["run"]["wall_s"]
    assert abs(total - wall) < max(0.05 * wall, 0.15), (total, wall)
