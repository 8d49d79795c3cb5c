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
    h = int(config.get("head_dim") or 0) or d // config["num_attention_heads"]
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


def make_hollow(directory, config):
    """A model of any size without its numbers: they are a hole in the file. For --check, which reads the header alone."""
    directory.mkdir(parents=True, exist_ok=True)
    whole, header, at = CONFIG | config, {}, 0
    for name, shape in shapes(whole).items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    with open(directory / "model.safetensors", "wb") as file:
        file.write(frame(json.dumps(header).encode()))
        file.truncate(file.tell() + at)
    (directory / "config.json").write_text(json.dumps(whole))


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


BYTE_VOCABULARY = 260


def make_byte_model(directory, config=(), layers=2, **tokenizer):
    """A model that has an id for every byte, with the tokenizer that gives them."""
    sizes = {"vocab_size": BYTE_VOCABULARY} | dict(config)
    tables = {k: v for k, v in weights(CONFIG | sizes).items() if k in ("model.embed_tokens.weight", "lm_head.weight")}
    make_tokenizer(directory, **tokenizer)
    return make_model(directory, layers=layers, config=sizes, tensors=tables)


def make_tokenizer(directory, bos=True, extra=()):
    """A tokenizer.json whose ids anyone can tell: byte b is id 3 + b; with `bos`, id 1 comes in front."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's letters for bytes: these are themselves
    letters = {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in visible)}
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True} for i, t in enumerate(("<unk>", "<s>", "</s>"))]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    text = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            "post_processor": template if bos else None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2} | {letters[b]: 3 + b for b in range(256)} | dict(extra), "merges": []}}
    Path(directory).mkdir(parents=True, exist_ok=True)
    (Path(directory) / "tokenizer.json").write_text(json.dumps(text, ensure_ascii=False))
    return Path(directory)


def byte_ids(text, bos=True):
    return [1] * bos + [3 + b for b in (text if isinstance(text, bytes) else text.encode())]
