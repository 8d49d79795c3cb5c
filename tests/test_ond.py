"""[prune] ond = standard, the decomposition of each head's whole product W_o W_v, against the fast form: equal products
where nothing is cut, and the same model where the two are the same decomposition (value rows of a head orthonormal)."""
import h5py
import numpy as np
import pytest

import judge
from helpers import DEMO, mpirun, run_job, write_config
from test_variants import METHOD, SAME, SEVEN, build, close, compare_layers, ids, prune, relative

MODELS = {"GQA": dict(), "MHA": dict(config={"num_key_value_heads": 4}),
          "biases": dict(config={"head_dim": 10, "attention_bias": True, "mlp_bias": True}, biases=SEVEN)}
NOTHING = dict(sparsity=0.02, mlp_num=0)  # of query and key something goes, of the values no neuron
CUT = dict(sparsity=0.25, mlp_num=2, ratio=0.2, skip_lowest=0.03)


def orthonormal_values(head):
    def change(weights):
        for name, w in weights.items():
            if name.endswith("v_proj.weight"):
                for rows in w.reshape(-1, head, w.shape[1]):
                    rows[:] = np.linalg.qr(rows.T)[0].T
    return change


def both(directory, settings, **more):
    """Reports and checkpoints of the two forms."""
    reports = [prune(directory, settings=settings | {"ond": form}, name=form, **more) for form in ("fast", "standard")]
    assert [r["settings"]["prune"]["ond"] for r in reports] == ["fast", "standard"]
    return reports, [judge.load_checkpoint(directory / f"{form}.h5") for form in ("fast", "standard")]


@pytest.mark.parametrize("name", MODELS)
def test_products_stay(name, tmp_path):
    build(tmp_path / "model", **MODELS[name])
    reports, (fast, standard) = both(tmp_path, NOTHING)
    for i in range(fast.L):
        compare_layers(standard, fast, i)
        for rows in standard.matrix(i, "v_proj").reshape(standard.K, -1, standard.d):
            gram = rows @ rows.T  # what the fast form does not do
            close(gram, np.eye(len(gram)) * gram[0, 0], METHOD, "value rows are orthogonal and equally long")
    assert relative(*(r["perplexity"]["pruned"] for r in reports)) < 1e-4


def dead(rows):
    rows[:] = 0


def equal(rows):
    rows[1], rows[3] = rows[0], rows[2]


@pytest.mark.parametrize("damage", [dead, equal])
def test_products_stay_where_value_rows_are_dependent(tmp_path, damage):
    """What of a bias lies outside of what a head's value rows span is kept as well: such heads take the fast form, said once."""
    build(tmp_path / "model", **MODELS["biases"], change=lambda w: damage(w["model.layers.1.self_attn.v_proj.weight"][:10]))
    reports, (fast, standard) = both(tmp_path, NOTHING)
    for i in range(fast.L):
        compare_layers(standard, fast, i)
    assert relative(*(r["perplexity"]["pruned"] for r in reports)) < 1e-4
    warned = [[(w["text"], w["count"]) for w in r["warnings"]] for r in reports]
    assert warned[0] == [] and len(warned[1]) == 1 and "linearly dependent" in warned[1][0][0] and warned[1][0][1] == 1


def test_heads_wider_than_the_model_are_refused_at_the_start(tmp_path):
    build(tmp_path / "model", config={"head_dim": 34})
    ids(tmp_path / "ids.npy", (4, 16))
    config = write_config(tmp_path / "job.ini", {
        "model": {"path": tmp_path / "model"}, "prune": {"sparsity": 0.05, "mlp_num": 1, "ond": "standard"},
        "calibration": {"tokens": tmp_path / "ids.npy", "samples": 4, "length": 16}, "output": {"checkpoint": tmp_path / "job.h5"}})
    for option in [], ["--check"]:
        done = mpirun(2, *option, config)
        assert done.returncode == 2 and "[prune] ond = standard" in done.stderr and "34" in done.stderr, done.stderr
        assert "survey" not in done.stderr
    assert mpirun(2, "--check", "--set", "prune.ond=fast", config).returncode == 0


@pytest.mark.parametrize("name", MODELS)
def test_same_model_of_orthonormal_values(name, tmp_path):
    build(tmp_path / "model", change=orthonormal_values(MODELS[name].get("config", {}).get("head_dim", 8)), **MODELS[name])
    reports, (fast, standard) = both(tmp_path, CUT)
    for i in range(fast.L):
        compare_layers(standard, fast, i)
    assert relative(*(r["perplexity"]["pruned"] for r in reports)) < 1e-4


def test_demo(tmp_path):
    """Of a trained model: products to 1e-4 where nothing is cut; else a model as good. The same bytes at any number of ranks."""
    def job(form, ranks, sparsity):
        return run_job(tmp_path, ranks, {
            "model": {"path": DEMO}, "prune": {"mlp_num": 1, "ond": form, "sparsity": sparsity}, "output": {"dtype": "fp32"},
            "calibration": {"tokens": DEMO / "calibration.npy", "samples": 12, "length": 128},
            "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 4}}, name=f"{form}{ranks}")["perplexity"]["pruned"]
    assert relative(job("standard", 2, 0.01), job("fast", 2, 0.01)) < 1e-4
    fast, one, three = job("fast", 2, 0.2), job("standard", 1, 0.2), job("standard", 3, 0.2)
    assert 0 < relative(one, fast) < 0.02 and relative(three, one) < SAME
    tensors = [{}, {}]
    for found, ranks in zip(tensors, (1, 3)):
        with h5py.File(tmp_path / f"standard{ranks}.h5") as file:
            file["model"].visititems(lambda path, item: found.update({path: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    assert tensors[0] == tensors[1]
