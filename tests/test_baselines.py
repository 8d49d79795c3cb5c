"""The baselines of the field (flap, ...), each against its paper's formulas written a second time in NumPy, on random models of a few
kilobytes: kept sets equal, weights and perplexity to tolerance, at 1 and 2 ranks."""
import re

import numpy as np
import pytest

import judge
from helpers import mpirun, run_job, write_config
from test_variants import SEVEN, build, ids

CLOSE = 2e-5  # of a tensor's largest number: fp32 activations against float64
UPDATED = 3e-4  # of weights that an inverse Gram has changed
LAYERS, SAMPLES, LENGTH = 4, 9, 16
MODELS = {  # config, biases
    "grouped": ({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8, "hidden_size": 32}, ()),
    "plain": ({"num_attention_heads": 4, "num_key_value_heads": 4}, ()),
    "biased": ({"num_attention_heads": 8, "num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True}, SEVEN),
}


def job_of(directory, method, kind, sparsity, ffn=40):
    config, biases = MODELS[kind]
    build(directory / "model", config={"num_hidden_layers": LAYERS, "intermediate_size": ffn, **config}, biases=biases)
    ids(directory / "calibration.npy", (SAMPLES, LENGTH))
    ids(directory / "evaluation.npy", (400,))
    return {"model": {"path": directory / "model"}, "prune": {"method": method, "sparsity": sparsity},
            "calibration": {"tokens": directory / "calibration.npy", "samples": SAMPLES, "length": LENGTH},
            "evaluate": {"tokens": directory / "evaluation.npy", "length": LENGTH}, "output": {"dtype": "fp32"}}


def compare(golden, directory, report, close=CLOSE):
    """Names, shapes, kept lists and numbers of all tensors; the report's parameters and perplexity."""
    found = judge.load_checkpoint(directory / "job.h5")
    assert set(golden.w) <= set(found.w) and all(name.endswith("kept") for name in set(found.w) - set(golden.w))
    for name, x in golden.w.items():
        if name.endswith("kept"):
            assert found.w[name].tolist() == np.asarray(x).tolist(), name
        else:
            assert found.w[name].shape == x.shape and np.abs(found.w[name] - x).max() <= close * np.abs(x).max(), name
    assert report["parameters"]["pruned"] == golden.parameters()
    want = judge.perplexity(golden, np.load(directory / "evaluation.npy"), LENGTH)
    assert report["perplexity"]["pruned"] == pytest.approx(want, rel=max(1e-5, close / 3))


# ---- what the formulas share -----------------------------------------------------------------------------------

ATTENTION, FFN = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")


def unit_sizes(m):
    """Parameters of a key/value head with its query heads, and of an FFN neuron."""
    bias = lambda name: m.get(0, name + "/bias") is not None
    head = m.h * sum((m.g if name == "q_proj" else 1) * (m.d + bias(name)) for name in ATTENTION) + m.g * m.h * m.d
    return head, 3 * m.d + bias("gate_proj") + bias("up_proj")


def rows_of(m, heads, each):
    """Channels of these key/value heads: `each` of a head."""
    return np.concatenate([np.arange(j * each, (j + 1) * each) for j in heads]).astype(int)


def keep_units(m, i, heads, neurons):
    """Layer i keeps these key/value heads and these neurons."""
    wide = rows_of(m, heads, m.g * m.h)
    for name, rows in (("q_proj", wide), ("k_proj", rows_of(m, heads, m.h)), ("v_proj", rows_of(m, heads, m.h)),
                       *((name, neurons) for name in FFN)):
        for part in ("weight", "bias"):
            if m.get(i, f"{name}/{part}") is not None:
                m.put(i, f"{name}/{part}", m.get(i, f"{name}/{part}")[rows])
    m.put(i, "o_proj/weight", m.get(i, "o_proj/weight")[:, wide])
    m.put(i, "down_proj/weight", m.get(i, "down_proj/weight")[:, neurons])
    m.put(i, "ffn_kept", neurons)
    if len(heads) < m.K:
        m.put(i, "kv_heads_kept", heads)


def copy_of(dense):
    return judge.Model(dense.config, dict(dense.w))


# ---- FLAP ------------------------------------------------------------------------------------------------------

def flap(dense, tokens, sparsity):
    """An et al. 2024: S_j = Var(X_j) ||W_:j||², standardised by layer and module, compared over the whole model; removed inputs' means
    go through W into a bias."""
    m, x, units, means = copy_of(dense), dense.w["embed_tokens"][tokens], [], []
    for i in range(m.L):
        x, taps = judge.run_layer(dense, i, x)
        means.append((taps["values"].mean(0), taps["neurons"].mean(0)))
        for kind, tap, name, each in (("head", "values", "o_proj", m.g * m.h), ("neuron", "neurons", "down_proj", 1)):
            s = taps[tap].var(0, ddof=1) * (dense.get(i, name + "/weight") ** 2).sum(0)
            s = (s - s.mean()) / s.std()
            units += [(score, i, kind, n) for n, score in enumerate(s.reshape(-1, each).mean(1))]
    head, neuron = unit_sizes(dense)
    fresh = sum(dense.get(0, name + "/bias") is None for name in ("o_proj", "down_proj"))
    rest = dense.parameters() * sparsity + fresh * m.d * m.L
    kept = {(i, "head"): list(range(m.K)) for i in range(m.L)} | {(i, "neuron"): list(range(m.f)) for i in range(m.L)}
    scores = sorted(units, key=lambda unit: unit[0])
    assert min(b[0] - a[0] for a, b in zip(scores, scores[1:])) > 1e-7  # no choice hangs on rounding
    for _, i, kind, n in scores:
        size = head if kind == "head" else neuron
        if size <= rest and len(kept[i, kind]) > 1:
            kept[i, kind].remove(n)
            rest -= size
    for i in range(m.L):
        heads, neurons = np.array(kept[i, "head"]), np.array(kept[i, "neuron"])
        for name, mean, stay in (("o_proj", means[i][0], rows_of(m, heads, m.g * m.h)), ("down_proj", means[i][1], neurons)):
            gone = np.setdiff1d(np.arange(len(mean)), stay)
            bias = m.get(i, name + "/bias")
            m.put(i, name + "/bias", (0 if bias is None else bias) + m.get(i, name + "/weight")[:, gone] @ mean[gone])
        keep_units(m, i, heads, neurons)
    return m


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind, sparsity", [("grouped", 0.2), ("plain", 0.33), ("biased", 0.3)])
def test_flap(kind, sparsity, ranks, tmp_path):
    sections = job_of(tmp_path, "flap", kind, sparsity)
    report = run_job(tmp_path, ranks, sections)
    golden = flap(judge.load_model(tmp_path / "model"), np.load(tmp_path / "calibration.npy"), sparsity)
    compare(golden, tmp_path, report)
    assert report["parameters"]["sparsity_reached"] == pytest.approx(sparsity, abs=2 * golden.d * 3 / report["parameters"]["dense"])
    heads = [layer.get("kv_heads", golden.K) for layer in report["layers"]]
    assert min(heads) < golden.K and len({layer["ffn_width"] for layer in report["layers"]}) > 1  # it is adaptive, and cuts heads


# ---- Wanda-sp --------------------------------------------------------------------------------------------------

def even_share(dense, sparsity):
    """Heads and neurons that go from each layer; the neurons make up for the rounding of the heads."""
    head, neuron = unit_sizes(dense)
    layer = dense.parameters() * sparsity / dense.L
    heads = int(layer / (head * dense.K + neuron * dense.f) * dense.K)
    return heads, int((layer - heads * head) / neuron + 1e-9)


def wanda_sp(dense, tokens, sparsity):
    """Sun et al. 2024 as An et al. 2024 have it for structures: |W_ij| ||x_j||_2 summed over outputs and a head's channels."""
    m, x, (heads, neurons) = copy_of(dense), dense.w["embed_tokens"][tokens], even_share(dense, sparsity)
    for i in range(m.L):
        _, taps = judge.run_layer(m, i, x)
        rate = lambda name, tap: np.abs(m.get(i, name + "/weight")).sum(0) * np.linalg.norm(taps[tap], axis=0)
        keep_units(m, i, judge.keep(rate("o_proj", "values").reshape(m.K, -1).sum(1), 0, heads),
                   judge.keep(rate("down_proj", "neurons"), 0, neurons))
        x, _ = judge.run_layer(m, i, x)
    return m


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind, sparsity, heads", [("grouped", 0.3, 1), ("plain", 0.15, 0), ("biased", 0.4, 1)])
def test_wanda_sp(kind, sparsity, heads, ranks, tmp_path):
    report = run_job(tmp_path, ranks, job_of(tmp_path, "wanda-sp", kind, sparsity))
    dense = judge.load_model(tmp_path / "model")
    assert even_share(dense, sparsity)[0] == heads
    compare(wanda_sp(dense, np.load(tmp_path / "calibration.npy"), sparsity), tmp_path, report)


# ---- SlimGPT ---------------------------------------------------------------------------------------------------

def surgeon(W, X, each, gone, damping=0.01):
    """Ling et al. 2024, algorithm 1: W without `gone` groups of `each` columns, and those that stay. H is inverted anew for every step."""
    H = X.T @ X
    H += damping * np.diag(H).mean() * np.eye(len(H))
    W, left, step, batch = W.copy(), list(range(len(H) // each)), 0, gone
    columns = lambda groups: np.concatenate([np.arange(j * each, (j + 1) * each) for j in groups]).astype(int)
    target = len(left) - gone
    while len(left) > target:
        c = columns(left)
        inverse = np.linalg.inv(H[np.ix_(c, c)])
        at = lambda k: slice(k * each, (k + 1) * each)
        error = np.array([((W[:, c[at(k)]] ** 2).sum(0) / np.diag(np.linalg.cholesky(inverse[at(k), at(k)])) ** 2).sum()
                          for k in range(len(left))])
        batch = (batch - 512) // 2
        count = 1 if each > 1 else min(len(left) - target, max(batch, 64), 1024)
        order = np.argsort(error, kind="stable")
        assert count == len(order) or error[order[count]] / error[order[count - 1]] > 1 + 1e-5  # no choice hangs on rounding
        G = np.concatenate([np.arange(k * each, (k + 1) * each) for k in order[:count]])
        W[:, c] -= W[:, c[G]] @ np.linalg.solve(inverse[np.ix_(G, G)], inverse[G])
        left = [j for k, j in enumerate(left) if k not in set(order[:count])]
    return W, np.array(left)


def slimgpt_shares(m, sparsity):
    """Heads and neurons that go from each layer: the share grows with the logarithm of the depth, from a quarter of the last one's."""
    head, neuron = unit_sizes(m)
    weight = 0.25 + 0.75 * np.log(1 + np.arange(m.L)) / np.log(m.L)
    layer, owed, counts = head * m.K + neuron * m.f, 0, []
    for share in m.parameters() * sparsity / layer * weight / weight.sum():
        owed += share * layer
        heads = int(min(share * m.K + 0.5, owed // head, m.K - 1))
        neurons = int((owed - heads * head) / neuron + 1e-9)
        owed -= heads * head + neurons * neuron
        counts.append((heads, neurons))
    return counts


def slimgpt(dense, tokens, sparsity):
    m, x = copy_of(dense), dense.w["embed_tokens"][tokens]
    for i, (heads, neurons) in enumerate(slimgpt_shares(dense, sparsity)):
        kept = []
        for tap, name, each, gone in (("values", "o_proj", m.g * m.h, heads), ("neurons", "down_proj", 1, neurons)):
            _, taps = judge.run_layer(m, i, x)  # of down with o as it is cut by then
            W, stay = surgeon(m.get(i, name + "/weight"), taps[tap], each, gone)
            W[:, np.setdiff1d(np.arange(W.shape[1]), rows_of(m, stay, each))] = 0
            m.put(i, name + "/weight", W)
            kept.append(stay)
        keep_units(m, i, *kept)
        x, _ = judge.run_layer(m, i, x)
    return m


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind, sparsity, ffn", [("grouped", 0.3, 40), ("plain", 0.4, 300), ("biased", 0.3, 40)])
def test_slimgpt(kind, sparsity, ffn, ranks, tmp_path):
    """300 neurons go in batches of 64."""
    report = run_job(tmp_path, ranks, job_of(tmp_path, "slimgpt", kind, sparsity, ffn=ffn))
    dense = judge.load_model(tmp_path / "model")
    counts = slimgpt_shares(dense, sparsity)
    assert max(heads for heads, _ in counts) > 1 and len({neurons for _, neurons in counts}) > 2
    assert (max(neurons for _, neurons in counts) > 64) == (ffn > 64)
    compare(slimgpt(dense, np.load(tmp_path / "calibration.npy"), sparsity), tmp_path, report, close=UPDATED)


# ---- SVD-LLM ---------------------------------------------------------------------------------------------------

READS = {"q_proj": "attention_input", "k_proj": "attention_input", "v_proj": "attention_input", "o_proj": "values",
         "gate_proj": "ffn_input", "up_proj": "ffn_input", "down_proj": "neurons"}


def svd_llm(dense, tokens, sparsity):
    """Wang et al. 2025: X Xᵀ = S Sᵀ, W S = U Σ Vᵀ, truncated, times S^-1. Returns the model with whole matrices, and the ranks."""
    m, x, ranks, owed = copy_of(dense), dense.w["embed_tokens"][tokens], {}, 0
    share = dense.parameters() * sparsity / sum(dense.get(i, p + "/weight").size for i in range(dense.L) for p in READS)
    for i in range(dense.L):
        x, taps = judge.run_layer(dense, i, x)
        for name, tap in READS.items():
            W = dense.get(i, name + "/weight")
            owed += share * W.size
            rank = int(np.ceil((W.size - owed) / sum(W.shape) - 1e-9))
            owed -= W.size - rank * sum(W.shape)
            S = np.linalg.cholesky(taps[tap].T @ taps[tap])
            U, sigma, Vt = np.linalg.svd(W @ S, full_matrices=False)
            assert sigma[rank] < 0.999 * sigma[rank - 1]
            m.put(i, name + "/weight", np.linalg.solve(S.T, ((U[:, :rank] * sigma[:rank]) @ Vt[:rank]).T).T)
            ranks[i, name] = rank
    return m, ranks


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind, sparsity", [("grouped", 0.2), ("plain", 0.4), ("biased", 0.3)])
def test_svd_llm(kind, sparsity, ranks, tmp_path):
    report = run_job(tmp_path, ranks, job_of(tmp_path, "svd-llm", kind, sparsity))
    dense, found = judge.load_model(tmp_path / "model"), judge.load_checkpoint(tmp_path / "job.h5")
    golden, cut = svd_llm(dense, np.load(tmp_path / "calibration.npy"), sparsity)
    for (i, name), rank in cut.items():
        want = golden.get(i, name + "/weight")
        assert found.get(i, name + "/b").shape[1] == report["layers"][i][name.replace("proj", "rank")] == rank
        assert np.abs(found.matrix(i, name) - want).max() <= UPDATED * np.abs(want).max(), (i, name)
        assert np.array_equal(found.get(i, name + "/bias"), dense.get(i, name + "/bias"))
    gone = sum(dense.get(i, name + "/weight").size - rank * sum(dense.get(i, name + "/weight").shape) for (i, name), rank in cut.items())
    assert report["parameters"]["pruned"] == found.parameters() == dense.parameters() - gone
    assert 0 <= dense.parameters() * sparsity - gone < dense.d + dense.f
    want = judge.perplexity(golden, np.load(tmp_path / "evaluation.npy"), LENGTH)
    assert report["perplexity"]["pruned"] == pytest.approx(want, rel=UPDATED / 3)


# ---- all of them -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["flap", "wanda-sp", "slimgpt", "svd-llm"])
def test_over_nodes(method, tmp_path):
    """Three nodes of one rank make the same checkpoint as one rank; with products in bf16 it is near."""
    sections = job_of(tmp_path, method, "grouped", 0.3)
    alone = run_job(tmp_path, 1, sections, name="alone")
    run_job(tmp_path, 3, sections, name="apart", env={"OLICA_RANKS_PER_NODE": 1})
    a, b = (judge.load_checkpoint(tmp_path / f"{name}.h5").w for name in ("alone", "apart"))
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
    near = run_job(tmp_path, 2, {**sections, "compute": {"precision": "bf16"}}, name="rounded")
    assert near["perplexity"]["pruned"] == pytest.approx(alone["perplexity"]["pruned"], rel=0.1)


@pytest.mark.parametrize("method", ["flap", "wanda-sp", "slimgpt", "svd-llm"])
def test_refusal_names_what_can_be(method, tmp_path):
    """The largest sparsity that the refusal names is taken, and a little more is not."""
    done = check(tmp_path, method, 0.95)
    most = float(re.search(r"sparsity = 0\.95 asks .* at most (0\.\d+)", done.stderr)[1])
    assert done.returncode == 2 and 0.3 < most < 0.95
    assert check(tmp_path, method, most).returncode == 0
    assert check(tmp_path, method, most + 0.002).returncode == 2


def check(directory, method, sparsity):
    sections = job_of(directory, method, "grouped", sparsity)
    sections["output"].update(checkpoint=directory / "job.h5", report=directory / "job.json")
    return mpirun(1, "--check", write_config(directory / "job.ini", sections))


@pytest.mark.parametrize("eigen", ["scalapack", "slepc"])
def test_svd_llm_on_grids(eigen, tmp_path):
    sections = job_of(tmp_path, "svd-llm", "plain", 0.3)
    alone = run_job(tmp_path, 1, sections, name="alone")["perplexity"]["pruned"]
    report = run_job(tmp_path, 4, {**sections, "solver": {"eigen": eigen, "block": 8}}, env={"OLICA_RANKS_PER_NODE": 3})
    assert report["perplexity"]["pruned"] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("method", ["flap", "svd-llm"])
def test_what_is_new_in_bf16(method, tmp_path):
    """Layers of different numbers of heads, and of factors in place of every matrix, pass in bf16 as they do in fp32, to rounding."""
    sections = job_of(tmp_path, method, "grouped", 0.3)
    plain = run_job(tmp_path, 2, sections, name="plain")["perplexity"]["pruned"]
    evaluate = {"model": {"path": tmp_path / "plain.h5"}, "prune": {"method": "none"}, "evaluate": sections["evaluate"]}
    found = run_job(tmp_path, 2, {**evaluate, "compute": {"precision": "bf16"}}, name="rounded")["perplexity"]
    assert found.get("model", found.get("dense")) == pytest.approx(plain, rel=0.02)
