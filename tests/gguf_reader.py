"""A reader of GGUF files and a forward pass in float64 NumPy, written from the format's description and llama.cpp's architectures
"llama" and "deci". It shares nothing with the program, and nothing with the packages that it is compared with by hand.

A token is a row: y = x Wᵀ. Rows of q and k turn in neighbouring pairs.
"""
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

def norm(g, x, name):
    eps = g.get("attention.layer_norm_rms_epsilon")
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * g.tensor(name)


def linear(g, layer, part, x):
    name = f"blk.{layer}.{part}"
    y = x @ g.tensor(name + ".weight").T
    return y + g.tensor(name + ".bias") if name + ".bias" in g.shape else y


def angles(g, tokens):
    """[tokens, h/2]"""
    h = g.get("rope.dimension_count")
    frequency = float(g.get("rope.freq_base")) ** (-np.arange(0, h, 2) / h)
    if "rope_freqs.weight" in g.shape:
        frequency = frequency / g.tensor("rope_freqs.weight")
    kind = g.keys.get(f"{g.keys['general.architecture']}.rope.scaling.type", "none")
    assert kind in ("none", "linear")
    return np.arange(tokens)[:, None] * (frequency / g.get("rope.scaling.factor") if kind == "linear" else frequency)


def turn(x, angle):
    """x [tokens, heads, h]: neighbouring pairs."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    out[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return out


def attention(g, layer, x, heads, kv_heads):
    tokens, h = len(x), g.get("attention.key_length")
    assert h == g.get("attention.value_length") == g.get("rope.dimension_count")
    q, k, v = (linear(g, layer, part, x).reshape(tokens, n, h)
               for part, n in (("attn_q", heads), ("attn_k", kv_heads), ("attn_v", kv_heads)))
    angle = angles(g, tokens)
    q, k = turn(q, angle), turn(k, angle)
    k, v = (np.repeat(y, heads // kv_heads, 1) for y in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(h)
    scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = np.einsum("hij,jhd->ihd", weights / weights.sum(-1, keepdims=True), v)
    return linear(g, layer, "attn_output", y.reshape(tokens, heads * h))


def logits(g, ids):
    """[tokens, vocabulary] of one sequence."""
    x = g.tensor("token_embd.weight")[np.asarray(ids)]
    heads, kv_heads = g.layered("attention.head_count"), g.layered("attention.head_count_kv")
    for layer, width in enumerate(g.layered("feed_forward_length")):
        assert g.shape[f"blk.{layer}.ffn_down.weight"][1] == width
        x = x + attention(g, layer, norm(g, x, f"blk.{layer}.attn_norm.weight"), heads[layer], kv_heads[layer])
        y = norm(g, x, f"blk.{layer}.ffn_norm.weight")
        gate = linear(g, layer, "ffn_gate", y)
        x = x + linear(g, layer, "ffn_down", gate / (1 + np.exp(-gate)) * linear(g, layer, "ffn_up", y))
    head = "output.weight" if "output.weight" in g.shape else "token_embd.weight"
    return norm(g, x, "output_norm.weight") @ g.tensor(head).T


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
