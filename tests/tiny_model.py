"""A LLaMA model of a few kilobytes, made here: for tests that care how the program behaves, not what it computes."""
import json, struct
from pathlib import Path

import numpy as np

CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": 64, "max_position_embeddings": 32,
          "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False}


def encode(dtype, numbers):
    """The bytes of an array as a safetensors type has them."""
    x = np.ascontiguousarray(numbers)
    if dtype == "BF16":
        with np.errstate(over="ignore"):
            bits = x.astype("<f4").view("<u4")
        return ((bits >> 16) + ((bits >> 15 & 1) if np.isfinite(x).all() else 0)).astype("<u2").tobytes()
    with np.errstate(over="ignore"):
        return x.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4"}[dtype]).tobytes()


def shapes(config):
    """Every tensor of a model and its shape, in the order of the file."""
    d, f, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    h = config.get("head_dim") or d // config["num_attention_heads"]
    q, k = config["num_attention_heads"] * h, config["num_key_value_heads"] * h
    out = {"model.embed_tokens.weight": (V, d)}
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out |= {p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
                p + "self_attn.q_proj.weight": (q, d), p + "self_attn.k_proj.weight": (k, d),
                p + "self_attn.v_proj.weight": (k, d), p + "self_attn.o_proj.weight": (d, q),
                p + "mlp.gate_proj.weight": (f, d), p + "mlp.up_proj.weight": (f, d), p + "mlp.down_proj.weight": (d, f)}
    out["model.norm.weight"] = (d,)
    if not config.get("tie_word_embeddings"):
        out["lm_head.weight"] = (V, d)
    return out


def weights(config, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.2, shape) + ("norm" in name) for name, shape in shapes(config).items()}


def pack(tensors, dtype="F32", entries=None):
    """The bytes of a safetensors file. entries(header) may change what the header says (not the data)."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in tensors.items():
        raw = encode(dtype, x)
        header[name] = {"dtype": dtype, "shape": list(np.shape(x)), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    if entries:
        entries(header)
    return frame(json.dumps(header).encode(), data)


def frame(header, data=b"", length=None):
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def make_model(directory, layers=2, dtype="F32", seed=0, config=(), tensors=()):
    """Writes config.json and model.safetensors. `config` and `tensors` override single keys and arrays; None
    leaves one out, of the text or the file (shapes are those of the config before)."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    whole = dict(CONFIG, num_hidden_layers=layers)
    structural = {k: v for k, v in dict(config).items() if k in ("tie_word_embeddings", "head_dim")}
    numbers = weights(whole | structural, seed) | dict(tensors)
    (directory / "model.safetensors").write_bytes(pack({k: v for k, v in numbers.items() if v is not None}, dtype))
    text = {k: v for k, v in (whole | dict(config)).items() if v is not None}
    (directory / "config.json").write_text(json.dumps(text))
    return directory


def make_ids(path, rows=6, length=8, vocabulary=CONFIG["vocab_size"], seed=1):
    np.save(path, np.random.default_rng(seed).integers(0, vocabulary, (rows, length)).astype("<i4"))
    return path
