"""The judge: a second implementation of the method, in float64 numpy, written to be read and not to be fast.

It shares nothing with the program. It reads a Hugging Face directory or a checkpoint of ours, runs the model, measures
perplexity, and prunes as the description of the algorithm has it, step by step: real singular value decompositions,
every P, B and B-hat formed in full. Letters as there: L layers, d hidden, f FFN width, H query and K key/value heads
of size h, S sequences of T tokens. A token is a row: y = x Wᵀ.
"""
import json, math, struct
from pathlib import Path

import numpy as np

PROJECTIONS = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
               "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


# ---- files -----------------------------------------------------------------------------------------------------

def widen(bits):
    """bf16, as its 16 bits, to numbers."""
    return (np.asarray(bits).astype("<u4") << 16).view("<f4")


def read_safetensors(path):
    """{name: float64 array} of one file."""
    raw = Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry["dtype"]]
        x = np.frombuffer(raw[start + first:start + last], kind)
        tensors[name] = (widen(x) if entry["dtype"] == "BF16" else x).astype(np.float64).reshape(entry["shape"])
    return tensors


class Model:
    """The config and the weights under the checkpoint's names: embed_tokens, norm, lm_head, layers/000/q_proj/weight.

    A projection is `weight` or b·a; a layer may have a branch; v_proj has K·n rows with n <= h.
    """

    def __init__(self, config, weights):
        self.config, self.w = config, weights
        c = config
        self.L, self.d, self.f, self.H = (c[k] for k in ("num_hidden_layers", "hidden_size", "intermediate_size",
                                                         "num_attention_heads"))
        self.K = c.get("num_key_value_heads") or self.H
        self.h = int(c.get("head_dim") or self.d // self.H)
        self.g = self.H // self.K  # query heads of one key/value head

    def parameters(self):
        return sum(x.size for name, x in self.w.items() if not name.endswith("kept"))

    def get(self, layer, name):
        return self.w.get(f"layers/{layer:03d}/{name}")

    def put(self, layer, name, x):
        self.w[f"layers/{layer:03d}/{name}"] = x

    def matrix(self, layer, projection):
        """W, multiplied out where it is stored as b·a."""
        whole = self.get(layer, projection + "/weight")
        return whole if whole is not None else self.get(layer, projection + "/b") @ self.get(layer, projection + "/a")


def load_model(directory):
    """A Hugging Face directory: config.json and all *.safetensors."""
    config = json.loads((Path(directory) / "config.json").read_text())
    found = {}
    for path in sorted(Path(directory).glob("*.safetensors")):
        found.update(read_safetensors(path))
    w = {"norm": found["model.norm.weight"]}
    tied = config.get("tie_word_embeddings", False)
    w["embed_tokens"] = found["lm_head.weight" if tied and "model.embed_tokens.weight" not in found else
                              "model.embed_tokens.weight"]
    if not tied:
        w["lm_head"] = found["lm_head.weight"]
    for i in range(config["num_hidden_layers"]):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            w[f"layers/{i:03d}/{norm}"] = found[f"model.layers.{i}.{norm}.weight"]
        for projection, block in PROJECTIONS.items():
            for part in ("weight", "bias"):
                x = found.get(f"model.layers.{i}.{block}.{projection}.{part}")
                if x is not None:
                    w[f"layers/{i:03d}/{projection}/{part}"] = x
    return Model(config, w)


def load_checkpoint(path):
    """A checkpoint of ours, with its kept lists."""
    import h5py
    text = lambda x: x.decode() if isinstance(x, bytes) else str(x)
    w = {}
    with h5py.File(path, "r") as file:
        assert text(file.attrs["format"]) == "olica-checkpoint" and int(file.attrs["complete"]) == 1

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                x = item[()]
                x = widen(x) if not name.endswith("kept") and text(item.attrs["dtype"]) == "bf16" else x
                w[name] = x if name.endswith("kept") else x.astype(np.float64)
        file["model"].visititems(visit)
        return Model(json.loads(file["meta/config_json"][()].tobytes()), w)


# ---- the forward pass ------------------------------------------------------------------------------------------

def yarn_ramp(rope, theta, length, h):
    """[h/2] how far a pair is stretched: 0 not at all, 1 by the factor."""
    pair = lambda turns: h * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = pair(rope.get("beta_fast") or 32), pair(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, h - 1)
    return np.clip((np.arange(h // 2) - low) / (high - low or 0.001), 0, 1)


def rope_magnitude(c):
    """Of cosines and sines: yarn and longrope make them larger."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    kind, length = rope.get("rope_type") or rope.get("type"), rope.get("original_max_position_embeddings")
    if kind not in ("yarn", "longrope") or rope.get("attention_factor"):
        return rope.get("attention_factor") or 1
    factor = rope.get("factor") or c["max_position_embeddings"] / length
    if kind == "longrope":
        return math.sqrt(1 + math.log(factor) / math.log(length)) if factor > 1 else 1
    scale = lambda m: 0.1 * m * math.log(factor) + 1 if factor > 1 else 1
    above, below = rope.get("mscale"), rope.get("mscale_all_dim")
    return scale(above) / scale(below) if above and below else scale(1)


def rope_frequencies(c, h, T=1):
    """[h/2] angles a position turns by in a sequence of T tokens."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    if any(isinstance(value, dict) for value in rope.values()):  # by the kind of layer: all are of one
        rope = rope["sliding_attention" if sliding_window(c, 0) else "full_attention"]
    theta = rope.get("rope_theta") or c.get("rope_theta") or 10000.0
    plain = theta ** (-np.arange(0, h, 2) / h)
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return plain
    if kind == "linear":
        return plain / rope["factor"]
    if kind == "dynamic":
        length, factor = c["max_position_embeddings"], rope["factor"]
        base = theta * (factor * max(T, length) / length - (factor - 1)) ** (h / (h - 2))
        return base ** (-np.arange(0, h, 2) / h)
    original = "original_max_position_embeddings"
    if kind == "longrope":
        return plain / np.array(rope["long_factor" if T > rope[original] else "short_factor"])
    if kind == "yarn":
        ramp = yarn_ramp(rope, theta, rope[original], h)
        return (1 - ramp) * plain + ramp * plain / (rope["factor"] or c["max_position_embeddings"] / rope[original])
    assert kind == "llama3"
    length = rope.get(original) or c.get(original) or c["max_position_embeddings"]
    turns = length * plain / (2 * math.pi)  # full turns over the context the model was first trained on
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    keep = np.clip((turns - low) / (high - low), 0, 1)
    return keep * plain + (1 - keep) * plain / rope["factor"]


def sliding_window(c, layer):
    """How many tokens, itself included, a token of this layer sees; None: all before it."""
    if c["model_type"] == "mistral":
        return c.get("sliding_window", 4096)
    if c["model_type"] == "qwen2" and c.get("use_sliding_window") and layer >= c.get("max_window_layers", 28):
        return c.get("sliding_window", 4096)
    return None


def rms_norm(m, x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + m.config.get("rms_norm_eps", 1e-6)) * gain


def linear(m, layer, projection, x):
    bias = m.get(layer, projection + "/bias")
    return x @ m.matrix(layer, projection).T + (0 if bias is None else bias)


def attend(m, layer, q, k, v):
    """q [.. T, H·h], k [.. T, K·h], v [.. T, K·n] -> [.. T, H·n]."""
    T, h, heads = q.shape[-2], m.h, q.shape[-1] // m.h  # of this layer: some may be gone
    angle, large = np.outer(np.arange(T), rope_frequencies(m.config, h, T)), rope_magnitude(m.config)
    cos, sin = large * np.tile(np.cos(angle), 2)[:, None], large * np.tile(np.sin(angle), 2)[:, None]

    def turn(x, heads):
        x = x.reshape(*x.shape[:-1], heads, h)
        half = np.concatenate([-x[..., h // 2:], x[..., :h // 2]], -1)
        return x * cos + half * sin
    q, k, v = turn(q, heads), turn(k, heads // m.g), v.reshape(*v.shape[:-1], heads // m.g, -1)
    back = np.arange(T)[:, None] - np.arange(T)[None, :]  # how far a query looks back to a key
    seen = (back >= 0) & (back < (sliding_window(m.config, layer) or T))
    out = []
    for i in range(heads):
        s = q[..., i, :] @ np.swapaxes(k[..., i // m.g, :], -1, -2) / math.sqrt(h)
        s = np.where(seen, s, -np.inf)
        s = np.exp(s - s.max(-1, keepdims=True))
        out.append(s / s.sum(-1, keepdims=True) @ v[..., i // m.g, :])
    return np.concatenate(out, -1)


def ffn(m, layer, x, taps):
    gate = linear(m, layer, "gate_proj", x)
    taps["neurons"] = gate / (1 + np.exp(-gate)) * linear(m, layer, "up_proj", x)
    y = linear(m, layer, "down_proj", taps["neurons"])
    if m.get(layer, "branch/a") is not None:
        y = y + x @ m.get(layer, "branch/a") @ m.get(layer, "branch/b")
    return y


def run_layer(m, layer, x):
    """Hidden states x [S, T, d] through a layer; also what its projections saw, each as tokens x channels."""
    taps = {"attention_input": rms_norm(m, x, m.get(layer, "input_layernorm"))}
    q, k, v = (linear(m, layer, p, taps["attention_input"]) for p in ("q_proj", "k_proj", "v_proj"))
    taps["values"] = attend(m, layer, q, k, v)
    taps["attention_output"] = linear(m, layer, "o_proj", taps["values"])
    x = x + taps["attention_output"]
    taps["ffn_input"] = rms_norm(m, x, m.get(layer, "post_attention_layernorm"))
    taps["ffn_output"] = ffn(m, layer, taps["ffn_input"], taps)
    return x + taps["ffn_output"], {name: t.reshape(-1, t.shape[-1]) for name, t in taps.items()}


def perplexity(m, ids, length, windows=0, stride=0):
    """Of ids read as one row. Windows that overlap score only the tokens the one before has not."""
    ids, stride = np.asarray(ids).reshape(-1), stride or length
    count = (len(ids) - length) // stride + 1
    starts = stride * np.arange(windows or count)
    rows = np.stack([ids[s:s + length] for s in starts])
    x = m.w["embed_tokens"][rows]
    for i in range(m.L):
        x, _ = run_layer(m, i, x)
    z = rms_norm(m, x, m.w["norm"]) @ m.w.get("lm_head", m.w["embed_tokens"]).T
    z = z - z.max(-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    nll = -np.take_along_axis(logp[:, :-1], rows[:, 1:, None], -1)[..., 0]  # of token t+1, at t
    if stride < length:
        nll = np.concatenate([nll[0], nll[1:, -stride:].reshape(-1)])
    return float(np.exp(nll.mean()))


# ---- the method ------------------------------------------------------------------------------------------------

DEFAULTS = dict(sparsity=0.2, k=3.0, mlp_num=6, ratio=0.03, percdamp=0.5, skip_lowest=0.01, count_branches="no", fill="no")


def budget(m, o):
    """Ranks and counts that go, from the shares of the parameters."""
    size = lambda *names: sum(m.get(0, f"{n}/{part}").size for n in names for part in ("weight", "bias")
                              if m.get(0, f"{n}/{part}") is not None)
    p = o["sparsity"]
    rho_vo = 2 * p / (1 + o["k"])
    rho_qk = 2 * p if p <= 0.4 else o["k"] * rho_vo
    rho_ffn = (m.parameters() * p / m.L - size("v_proj", "o_proj") * rho_vo
               - size("q_proj", "k_proj") * rho_qk) / size("gate_proj", "up_proj", "down_proj")
    branch, extra = math.floor(o["ratio"] * m.d) if math.floor(rho_ffn * m.f) else 0, 0
    if o["count_branches"] == "yes":  # both factors of every branch, over all layers
        extra += o["mlp_num"] * 2 * m.d * branch
    fills = o["fill"] == "yes" and o["mlp_num"] > 0 and rho_ffn > 0
    if fills:  # a neuron: a row of gate and up with its biases, a column of down
        neuron = sum(m.get(0, f"{n}/weight").size // m.f for n in ("gate_proj", "up_proj", "down_proj"))
        neuron += sum(m.get(0, f"{n}/bias") is not None for n in ("gate_proj", "up_proj"))
        extra += (m.L - o["mlp_num"]) * branch * neuron
    rho_ffn += extra / (m.L * size("gate_proj", "up_proj", "down_proj"))
    assert all(0 <= rho < 1 for rho in (rho_vo, rho_qk, rho_ffn)), (rho_vo, rho_qk, rho_ffn)

    def rank(rows):
        r = math.ceil((1 - rho_qk) * m.d * rows / (m.d + rows))
        return r if r * (m.d + rows) < m.d * rows else None  # None: nothing is gained, whole
    neurons = math.floor(rho_ffn * m.f)
    return dict(q_proj=rank(m.H * m.h), k_proj=rank(m.K * m.h), values=math.floor(rho_vo * m.h),
                neurons=neurons, skipped=math.floor(o["skip_lowest"] * m.f),
                branch=branch, filled=min(branch, neurons) if fills else 0)


def energy(x, S):
    return (x * x).sum(0) / S


def safe_root(e):
    """sqrt of energies that are divided by: 0 becomes 1e-12 of the mean."""
    return np.sqrt(np.maximum(e, 1e-12 * e.mean())) if e.any() else np.ones_like(e)


def correlations(P, B):
    n, p, b = len(P), P - P.mean(0), B - B.mean(0)
    cov, sd = (p * b).sum(0) / n, np.sqrt((p * p).sum(0) / (n - 1) * (b * b).sum(0) / (n - 1))
    # A constant column comes out of float64 with a spread of rounding errors.
    constant = ((p * p).sum(0) <= 1e-24 * (P * P).sum(0)) | ((b * b).sum(0) <= 1e-24 * (B * B).sum(0))
    return np.where(constant, 0, cov / np.where(constant, 1, sd))


def ridge(A, B, o, S, T):
    G = A.T @ A
    delta = o["percdamp"] * np.diag(G).mean() / ((S / 128) * (T / 128))
    return np.linalg.solve(G + delta * np.eye(len(G)), A.T @ B)


def rotate(m, layer, e):
    """Orthogonal neuron decomposition of value and output; e = E_out of o_proj on the dense stream."""
    root, h = safe_root(e), m.h
    V, O = m.get(layer, "v_proj/weight").copy(), m.get(layer, "o_proj/weight").copy()
    b = None if m.get(layer, "v_proj/bias") is None else m.get(layer, "v_proj/bias").copy()
    for j in range(m.K):
        heads = range(j * m.g, (j + 1) * m.g)
        weighted = np.concatenate([(root[:, None] * O[:, i * h:(i + 1) * h]).T for i in heads], 1)
        U = np.linalg.svd(weighted, full_matrices=False)[0]
        own = slice(j * h, (j + 1) * h)
        V[own] = U.T @ V[own]
        if b is not None:
            b[own] = U.T @ b[own]
        for n, i in enumerate(heads):  # diag(1/√e)·(ZΣ)ᵢ with ZΣ = weightedᵀ·U
            O[:, i * h:(i + 1) * h] = (weighted[:, n * m.d:(n + 1) * m.d].T @ U) / root[:, None]
    m.put(layer, "v_proj/weight", V)
    m.put(layer, "o_proj/weight", O)
    if b is not None:
        m.put(layer, "v_proj/bias", b)


def keep(importance, skip, count):
    """All but the `count` least important behind the `skip` least; of equals the lower index is the lesser."""
    gone = np.argsort(importance, kind="stable")[skip:skip + count]
    return np.setdiff1d(np.arange(len(importance)), gone)


def cut_query_key(m, layer, projection, rank, s):
    W, root = m.get(layer, projection + "/weight"), safe_root(s)
    if rank is None:
        return 0.0
    U, sigma, Zt = np.linalg.svd(W * root, full_matrices=False)
    b, a = U[:, :rank] * sigma[:rank], Zt[:rank] / root
    del m.w[f"layers/{layer:03d}/{projection}/weight"]
    m.put(layer, projection + "/b", b)
    m.put(layer, projection + "/a", a)
    return float(np.linalg.norm(b @ a - W) / np.linalg.norm(W)) if W.any() else 0.0


def cut_values(m, layer, count, e_in, e_o):
    V, O, h = m.get(layer, "v_proj/weight"), m.get(layer, "o_proj/weight"), m.h
    into = np.linalg.norm(V * np.sqrt(e_in), axis=1).reshape(m.K, h)
    out = np.linalg.norm(O * np.sqrt(e_o), axis=0).reshape(m.K, m.g, h).sum(1)
    kept = np.stack([keep(into[j] + out[j], 0, count) for j in range(m.K)])
    rows = np.concatenate([j * h + kept[j] for j in range(m.K)])
    cols = np.concatenate([i * h + kept[i // m.g] for i in range(m.H)])
    m.put(layer, "v_proj/weight", V[rows])
    m.put(layer, "o_proj/weight", O[:, cols])
    if m.get(layer, "v_proj/bias") is not None:
        m.put(layer, "v_proj/bias", m.get(layer, "v_proj/bias")[rows])
    m.put(layer, "v_proj/kept", kept)


def cut_ffn(m, layer, skip, count, e_in, e_down):
    norm = lambda name: np.linalg.norm(m.get(layer, name + "/weight") * np.sqrt(e_in), axis=1)
    down = np.linalg.norm(m.get(layer, "down_proj/weight"), axis=0) * np.sqrt(e_down)
    kept = keep(norm("up_proj") + norm("gate_proj") + down, skip, count)
    for name in ("gate_proj/weight", "up_proj/weight", "gate_proj/bias", "up_proj/bias"):
        if m.get(layer, name) is not None:
            m.put(layer, name, m.get(layer, name)[kept])
    m.put(layer, "down_proj/weight", m.get(layer, "down_proj/weight")[:, kept])
    m.put(layer, "ffn_kept", kept)


def calibrate(m, layer, A, B, rank, o, S, T):
    """The branch that stands in for what the cut FFN lacks: A its input, B the uncut output."""
    R = B - ffn(m, layer, A, {})
    C = ridge(A, R, o, S, T)
    w = correlations(A @ C, R)
    w = 1 / (1 + np.exp(-(w - w.mean()) / 0.05))
    U, sigma, Zt = np.linalg.svd(C * w, full_matrices=False)
    m.put(layer, "branch/a", U[:, :rank] * sigma[:rank])
    m.put(layer, "branch/b", Zt[:rank] / w)


def olica(dense, ids, **settings):
    """Prunes a model on ids [S, T]; returns (pruned model, what the report says of it)."""
    o = {**DEFAULTS, **settings}
    (S, T), plan = ids.shape, budget(dense, o)
    # Sweep 1, the survey, on the dense stream.
    x, scores, outputs = dense.w["embed_tokens"][ids], [], []
    for i in range(dense.L):
        x, t = run_layer(dense, i, x)
        A, B = t["ffn_input"], t["ffn_output"]
        scores.append(1 - correlations(A @ ridge(A, B, o, S, T), B).mean())
        outputs.append(energy(t["attention_output"], S))
    assert o["mlp_num"] <= dense.L - 1
    calibrated = sorted(np.argsort(scores[:-1], kind="stable")[:o["mlp_num"]].tolist())
    # Sweep 2, on the stream that the layers already pruned make.
    m, x, layers = Model(dense.config, dict(dense.w)), dense.w["embed_tokens"][ids], []
    for i in range(m.L):
        rotate(m, i, outputs[i])
        _, t = run_layer(m, i, x)  # still uncut: all energies, A and B
        e_in = energy(t["attention_input"], S)
        errors = [cut_query_key(m, i, p, plan[p], e_in) for p in ("q_proj", "k_proj")]
        cut_values(m, i, plan["values"], e_in, energy(t["values"], S))
        gone = plan["neurons"] - (0 if i in calibrated else plan["filled"])
        cut_ffn(m, i, plan["skipped"], gone, energy(t["ffn_input"], S), energy(t["neurons"], S))
        branch = plan["branch"] if i in calibrated else 0
        if branch:
            calibrate(m, i, t["ffn_input"], t["ffn_output"], branch, o, S, T)
        layers.append(dict(layer=i, q_rank=plan["q_proj"] or 0, k_rank=plan["k_proj"] or 0,
                           vo_width=m.K * (m.h - plan["values"]), ffn_width=m.f - gone, branch_rank=branch,
                           q_error=errors[0], k_error=errors[1]))
        x, _ = run_layer(m, i, x)
    return m, dict(linearity_score=scores, calibrated_layers=calibrated, layers=layers,
                   dense=dense.parameters(), pruned=m.parameters())
