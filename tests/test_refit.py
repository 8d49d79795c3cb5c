"""method = refit: goldens of an independent float64 program (kept neurons, down matrices, perplexity) on any ranks, nodes and
solvers; its settings."""
import json

import h5py
import numpy as np
import pytest

import judge
from helpers import DEMO, mpirun, run_job, shared, write_config
from test_variants import SEVEN, build, ids

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


# ---- widths by layer, written a second time -------------------------------------------------------------------------

def collected(m, layer, x):
    """What a layer's pass tells: states behind it, C, the mean of its diagonal, importances."""
    y, taps = judge.run_layer(m, layer, x)
    u, h = taps["neurons"], taps["ffn_input"]
    norm = lambda name: np.linalg.norm(m.get(layer, name + "/weight") * np.sqrt(judge.energy(h, len(x))), axis=1)
    down = np.linalg.norm(m.get(layer, "down_proj/weight"), axis=0) * np.sqrt(judge.energy(u, len(x)))
    return y, u.T @ u, norm("up_proj") + norm("gate_proj") + down


BLOCK = 32  # neurons that select = obs takes at once


def order_of(m, layer, C, importance, o, stay):
    """The neurons, those that stay longest first; by OBS those behind `stay` have gone."""
    if o["select"] == "olica":
        rising, skipped = np.argsort(importance, kind="stable"), int(o["skip_lowest"] * len(C))
        return np.concatenate([rising[:skipped], rising[skipped:][::-1]])
    W, left, gone = m.get(layer, "down_proj/weight").astype(np.float64), np.arange(len(C)), np.array([], int)
    P = np.linalg.inv(C + o["damping"] * np.diag(C).mean() * np.eye(len(C)))
    while True:
        left = left[np.argsort((W[:, left] ** 2).sum(0) / np.diag(P)[left], kind="stable")[::-1]]
        count = min(BLOCK, len(left) - stay)
        if count <= 0:
            return np.concatenate([left, gone])
        left, G, gone = left[:-count], left[-count:], np.concatenate([left[-count:], gone])
        rows = np.linalg.solve(P[np.ix_(G, G)], P[G])
        W, P = W - W[:, G] @ rows, P - P[:, G] @ rows


def refitted(m, layer, C, kept, damping):
    """The tensors of the layer that keeps these neurons."""
    W, D = m.get(layer, "down_proj/weight"), damping * np.diag(C).mean()
    rows = W @ C[:, kept] + D * W[:, kept]
    out = {"down_proj/weight": np.linalg.solve(C[np.ix_(kept, kept)] + D * np.eye(len(kept)), rows.T).T}
    for name in ("gate_proj/weight", "up_proj/weight", "gate_proj/bias", "up_proj/bias"):
        if m.get(layer, name) is not None:
            out[name] = m.get(layer, name)[kept]
    return out


def damping_of(o, f, tokens):
    """What `damping` = 0 is."""
    if o["damping"] > 0:
        return o["damping"]
    return min(1, max(0.1, 3 * f / tokens)) if o.get("shape", "layerwise") == "layerwise" and o["select"] == "olica" else 0.1


def cut_copy(m, layer, tensors):
    other = judge.Model(m.config, dict(m.w))
    for name, x in tensors.items():
        other.put(layer, name, x)
    return other


def log_softmax(m, x):
    z = judge.rms_norm(m, x, m.w["norm"]) @ m.w.get("lm_head", m.w["embed_tokens"]).T
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def curve_of(m, layer, C, order):
    """E(n): the least error of the FFN's output when the first n neurons of the order stay, from the definition."""
    f, W = len(C), m.get(layer, "down_proj/weight")[:, order]
    G = C[np.ix_(order, order)] + 1e-3 * np.diag(C).mean() * np.eye(len(C))
    E = np.zeros(f + 1)
    for n in range(f):  # of G's Schur complement behind the first n
        rest = G[n:, n:] - (G[n:, :n] @ np.linalg.solve(G[:n, :n], G[:n, n:]) if n else 0)
        E[n] = np.trace(W[:, n:] @ rest @ W[:, n:].T)
    return E


def convex(E):
    """The lower convex hull of the points (n, E[n]): the largest convex function below them."""
    f = len(E) - 1
    hull = E.copy()
    for n in range(f + 1):
        for a in range(n):
            for b in range(n + 1, f + 1):
                hull[n] = min(hull[n], E[a] + (E[b] - E[a]) * (n - a) / (b - a))
    return hull


