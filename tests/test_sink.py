"""refit on a model of Qwen2's kind: biases of query, key and value, large ones of the keys, a head of its own, and a first token
whose neurons and states are thousands of times the others', as large models have them."""
import json

import numpy as np
import pytest

import judge
from helpers import run_job
from test_refit import DEFAULTS, SMALL, golden_widths, least_and_total, measured, prune_layers
from test_variants import build, ids

FIRST, LENGTH, SAMPLES, NEURON = 0, 16, 9, 5  # the token, and the neuron of layer 0 that it alone excites
ATTENTION = ("q_proj", "k_proj", "v_proj")


def sink(w):
    """Token FIRST alone has a component 0; a neuron squares it and writes it to component 1."""
    w["model.embed_tokens.weight"][:, 0] = 0
    w["model.embed_tokens.weight"][FIRST, 0] = 40
    w["model.layers.0.self_attn.o_proj.weight"][0] = 0
    for name in ("gate", "up"):
        row = w[f"model.layers.0.mlp.{name}_proj.weight"][NEURON]
        row[:], row[0] = 0, 24
    w["model.layers.0.mlp.down_proj.weight"][:, NEURON] = 0
    w["model.layers.0.mlp.down_proj.weight"][1, NEURON] = 1
    for layer in range(SMALL["num_hidden_layers"]):
        w[f"model.layers.{layer}.self_attn.k_proj.bias"] *= 20


def begun(path, shape):
    """Random ids; every sequence begins with FIRST, which comes nowhere else."""
    rows = ids(path, shape)
    rows[rows == FIRST] = FIRST + 1
    rows[:, 0] = FIRST
    np.save(path, rows.ravel() if "evaluation" in path.name else rows)
    return rows


@pytest.mark.parametrize("shape, ranks", [("layerwise", 2), ("uniform", 1)])
def test_refit(shape, ranks, tmp_path):
    """Probes, widths, kept neurons, tensors and perplexity are the formulas'; no bias changes, in checkpoint and stock directory."""
    build(tmp_path / "model", config={**SMALL, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, biases=ATTENTION, change=sink)
    tokens, evaluation = begun(tmp_path / "calibration.npy", (SAMPLES, LENGTH)), begun(tmp_path / "evaluation.npy", (20, LENGTH)).ravel()
    m, o = judge.load_model(tmp_path / "model"), DEFAULTS
    _, taps = judge.run_layer(m, 0, m.w["embed_tokens"][tokens])
    peaks = np.abs(taps["neurons"]).reshape(SAMPLES, LENGTH, -1).max(2)
    assert peaks[:, 0].min() > 1000 * np.median(peaks[:, 1:]), "no massive activation"

    report = run_job(tmp_path, ranks, {
        "model": {"path": tmp_path / "model"}, "prune": {"method": "refit", **o, "shape": shape},
        "calibration": {"tokens": tmp_path / "calibration.npy", "samples": SAMPLES, "length": LENGTH},
        "evaluate": {"tokens": tmp_path / "evaluation.npy", "length": LENGTH}, "output": {"dtype": "fp32", "export": f"hf:{tmp_path / 'stock'}"}})
    if shape == "layerwise":
        kl, curves, influence = measured(m, tokens, o)
        assert report["probe_kl"] == pytest.approx(kl, rel=2e-3)
        width = golden_widths(m, o, kl, curves, influence)
    else:
        width = [m.f - least_and_total(m, o)[1] // m.L] * m.L
    assert [layer["ffn_width"] for layer in report["layers"]] == width
    golden, found = prune_layers(m, tokens, width, o), judge.load_checkpoint(tmp_path / "job.h5")
    assert NEURON in found.get(0, "ffn_kept") and report["parameters"]["pruned"] == golden.parameters()
    for name, x in golden.w.items():
        assert np.allclose(found.w[name], x, rtol=0, atol=1e-4 * np.abs(x).max()), name
    assert report["perplexity"]["pruned"] == pytest.approx(judge.perplexity(golden, evaluation, LENGTH), rel=1e-4)

    stock, config = judge.load_model(tmp_path / "stock"), json.loads((tmp_path / "stock" / "config.json").read_text())
    assert config["model_type"] == "qwen2" and config["architectures"] == ["Qwen2ForCausalLM"] and not config["tie_word_embeddings"]
    for model in (found, stock):
        assert np.array_equal(model.w["lm_head"], m.w["lm_head"]) and not np.array_equal(model.w["lm_head"], m.w["embed_tokens"])
        for i in range(m.L):
            for name in ATTENTION:
                assert np.array_equal(model.get(i, f"{name}/bias"), m.get(i, f"{name}/bias")), (i, name)
    assert judge.perplexity(stock, evaluation, LENGTH) == pytest.approx(report["perplexity"]["pruned"], rel=1e-4)
