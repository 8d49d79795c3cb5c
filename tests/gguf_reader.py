"""A reader of GGUF files and a forward pass in float64 NumPy, written from the format's description and llama.cpp's architectures. It shares nothing with the program, and nothing with the packages that it is compared with by hand.

A token is a row: y = x Wᵀ.
"""
import functools
import struct
from pathlib import Path

import numpy as np

SCALARS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "<u1", 10: "<u8", 11: "<i8", 12: "<f8"}
TYPES = {0: "F32", 1: "F16", 8: "Q8_0", 30: "BF16"}
BLOCK = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34)}  # numbers, bytes


class Gguf:
    """`keys`; `shape` and `type` of every tensor; `raw(name)`, its bytes; `tensor(name)`, float64; `names` in the file's order."""

    def __init__(self, path):
        self.data, self.at = Path(path).read_bytes(), 0
        assert self.data[:4] == b"GGUF"
        self.at = 4
        version, tensors, keys = self.take("<u4"), self.take("<u8"), self.take("<u8")
        assert version == 3
        self.keys, self.kinds = {}, {}
        for _ in range(keys):
            name = self.text()
            assert name not in self.keys, name
            self.kinds[name] = self.take("<u4")
            self.keys[name] = self.value(self.kinds[name])
        self.names, self.shape, self.type, self.place = [], {}, {}, {}
        for _ in range(tensors):
            name = self.text()
            dims = [int(self.take("<u8")) for _ in range(self.take("<u4"))]
            self.names.append(name)
            self.shape[name], self.type[name] = tuple(dims[::-1]), TYPES[int(self.take("<u4"))]
            self.place[name] = int(self.take("<u8"))
        self.align = self.keys.get("general.alignment", 32)
        self.base = -(-self.at // self.align) * self.align
        self.check_places()

    def check_places(self):
        """Tensors are aligned, in order, without overlaps or gaps beyond the alignment, up to the end of the file."""
        end = 0
        for name in self.names:
            assert self.place[name] == -(-end // self.align) * self.align, name
            end = self.place[name] + self.bytes_of(name)
        assert self.base + -(-end // self.align) * self.align == len(self.data)

    def take(self, kind):
        x = np.frombuffer(self.data, kind, 1, self.at)[0]
        self.at += x.dtype.itemsize
        return x

    def text(self):
        length = int(self.take("<u8"))
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 7:
            return bool(self.take("<u1"))
        if kind != 9:
            return self.take(SCALARS[int(kind)]).item()
        kind, count = int(self.take("<u4")), int(self.take("<u8"))
        if kind == 8:
            return [self.text() for _ in range(count)]
        x = np.frombuffer(self.data, SCALARS[kind], count, self.at)
        self.at += x.nbytes
        return x

    def bytes_of(self, name):
        numbers, size = BLOCK[self.type[name]]
        assert self.shape[name][-1] % numbers == 0
        return int(np.prod(self.shape[name])) // numbers * size

    def raw(self, name):
        first = self.base + self.place[name]
        return self.data[first:first + self.bytes_of(name)]

    @functools.lru_cache(None)
    def tensor(self, name):
        raw, kind = self.raw(name), self.type[name]
        if kind == "Q8_0":
            block = np.frombuffer(raw, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
            x = block["d"].astype(np.float64)[:, None] * block["q"]
        elif kind == "BF16":
            x = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            x = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[kind])
        return x.astype(np.float64).reshape(self.shape[name])

    def get(self, key):
        return self.keys[f"{self.keys['general.architecture']}.{key}"]

    def layered(self, key):
        """A number of every layer: the file has a list, or one for all. Architecture llama takes that of layer 0."""
        layers, value = self.get("block_count"), self.get(key)
        if np.ndim(value) == 0:
            return [int(value)] * layers
        assert self.keys["general.architecture"] == "deci" and len(value) == layers
        return [int(x) for x in value]


def quantize(x, kind):
    """The bytes of fp32 numbers in a type; Q8_0 by the reference: the scale is the largest over 127, halves go away from zero."""
    x = np.ascontiguousarray(x, "<f4")
    if kind == "F32":
        return x.tobytes()
    if kind == "F16":
        return x.astype("<f2").tobytes()
    if kind == "BF16":
        bits = x.view("<u4").astype(np.uint64)
        return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    x = x.reshape(-1, 32)
    scale = np.abs(x).max(1) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    scaled = x * inverse[:, None]
    whole = np.trunc(scaled)
    whole += np.sign(scaled) * (np.abs(scaled - whole) >= np.float32(0.5))
    block = np.empty(len(x), np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    block["d"], block["q"] = scale, whole
    return block.tobytes()


# ---- the forward pass ------------------------------------------------------------------------------------------

def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


# What llama.cpp's code of an architecture does beyond what the file's keys and tensors say. halves: pairs that turn lie half of the
# dimensions apart; windows: but for each such layer all have one; turned: which layers turn; bare: layers with a window do not scale
# RoPE; norm_last: queries and keys are normed behind RoPE; wide: the scores of a head are divided by the root of hidden/heads in a
# model of so many layers; root: the embedding is multiplied by the root of its size; packed: ffn_up holds gate and up.
GEMMA = {"halves": True, "act": gelu, "root": True}
ARCHITECTURES = {
    "llama": {}, "deci": {}, "mistral3": {}, "granite": {}, "qwen3": {"halves": True}, "smollm3": {"turned": "three of four"},
    "phi3": {"halves": True, "packed": True}, "glm4": {"packed": True}, "arcee": {"act": lambda x: np.maximum(x, 0) ** 2},
    "gemma": GEMMA, "gemma2": {**GEMMA, "windows": 2, "wide": 46}, "gemma3": {**GEMMA, "windows": 6, "bare": True, "wide": 62},
    "olmo2": {"halves": True, "windows": 4, "bare": True, "wide_norm": True},
    "exaone4": {"halves": True, "windows": 4, "turned": "windowed, or all"}, "cohere2": {"windows": 4, "turned": "windowed"},
    "hunyuan-dense": {"halves": True, "norm_last": True}, "starcoder2": {"halves": True, "act": gelu}}


def does(g, what, otherwise=None):
    return ARCHITECTURES[g.keys["general.architecture"]].get(what, otherwise)


def key(g, name, otherwise):
    return g.keys.get(f"{g.keys['general.architecture']}.{name}", otherwise)


def norm(g, x, name):
    """Root mean square, or LayerNorm where the file has that epsilon."""
    eps, centred = key(g, "attention.layer_norm_rms_epsilon", None), key(g, "attention.layer_norm_epsilon", None)
    if centred is not None:
        x, eps = x - x.mean(-1, keepdims=True), centred
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g.tensor(name + ".weight")
    return y + g.tensor(name + ".bias") if name + ".bias" in g.shape else y


def linear(g, layer, part, x):
    name = f"blk.{layer}.{part}"
    y = x @ g.tensor(name + ".weight").T
    return y + g.tensor(name + ".bias") if name + ".bias" in g.shape else y


def window(g, layer):
    """How many tokens a query sees; None: all before it."""
    size = key(g, "attention.sliding_window", 0)
    if not size or not does(g, "windows") or (g.keys["general.architecture"] == "exaone4" and g.get("block_count") != 64):
        return None
    pattern = key(g, "attention.sliding_window_pattern", None)
    return size if (pattern[layer] if pattern is not None else (layer + 1) % does(g, "windows") != 0) else None


def turned(g, layer):
    windowed = window(g, layer) is not None
    return {None: True, "three of four": (layer + 1) % 4 != 0, "windowed": windowed,
            "windowed, or all": windowed or all(window(g, i) is None for i in range(g.get("block_count")))}[does(g, "turned")]


def yarn(g, frequency, h, theta):
    """llama.cpp's blend of frequencies, between the pairs that turn 32 times and once; and its magnitude."""
    factor, context = g.get("rope.scaling.factor"), g.get("rope.scaling.original_context_length")
    low, high = (h * np.log(context / (n * 2 * np.pi)) / (2 * np.log(theta)) for n in (32, 1))
    low, high = max(0, np.floor(low)), min(h - 1, np.ceil(high))
    blend = 1 - np.clip((np.arange(h // 2) - low) / max(0.001, high - low), 0, 1)
    return frequency / factor * (1 - blend) + frequency * blend, 1 + 0.1 * np.log(factor)


def angles(g, layer, tokens):
    """Angles [tokens, h/2], and the magnitude of their cosines and sines."""
    h, bare = g.get("rope.dimension_count"), does(g, "bare") and window(g, layer) is not None
    theta = float(g.get("rope.freq_base"))
    if bare and g.keys["general.architecture"] == "gemma3":
        theta = float(key(g, "rope.freq_base_swa", 10000.0))
    frequency, magnitude = theta ** (-np.arange(0, h, 2) / h), 1.0
    context = key(g, "rope.scaling.original_context_length", g.get("context_length"))
    lists = ["rope_freqs.weight", f"rope_factors_{'long' if tokens > context else 'short'}.weight"]
    for name in lists[:2 if g.keys["general.architecture"] == "phi3" else 1]:
        frequency = frequency / (g.tensor(name) if name in g.shape else 1)
    kind = key(g, "rope.scaling.type", "none")
    assert kind in ("none", "linear", "yarn")
    if kind == "linear" and not bare:
        frequency = frequency / g.get("rope.scaling.factor")
    if kind == "yarn" and not bare:
        frequency, magnitude = yarn(g, frequency, h, theta)
    return np.arange(tokens)[:, None] * frequency, magnitude * (1 if bare else key(g, "rope.scaling.attn_factor", 1.0))


def turn(g, x, angle, magnitude):
    """x [tokens, heads, h]: neighbouring pairs, or halves, of the first dimensions; the others stay."""
    c, s, n = magnitude * np.cos(angle)[:, None], magnitude * np.sin(angle)[:, None], angle.shape[1]
    first, second = (slice(0, n), slice(n, 2 * n)) if does(g, "halves") else (slice(0, 2 * n, 2), slice(1, 2 * n, 2))
    out = x.copy()
    out[..., first] = x[..., first] * c - x[..., second] * s
    out[..., second] = x[..., first] * s + x[..., second] * c
    return out


def score_scale(g, heads):
    wide = does(g, "wide") == g.get("block_count")
    return key(g, "attention.scale", 1 / np.sqrt(g.get("embedding_length") // heads if wide else g.get("attention.key_length")))


def attention(g, layer, x, heads, kv_heads):
    tokens, h = len(x), g.get("attention.key_length")
    assert h == g.get("attention.value_length")
    assert h == g.get("rope.dimension_count") or g.keys["general.architecture"] in ("phi3", "glm4", "cohere2", "gemma", "gemma2", "gemma3")
    q, k, v = (linear(g, layer, part, x) for part in ("attn_q", "attn_k", "attn_v"))

    def split(q, k):
        return q.reshape(tokens, heads, h), k.reshape(tokens, kv_heads, h)

    def normed(q, k):
        if f"blk.{layer}.attn_q_norm.weight" not in g.shape:
            return q, k
        return norm(g, q, f"blk.{layer}.attn_q_norm"), norm(g, k, f"blk.{layer}.attn_k_norm")
    q, k = split(*normed(q, k)) if does(g, "wide_norm") else split(q, k)
    if not does(g, "wide_norm") and not does(g, "norm_last"):
        q, k = normed(q, k)
    if turned(g, layer):
        q, k = turn(g, q, *angles(g, layer, tokens)), turn(g, k, *angles(g, layer, tokens))
    if does(g, "norm_last"):
        q, k = normed(q, k)
    if g.keys["general.architecture"] == "mistral3" and key(g, "attention.temperature_scale", 0):
        steps = np.arange(tokens) // g.get("rope.scaling.original_context_length")
        q = q * (1 + g.get("attention.temperature_scale") * np.log(1 + steps))[:, None, None]
    k, v = (np.repeat(y, heads // kv_heads, 1) for y in (k, v.reshape(tokens, kv_heads, h)))
    scores = np.einsum("ihd,jhd->hij", q, k) * score_scale(g, heads)
    cap = key(g, "attn_logit_softcapping", 0)
    scores = cap * np.tanh(scores / cap) if cap else scores
    back = np.arange(tokens)[:, None] - np.arange(tokens)
    scores[:, (back < 0) | (back >= (window(g, layer) or tokens))] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = np.einsum("hij,jhd->ihd", weights / weights.sum(-1, keepdims=True), v)
    return linear(g, layer, "attn_output", y.reshape(tokens, heads * h))


def ffn(g, layer, x):
    act = does(g, "act", silu)
    up = linear(g, layer, "ffn_up", x)
    if does(g, "packed"):
        gate, up = np.split(up, 2, -1)
        return linear(g, layer, "ffn_down", act(gate) * up)
    return linear(g, layer, "ffn_down", act(linear(g, layer, "ffn_gate", x)) * up if f"blk.{layer}.ffn_gate.weight" in g.shape else act(up))


def block(g, layer, x, heads, kv_heads):
    """Norms stand where the file has them; without one before the FFN, and none behind, it reads what attention has read."""
    def maybe(y, name):
        return norm(g, y, f"blk.{layer}.{name}") if f"blk.{layer}.{name}.weight" in g.shape else y
    scale, read = key(g, "residual_scale", 1.0), maybe(x, "attn_norm")
    a = scale * maybe(attention(g, layer, read, heads, kv_heads), "post_attention_norm")
    if g.keys["general.architecture"] == "cohere2":
        return x + a + ffn(g, layer, read)
    x = x + a
    return x + scale * maybe(ffn(g, layer, maybe(x, "ffn_norm")), "post_ffw_norm")


def logits(g, ids):
    """[tokens, vocabulary] of one sequence."""
    x = g.tensor("token_embd.weight")[np.asarray(ids)]
    x = x * (np.sqrt(x.shape[1]) if does(g, "root") else key(g, "embedding_scale", 1.0))
    heads, kv_heads = g.layered("attention.head_count"), g.layered("attention.head_count_kv")
    for layer, width in enumerate(g.layered("feed_forward_length")):
        assert g.shape[f"blk.{layer}.ffn_down.weight"][1] == width
        x = block(g, layer, x, heads[layer], kv_heads[layer])
    head = "output.weight" if "output.weight" in g.shape else "token_embd.weight"
    z = norm(g, x, "output_norm") @ g.tensor(head).T
    scale, cap = key(g, "logit_scale", 1.0), key(g, "final_logit_softcapping", 0)
    z = z / scale if g.keys["general.architecture"] == "granite" else z * scale
    return cap * np.tanh(z / cap) if cap else z


def perplexity(g, ids, length):
    """Of rows of `length` tokens of ids read as one row."""
    losses = []
    for row in ids.reshape(-1)[:len(ids.reshape(-1)) // length * length].reshape(-1, length):
        z = logits(g, row)[:-1]
        z = z - z.max(-1, keepdims=True)
        losses.append(np.log(np.exp(z).sum(-1)) - z[np.arange(length - 1), row[1:]])
    return float(np.exp(np.mean(losses)))


# ---- SentencePiece's tokens ------------------------------------------------------------------------------------

def sentence_ids(g, text):
    """The ids of a text by llama.cpp's rule for tokenizer.ggml.model = "llama": of all neighbours that make a token, those of the
    best score first, the leftmost first among equals; what is no token becomes its bytes."""
    tokens, scores = g.keys["tokenizer.ggml.tokens"], g.keys["tokenizer.ggml.scores"]
    ids = {token: i for i, token in enumerate(tokens)}
    parts = list(((" " if g.keys["tokenizer.ggml.add_space_prefix"] else "") + text).replace(" ", "\u2581"))
    while True:
        pairs = [(-scores[ids[a + b]], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ids]
        if not pairs:
            break
        i = min(pairs)[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    out = []
    for part in parts:
        out += [ids[part]] if part in ids else [ids[f"<0x{byte:02X}>"] for byte in part.encode()]
    return out
