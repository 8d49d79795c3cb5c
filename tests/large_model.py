"""Models of LLaMA's larger shapes with few or all layers, for the benches: random weights with what trained ones show. Singular values fall off
(scaled noise, and RANK directions whose scales follow a power law), rows and columns differ, and a few channels of the stream are massive (rows of
o and down). Numbers come from one pool of normal ones, read at random places, with random signs: writing costs little more than the disk does."""
import json, os
from pathlib import Path

import numpy as np

from helpers import ROOT

BENCH = Path(os.environ.get("OLICA_BENCH", ROOT / "build" / "bench"))  # where models and results lie
VOCABULARY = 32000
SHAPES = {"tiny": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 688, "whole": 64},  # for tests
          "7b": {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 11008, "whole": 32},
          "13b": {"hidden_size": 5120, "num_attention_heads": 40, "num_key_value_heads": 40, "intermediate_size": 13824, "whole": 40},
          "70b": {"hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 28672, "whole": 80}}
SHARD = 5 * 10**9  # bytes of a file, as hubs cut models
DEVIATION, RANK, FALL = 0.02, 256, 0.6  # of a matrix's numbers; directions above the noise, the i-th scaled by i^-FALL
MASSIVE, TIMES = (0.345, 0.369, 0.618), 6.0  # channels of the stream, as shares of its width, and by what o and down write more there
POOL, PIECE = 1 << 24, 1 << 23


def tensors(shape, layers):
    """(name, dimensions) in the order of the file."""
    d, f = shape["hidden_size"], shape["intermediate_size"]
    kv = d // shape["num_attention_heads"] * shape["num_key_value_heads"]
    yield "model.embed_tokens.weight", (VOCABULARY, d)
    for i in range(layers):
        for name, dims in (("input_layernorm", (d,)), ("self_attn.q_proj", (d, d)), ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)),
                           ("self_attn.o_proj", (d, d)), ("post_attention_layernorm", (d,)), ("mlp.gate_proj", (f, d)), ("mlp.up_proj", (f, d)),
                           ("mlp.down_proj", (d, f))):
            yield f"model.layers.{i}.{name}.weight", dims
    yield "model.norm.weight", (d,)
    yield "lm_head.weight", (VOCABULARY, d)


def parameters(shape, layers):
    return sum(int(np.prod(dims)) for _, dims in tensors(shape, layers))


def model_bytes(name, layers):
    return 2 * parameters(SHAPES[name], layers)


class Numbers:
    """The tensors' numbers, in the order in which they are asked for."""

    def __init__(self, seed):
        self.random = np.random.Generator(np.random.SFC64(seed))
        self.pool = self.random.standard_normal(POOL, dtype=np.float32)

    def normal(self, rows, columns):
        """Rows of the pool, at most PIECE numbers; not to be written to."""
        at = int(self.random.integers(0, POOL - rows * columns + 1))
        return self.pool[at:at + rows * columns].reshape(rows, columns)

    def scales(self, n, spread):
        """Log-normal, with random signs."""
        signs = self.random.integers(0, 2, n, dtype=np.int8) * np.float32(2) - 1
        return np.exp(spread * self.random.standard_normal(n, dtype=np.float32)) * signs

    def matrix(self, name, dims):
        """A matrix in pieces of rows, fp32."""
        rows, columns = dims
        rank, half = min(RANK, *dims), np.float32(DEVIATION / np.sqrt(2))  # noise and directions have half of the energy each
        by_row, by_column = self.scales(rows, 0.2) * half, self.scales(columns, 0.3)
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            by_row[massive(rows)] *= TIMES
        falls = np.arange(1, rank + 1, dtype=np.float32) ** -FALL
        right = self.normal(rank, columns) * (falls / np.linalg.norm(falls) * half)[:, None]
        step = max(1, PIECE // max(columns, rank))
        for at in range(0, rows, step):
            here = slice(at, min(at + step, rows))
            n = here.stop - here.start
            piece = self.normal(n, rank) @ right
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                piece *= np.abs(by_row[here, None]) / half
            yield piece + self.normal(n, columns) * by_row[here, None] * by_column

    def norm(self, dims):
        weights = np.abs(self.scales(dims[0], 0.2))
        weights[massive(dims[0])] /= TIMES
        return weights


def massive(width):
    return [int(share * width) for share in MASSIVE]


def bf16(numbers):
    """The bytes of fp32 numbers as bf16, rounded to nearest."""
    return ((numbers.view("<u4") + np.uint32(0x8000)) >> 16).astype("<u2")


def write_file(path, every, numbers):
    """One file of safetensors, {"format": "pt"} as torch's readers want it; without numbers a hole as long."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for key, dims in every:
        size = 2 * int(np.prod(dims))
        header[key] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
        for key, dims in every if numbers else ():
            for piece in numbers.matrix(key, dims) if len(dims) == 2 else [numbers.norm(dims)]:
                file.write(bf16(piece))


def shards(every, most):
    """The tensors by files of at most `most` bytes."""
    files, size = [[]], 0
    for key, dims in every:
        bytes_ = 2 * int(np.prod(dims))
        if files[-1] and size + bytes_ > most:
            files.append([])
            size = 0
        files[-1].append((key, dims))
        size += bytes_
    return files


def make_model(name, layers, directory=BENCH, shard=SHARD, hollow=False):
    """The directory of the model, written unless it is there whole; in files of at most `shard` bytes and an index, if one is too small.
    hollow: without its numbers, for plans; it takes no room."""
    shape, path = SHAPES[name], Path(directory) / f"{name}-{layers}{'-hollow' if hollow else ''}"
    config = path / "config.json"
    if config.exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    files, numbers, index = shards(list(tensors(shape, layers)), shard), None if hollow else Numbers(7), {}
    for i, every in enumerate(files):
        file = "model.safetensors" if len(files) == 1 else f"model-{i + 1:05}-of-{len(files):05}.safetensors"
        write_file(path / file, every, numbers)
        index.update({key: file for key, _ in every})
    if len(files) > 1:
        (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": model_bytes(name, layers)}, "weight_map": index}))
    members = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers, "vocab_size": VOCABULARY,
               "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": False,
               "torch_dtype": "bfloat16", **{k: v for k, v in shape.items() if k != "whole"}}
    config.write_text(json.dumps(members))  # last: what has it is whole
    return path


def make_ids(path, rows, length, seed=1):
    """Ids whose frequencies fall off as words' do."""
    random = np.random.default_rng(seed)
    ids = np.minimum(VOCABULARY ** random.random((rows, length)), VOCABULARY - 1).astype(np.int32)
    np.save(path, ids)
    return path
