"""A GGUF file, written here from its description (github.com/ggml-org/ggml, docs/gguf.md), not by the program: the tests' own
for reading, and damaged on purpose."""
import struct

import numpy as np

KINDS = {"u8": (0, "<B"), "i8": (1, "<b"), "u16": (2, "<H"), "i16": (3, "<h"), "u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"),
         "bool": (7, "<B"), "str": (8, None), "arr": (9, None), "u64": (10, "<Q"), "i64": (11, "<q"), "f64": (12, "<d")}
TYPES = {"F32": 0, "F16": 1, "Q8_0": 8, "BF16": 30}


def string(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, x):
    """The bytes of a value: ("u32", 3), ("arr", ("i32", [1, 2]))."""
    if kind == "str":
        return string(x)
    if kind == "arr":
        inner, items = x
        return struct.pack("<IQ", KINDS[inner][0], len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack(KINDS[kind][1], x)


def key(name, kind, x):
    return string(name) + struct.pack("<I", KINDS[kind][0]) + value(kind, x)


def numbers(kind, x):
    """The bytes of a tensor in that type."""
    x = np.ascontiguousarray(x, dtype="<f4")
    if kind == "F32":
        return x.tobytes()
    if kind == "F16":
        return x.astype("<f2").tobytes()
    if kind == "BF16":
        return (x.view("<u4") >> 16).astype("<u2").tobytes()
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(1) / 127
    whole = np.where(scale[:, None] > 0, np.round(blocks / np.where(scale, scale, 1)[:, None]), 0).astype("i1")
    return b"".join(np.float16(s).tobytes() + q.tobytes() for s, q in zip(scale, whole))


def info(name, shape, kind, offset):
    return (string(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape)) +
            struct.pack("<IQ", kind, offset))


def pack(metadata, tensors, version=3, alignment=32, counts=None):
    """The bytes of a file; metadata [(name, kind, value)], tensors {name: (type, array)}. `counts` overrides those of tensors and keys."""
    infos, data = b"", b""
    for name, (kind, x) in tensors.items():
        infos += info(name, np.shape(x), TYPES[kind], len(data))
        data += numbers(kind, x)
        data += b"\0" * (-len(data) % alignment)
    head = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(metadata))))
    head += b"".join(key(*entry) for entry in metadata) + infos
    return head + b"\0" * (-len(head) % alignment) + data


def names_of(tensors):
    """Hugging Face's names as llama.cpp has them."""
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    out = {}
    for name, x in tensors.items():
        new = name.replace("model.layers.", "blk.")
        for old, short in parts.items():
            new = new.replace(old, short)
        out[new] = x
    return out


def model(config, tensors, arch="llama", kind="F32", widths=None):
    """A model of Hugging Face's names as a GGUF file's bytes, norms in F32, rows of query and key as they are."""
    layers = config["num_hidden_layers"]
    metadata = [("general.architecture", "str", arch), ("general.name", "str", "tiny"), (f"{arch}.block_count", "u32", layers),
                (f"{arch}.context_length", "u32", 32), (f"{arch}.embedding_length", "u32", config["hidden_size"]),
                (f"{arch}.attention.head_count", "u32", config["num_attention_heads"]),
                (f"{arch}.attention.head_count_kv", "u32", config["num_key_value_heads"]),
                (f"{arch}.attention.key_length", "u32", config["hidden_size"] // config["num_attention_heads"]),
                (f"{arch}.feed_forward_length", "arr", ("i32", widths)) if widths else
                (f"{arch}.feed_forward_length", "u32", config["intermediate_size"]),
                ("tokenizer.ggml.tokens", "arr", ("str", [f"t{i}" for i in range(config["vocab_size"])]))]
    return pack(metadata, {name: ("F32" if np.ndim(x) == 1 else kind, x) for name, x in names_of(tensors).items()})