def measured(m, ids, o):
    """KL of the probes, curves and cosines of a pass over the dense model."""
    x = start = m.w["embed_tokens"][ids]
    S, half = len(ids), m.f // 2
    probes = [S * k // o["probes"] for k in range(o["probes"])]
    cut, curves, influence = [], [], []
    for i in range(m.L):
        y, C, importance = collected(m, i, x)
        cos = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
        influence.append(1 - cos.mean())
        order = order_of(m, i, C, importance, o, 1)
        curves.append(curve_of(m, i, C, order))
        cut.append(cut_copy(m, i, refitted(m, i, C, np.sort(order[:half]), o["damping"])))
        x = y
    p = log_softmax(m, x[probes])
    kl = []
    for other in cut:
        z = start[probes]
        for i in range(m.L):
            z, _ = judge.run_layer(other, i, z)
        q = log_softmax(m, z)
        kl.append((np.exp(p) * (p - q)).sum(-1).mean())
    return np.array(kl), curves, np.array(influence)


def cap_of(p, share):
    return max(min(0.95, 0.5 + 0.15 * max(0, p - 0.2) / 0.13), share + (1 - share) / 8)


def least_and_total(m, o):
    neuron = 3 * m.d + sum(m.get(0, f"{name}_proj/bias") is not None for name in ("gate", "up"))
    total = int(m.parameters() * o["sparsity"] / neuron)
    least = max((1 - (o.get("cap") or cap_of(o["sparsity"], total / m.L / m.f))) * m.f, int(o["skip_lowest"] * m.f) * (o["select"] == "olica"), 1)
    return int(np.ceil(least / o["align"] - 1e-9)) * o["align"], total


def widths(m, o, cost):
    """One step after the other from the layer where it costs least: cost(layer, from, to) a neuron."""
    least, left = least_and_total(m, o)
    width = [m.f] * m.L
    while True:
        steps = []
        for i, n in enumerate(width):
            to = n - (n % o["align"] or o["align"])
            if to >= least and n - to <= left:
                steps.append((cost(i, n, to), i, to))
        if not steps:
            return width
        _, i, to = min(steps)
        left -= width[i] - to
        width[i] = to


def golden_widths(m, o, kl, curves, influence):
    if o["allocation"] == "influence":
        weight = np.exp(-influence / 0.2) / np.exp(-influence / 0.2).sum()
        return widths(m, o, lambda i, n, to: (m.f - to) / weight[i])
    if o["allocation"] == "uniform":
        return widths(m, o, lambda i, n, to: m.f - to)
    loss = [hull * k / hull[m.f // 2] for hull, k in zip(map(convex, curves), kl)]
    return widths(m, o, lambda i, n, to: (loss[i][to] - loss[i][n]) / (n - to))


def prune_layers(m, ids, width, o):
    """Layer by layer on the pruned stream, or on the dense one."""
    out, x = judge.Model(m.config, dict(m.w)), m.w["embed_tokens"][ids]
    for i in range(m.L):
        y, C, importance = collected(m, i, x)
        kept = np.sort(order_of(out, i, C, importance, o, width[i])[:width[i]])
        for name, tensor in refitted(m, i, C, kept, o["damping"]).items():
            out.put(i, name, tensor)
        x = y if o["statistics"] == "dense" else judge.run_layer(out, i, x)[0]
    return out


SMALL = {"num_hidden_layers": 4, "intermediate_size": 44, "max_position_embeddings": 96}
DEFAULTS = {"sparsity": 0.2, "allocation": "measured", "select": "olica", "probes": 3, "damping": 0.1, "skip_lowest": 0.03, "statistics": "pruned", "align": 1}


def layerwise(directory, **prune):
    biased, f = prune.pop("biased", False), prune.pop("neurons", SMALL["intermediate_size"])
    build(directory / "model", config=dict(SMALL, intermediate_size=f, attention_bias=biased, mlp_bias=biased), biases=SEVEN if biased else ())
    ids(directory / "calibration.npy", (9, 16))
    ids(directory / "evaluation.npy", (300,))
    return {"model": {"path": directory / "model"}, "prune": {"method": "refit", **DEFAULTS, **prune},
            "calibration": {"tokens": directory / "calibration.npy", "samples": 9, "length": 16},
            "evaluate": {"tokens": directory / "evaluation.npy", "length": 16}, "output": {"dtype": "fp32"}}


CASES = [{}, {"align": 8}, {"biased": True, "sparsity": 0.3}, {"allocation": "influence"}, {"allocation": "uniform", "sparsity": 0.25},
         {"statistics": "dense", "cap": 0.6, "sparsity": 0.25}, {"allocation": "influence", "align": 8, "sparsity": 0.35},
         {"damping": 0, "neurons": 24}, {"damping": 0, "neurons": 80, "sparsity": 0.3}]
OBS = [{"select": "obs", "neurons": 100, "sparsity": 0.4, "damping": 0.01}, {"select": "obs", "neurons": 70, "biased": True, "align": 8},
       {"select": "obs", "neurons": 100, "sparsity": 0.4, "allocation": "uniform", "statistics": "dense"}]
RUNS = [(case, ranks) for case in CASES + OBS for ranks in (1, 3)] + [(OBS[0], ranks) for ranks in (2, 4, 8)]


@pytest.mark.parametrize("prune, ranks", RUNS, ids=lambda it: "-".join(map(str, it.values())) or "default" if isinstance(it, dict) else str(it))
def test_widths_by_layer_are_their_formulas(prune, ranks, tmp_path):
    """Probes, curves, influence, widths, kept neurons and down matrices."""
    sections = layerwise(tmp_path, **prune)
    if ranks == 3:
        sections["solver"] = {"eigen": "scalapack", "block": 4}
    report = run_job(tmp_path, ranks, {**sections, "calibration": {**sections["calibration"], "save": tmp_path / "stats.h5"}})
    o, m = {**DEFAULTS, **prune}, judge.load_model(tmp_path / "model")
    tokens = np.load(tmp_path / "calibration.npy")
    o["damping"] = damping_of(o, m.f, tokens.size)
    kl, curves, influence = measured(m, tokens, o)
    if o["allocation"] == "measured":
        assert report["probe_kl"] == pytest.approx(kl, rel=2e-3)
        with h5py.File(tmp_path / "stats.h5") as file:
            name = next(name for name in names_in(file) if name.endswith("error_curve"))
            assert np.allclose(file[name][()], curves, rtol=1e-4, atol=1e-4 * np.max(curves))
    if o["allocation"] == "influence":
        assert report["block_influence"] == pytest.approx(influence, rel=1e-4)
    width = golden_widths(m, o, kl, curves, influence)
    assert [layer["ffn_width"] for layer in report["layers"]] == width
    golden, found = prune_layers(m, tokens, width, o), judge.load_checkpoint(tmp_path / "job.h5")
    assert report["parameters"]["pruned"] == golden.parameters()
    for name, x in golden.w.items():
        assert np.allclose(found.w[name], x, rtol=0, atol=1e-4 * np.abs(x).max()), name
    want = judge.perplexity(golden, np.load(tmp_path / "evaluation.npy"), 16)
    assert report["perplexity"]["pruned"] == pytest.approx(want, rel=1e-4)


# ---- shape = olica, written a second time ------------------------------------------------------------------------

LEVELS = 32  # of query and key
KINDS = ("ffn", "values", "query")


def ranks_of(m, level):
    """Ranks of query and key at a level; None: whole."""
    out = {}
    for name, rows in (("q_proj", m.H * m.h), ("k_proj", m.K * m.h)):
        r = int(np.ceil(level / LEVELS * m.d * rows / (m.d + rows)))
        out[name] = None if level == LEVELS or r < 1 or r * (m.d + rows) >= m.d * rows else r
    return out


def turned(m, layer, e):
    other = judge.Model(m.config, dict(m.w))
    judge.rotate(other, layer, e)
    return other


def seen(m, layer, x, o, stay):
    """What a pass over a layer with turned values tells."""
    y, taps = judge.run_layer(m, layer, x)
    _, C, importance = collected(m, layer, x)
    s, z = judge.energy(taps["attention_input"], len(x)), taps["values"]
    into = np.linalg.norm(m.get(layer, "v_proj/weight") * np.sqrt(s), axis=1).reshape(m.K, m.h)
    out = np.linalg.norm(m.get(layer, "o_proj/weight"), axis=0) * np.sqrt(judge.energy(z, len(x)))
    values = np.argsort(into + out.reshape(m.K, m.g, m.h).sum(1), axis=1, kind="stable")[:, ::-1]
    return y, {"C": C, "order": order_of(m, layer, C, importance, o, stay), "s": s, "Z": z.T @ z, "values": values}


def inputs(m, values, n):
    """Inputs of o that the first n value neurons of every head make, those of the first ones first."""
    return [q * m.h + values[q // m.g, i] for i in range(n) for q in range(m.H)]


def ridge_on(W, C, kept, damping):
    D = damping * np.diag(C).mean()
    return np.linalg.solve(C[np.ix_(kept, kept)] + D * np.eye(len(kept)), (W @ C[:, kept] + D * W[:, kept]).T).T


def smaller(m, layer, t, level, o):
    """The model whose layer has these levels."""
    out = judge.Model(m.config, dict(m.w))
    for name, rank in ranks_of(m, level["query"]).items():
        judge.cut_query_key(out, layer, name, rank, t["s"])
    if level["values"] < m.h:
        kept = np.sort(t["values"][:, :level["values"]], axis=1)
        rows = np.concatenate([j * m.h + kept[j] for j in range(m.K)])
        out.put(layer, "o_proj/weight", ridge_on(m.get(layer, "o_proj/weight"), t["Z"], sorted(inputs(m, t["values"], level["values"])), o["damping"]))
        for name in ("v_proj/weight", "v_proj/bias"):
            if m.get(layer, name) is not None:
                out.put(layer, name, m.get(layer, name)[rows])
    if level["ffn"] < m.f:
        for name, x in refitted(m, layer, t["C"], np.sort(t["order"][:level["ffn"]]), o["damping"]).items():
            out.put(layer, name, x)
    return out


def curve_by_inputs(W, C, order):
    G = C[np.ix_(order, order)] + 1e-3 * np.diag(C).mean() * np.eye(len(C))
    c = ((W[:, order] @ np.linalg.cholesky(G)) ** 2).sum(0)
    return np.concatenate([np.cumsum(c[::-1])[::-1], [0]])


def query_curve(m, layer, s):
    E = np.zeros(LEVELS + 1)
    for name in ("q_proj", "k_proj"):
        square = np.linalg.svd(m.get(layer, name + "/weight") * np.sqrt(s), compute_uv=False) ** 2
        for t in range(LEVELS):
            rank = 0 if t == 0 else ranks_of(m, t)[name]
            E[t] += 0 if rank is None else square[rank:].sum() / square.sum()
    return E


def numbers(m, kind, level):
    """Stored numbers of a module of layer 0 at a level."""
    bias = lambda name, n: n if m.get(0, name + "/bias") is not None else 0
    if kind == "ffn":
        return level * 3 * m.d + bias("gate_proj", level) + bias("up_proj", level) + bias("down_proj", m.d)
    if kind == "values":
        return level * (m.K + m.H) * m.d + bias("v_proj", m.K * level) + bias("o_proj", m.d)
    total = 0
    for name, rank in ranks_of(m, level).items():
        rows = len(m.get(0, name + "/weight"))
        total += (rank * (m.d + rows) if rank else rows * m.d) + bias(name, rows)
    return total


def survey_modules(m, ids, o):
    x = start = m.w["embed_tokens"][ids]
    full, half = {"ffn": m.f, "values": m.h, "query": LEVELS}, {"ffn": m.f // 2, "values": m.h // 2, "query": LEVELS // 2}
    probes = [len(ids) * k // o["probes"] for k in range(o["probes"])]
    energies, losses, cut = [], [], []
    for i in range(m.L):
        _, taps = judge.run_layer(m, i, x)
        energies.append(judge.energy(taps["attention_output"], len(x)))
        other = turned(m, i, energies[i])
        x, t = seen(other, i, x, o, 1)
        by_input = curve_by_inputs(other.get(i, "o_proj/weight"), t["Z"], inputs(m, t["values"], m.h))
        losses.append({"ffn": curve_of(other, i, t["C"], t["order"]), "values": by_input[::m.H], "query": query_curve(m, i, t["s"])})
        cut.append({kind: smaller(other, i, t, {**full, kind: half[kind]}, o) for kind in KINDS})
    p = log_softmax(m, x[probes])
    kl = {kind: [] for kind in KINDS}
    for variants in cut:
        for kind, other in variants.items():
            z = start[probes]
            for i in range(m.L):
                z, _ = judge.run_layer(other, i, z)
            kl[kind].append((np.exp(p) * (p - log_softmax(m, z))).sum(-1).mean())
    return energies, losses, kl, half


def levels_of(m, o, losses, kl, half):
    size = {kind: [0] + [numbers(m, kind, n) for n in range(1, full + 1)] for kind, full in (("ffn", m.f), ("values", m.h), ("query", LEVELS))}
    total = int(m.parameters() * o["sparsity"])
    share = total / sum(size[kind][-1] for kind in KINDS) / m.L
    cap = o.get("cap") or cap_of(o["sparsity"], share)
    least = {kind: max(int(np.ceil((1 - cap) * (len(size[kind]) - 1) - 1e-9)), 1) for kind in KINDS}
    least["ffn"] = int(np.ceil(max((1 - cap) * m.f, int(o["skip_lowest"] * m.f)) / o["align"] - 1e-9)) * o["align"]
    loss = [{kind: convex(E) * kl[kind][i] / convex(E)[half[kind]] for kind, E in layer.items()} for i, layer in enumerate(losses)]
    at, left = [{kind: len(size[kind]) - 1 for kind in KINDS} for _ in range(m.L)], total
    while True:
        steps = []
        for i in range(m.L):
            for k, kind in enumerate(KINDS):
                n, s = at[i][kind], size[kind]
                to = n - (n % o["align"] or o["align"]) if kind == "ffn" else n - 1
                while to >= least[kind] and s[to] >= s[n]:
                    to -= 1
                if to >= least[kind] and s[n] - s[to] <= left:
                    steps.append(((loss[i][kind][to] - loss[i][kind][n]) / (s[n] - s[to]), i, k, to))
        if not steps:
            return at
        _, i, k, to = min(steps)
        left -= size[KINDS[k]][at[i][KINDS[k]]] - size[KINDS[k]][to]
        at[i][KINDS[k]] = to


def prune_modules(m, ids, o, energies, levels):
    out, x = judge.Model(m.config, dict(m.w)), m.w["embed_tokens"][ids]
    for i in range(m.L):
        if levels[i]["values"] < m.h:
            judge.rotate(out, i, energies[i])
        y, t = seen(out, i, x, o, levels[i]["ffn"])
        out = smaller(out, i, t, levels[i], o)
        x = y if o["statistics"] == "dense" else judge.run_layer(out, i, x)[0]
    return out


@pytest.mark.parametrize("prune, ranks", [({}, 1), ({}, 3), ({"biased": True, "sparsity": 0.4, "statistics": "dense", "align": 8}, 2),
                                          ({"select": "obs", "neurons": 70, "sparsity": 0.35}, 2)], ids=str)
def test_all_kinds_of_module_are_their_formulas(prune, ranks, tmp_path):
    """shape = olica: energies, curves, probes, levels, tensors, perplexity."""
    sections = layerwise(tmp_path, shape="olica", **prune)
    if ranks == 3:
        sections["solver"] = {"eigen": "scalapack", "block": 4}
    report = run_job(tmp_path, ranks, {**sections, "calibration": {**sections["calibration"], "save": tmp_path / "stats.h5"}})
    o, m, tokens = {**DEFAULTS, **prune}, judge.load_model(tmp_path / "model"), np.load(tmp_path / "calibration.npy")
    energies, losses, kl, half = survey_modules(m, tokens, o)
    for kind, name in zip(KINDS, ("probe_kl", "probe_kl_values", "probe_kl_query")):
        assert report[name] == pytest.approx(kl[kind], rel=3e-3), kind
    with h5py.File(tmp_path / "stats.h5") as file:
        stored = {name.split("/")[-1]: file[name][()] for name in names_in(file) if isinstance(file[name], h5py.Dataset)}
    assert np.allclose(stored["output_energy"], energies, rtol=1e-4)
    for i, layer in enumerate(losses):
        assert np.allclose(stored["error_curve"][i], layer["ffn"], rtol=1e-3, atol=1e-4 * layer["ffn"].max())
        both = np.concatenate([layer["values"], layer["query"]])
        assert np.allclose(stored["attention_curve"][i], both, rtol=1e-3, atol=1e-4 * max(layer["values"].max(), 1e-3)), i
    levels = levels_of(m, o, losses, kl, half)
    assert [layer["ffn_width"] for layer in report["layers"]] == [level["ffn"] for level in levels]
    assert [layer["vo_width"] for layer in report["layers"]] == [m.K * level["values"] for level in levels]
    assert [(layer["q_rank"], layer["k_rank"]) for layer in report["layers"]] == \
        [tuple(rank or 0 for rank in ranks_of(m, level["query"]).values()) for level in levels]
    assert any(level["values"] < m.h for level in levels) and any(level["query"] < LEVELS for level in levels)
    golden, found = prune_modules(m, tokens, o, energies, levels), judge.load_checkpoint(tmp_path / "job.h5")
    assert report["parameters"]["pruned"] == golden.parameters()
    for i in range(m.L):
        for name in judge.PROJECTIONS:  # an eigenvector's sign is free
            a, b = found.matrix(i, name), golden.matrix(i, name)
            assert np.allclose(np.abs(a), np.abs(b), rtol=0, atol=1e-3 * np.abs(b).max()), (i, name)
    want = judge.perplexity(golden, np.load(tmp_path / "evaluation.npy"), 16)
    assert report["perplexity"]["pruned"] == pytest.approx(want, rel=1e-4)


def names_in(file):
    names = []
    file.visit(names.append)
    return names


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
    ({"damping": -0.1}, 'damping = "-0.1", expected'),
    ({"probes": 9}, "probes = 9, expected at most [calibration] samples = 8"),
    ({"shape": "olica", "allocation": "influence"}, "expected allocation = measured"),
    ({"shape": "olica", "cap": 0.1}, "expected a larger cap, a smaller align, or a sparsity of at most 0."),
    ({"cap": 0.1}, "expected a larger cap, a smaller align, or a sparsity of at most 0."),
    ({"select": "best"}, 'select = "best", expected one of olica, obs'),
])
def test_refused_by_name(prune, why, tmp_path):
    done = mpirun(2, write_config(tmp_path / "job.ini", demo(tmp_path, **prune)))
    assert done.returncode == 2 and why in done.stderr, done.stderr
    assert not (tmp_path / "job.h5").exists()


def test_usual_probes_are_no_more_than_there_are(tmp_path):
    """Eight by default, or all; the demo's 3 sequences are as 3 asked for."""
    few = {"calibration": {"tokens": DEMO / "calibration.npy", "samples": 3}}
    for probes in ({}, {"probes": 3}):
        run_job(tmp_path, 1, {**demo(tmp_path, **probes), **few, "output": {}}, name=f"job{len(probes)}")
    usual, asked = (json.loads((tmp_path / f"job{n}.json").read_text()) for n in (0, 1))
    assert usual["probe_kl"] == asked["probe_kl"]


@pytest.mark.parametrize("prune", [{"shape": "uniform"}, {"select": "obs"}, {"shape": "olica"}], ids=["uniform", "obs", "modules"])
def test_usual_damping_of_the_others_is_a_tenth(prune, tmp_path):
    for name, more in (("usual", {}), ("asked", {"damping": 0.1})):
        run_job(tmp_path, 2, {**demo(tmp_path, **prune, **more), "output": {}}, name=name)
    usual, asked = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("usual", "asked"))
    assert usual["layers"] == asked["layers"] and any(layer["down_change"] > 0 for layer in usual["layers"])


def test_largest_sparsity_is_one(tmp_path):
    """The bound that the refusal names, and --check, can be asked for."""
    done = mpirun(1, "--check", write_config(tmp_path / "job.ini", demo(tmp_path)))
    most = float(done.stdout.split("a sparsity of 0 to ")[1].split(":")[0])
    report = run_job(tmp_path, 1, demo(tmp_path, sparsity=most, shape="uniform"))
    assert report["parameters"]["sparsity_reached"] == pytest.approx(most, abs=2e-3)
    done = mpirun(1, "--check", write_config(tmp_path / "more.ini", demo(tmp_path, sparsity=most + 0.01)))
    assert done.returncode == 2 and f"at most {most:.4f}" in done.stderr


@pytest.mark.parametrize("prune", [{}, {"allocation": "influence"}, {"shape": "uniform"}, {"statistics": "dense"}, {"select": "obs"}, {"shape": "olica"}],
                         ids=["measured", "influence", "uniform", "dense", "obs", "modules"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_estimate_of_wide_layers(precision, prune, tmp_path):
    """Of FFNs of more than 1024 neurons several ranks share a matrix."""
    build(tmp_path / "model", config={"num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 1200, "max_position_embeddings": 96})
    ids(tmp_path / "calibration.npy", (9, 64))
    memory = run_job(tmp_path, 2, {"model": {"path": tmp_path / "model"}, "prune": {"method": "refit", "sparsity": 0.2, "probes": 4, **prune},
                                   "calibration": {"tokens": tmp_path / "calibration.npy", "samples": 9, "length": 64},
                                   "compute": {"precision": precision}})["memory"]
    assert memory["counted"]["max"] <= memory["estimate"] <= 1.1 * memory["counted"]["max"]
