"""Redundant or contradictory values in config.json, an index and the stored tensors: read as transformers reads them, with a warning."""
import json

import numpy as np
import pytest

from damage import FILE, INDEX, Job, both, config, model, sharded
from tiny_model import CONFIG, make_model, pack, weights

W = weights(CONFIG)
HEAD, EMBED = "lm_head.weight", "model.embed_tokens.weight"


def look(directory, act, *arguments):
    """The warnings of --check, which must succeed."""
    job = Job(directory)
    act(job)
    done = job.run(0, "--check", *arguments)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if " WARN " in line]


def beside(name, seed=8):
    return lambda job: (job.model / name).write_bytes(pack(weights(CONFIG, seed)))


def total(bytes):
    """Another total_size in the index."""
    def act(job):
        text = json.loads((job.model / INDEX).read_text())
        (job.model / INDEX).write_text(json.dumps(text | {"metadata": {"total_size": bytes}}))
    return act


ALL = sum(w.size * 4 for w in W.values())
SHARDED = sharded(lambda where: None)
TIED = {"tie_word_embeddings": True}


def tied(head):
    """A tied model whose files hold an output matrix too."""
    return lambda job: make_model(job.model, config=TIED, tensors={HEAD: head})


def mixed(job):
    names = list(W)
    a, b = {n: W[n] for n in names[:5]}, {n: W[n] for n in names[5:]}
    (job.model / "a.safetensors").write_bytes(pack(a, "F32"))
    (job.model / "b.safetensors").write_bytes(pack(b, "F16"))
    (job.model / FILE).unlink()
    (job.model / INDEX).write_text(json.dumps({"weight_map": {n: "a.safetensors" if n in a else "b.safetensors" for n in names}}))


LLAMA3 = {"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8}
TOLD = {
    "a single file beside an index": (both(SHARDED, beside(FILE)), [FILE + ": lies beside an index", "a.safetensors and other .safetensors beside the weights: not read"]),
    "an adapter beside": (beside("adapter_model.safetensors"), ["adapter_model.safetensors beside the weights: not read"]),
    "a shard that the index does not name": (both(SHARDED, beside("c.safetensors")), ["c.safetensors beside the weights: not read"]),
    "tensors that the index does not name": (sharded(lambda where: [where.pop(HEAD), where.pop("model.norm.weight")] and None),
                                             ["does not name 2 tensors that its shards hold, "]),
    "total_size": (both(SHARDED, total(ALL - 4)), [f"total_size is {ALL - 4}, its shards' tensors have {ALL} bytes"]),
    "a tied head that differs": (tied(W[EMBED] + 0.25 * (np.arange(64 * 16).reshape(64, 16) == 700)),
                                 [f"tie_word_embeddings is true, and {HEAD} is stored too and differs from {EMBED} by up to 0.25"]),
    "a tied head of another shape": (tied(np.ones((3, 16))), [f"{HEAD} is stored too and differs from {EMBED} by up to inf"]),
    "another class": (config(architectures=["MistralForCausalLM"]), ["architectures says MistralForCausalLM, model_type llama"]),
    "another task": (config(architectures=["LlamaForSequenceClassification"]), ["architectures says LlamaForSequenceClassification"]),
    "code of its own": (config(auto_map={"AutoModel": "x.y"}), ["auto_map names code of the model's own"]),
    "torch_dtype": (config(torch_dtype="bfloat16"), ["torch_dtype is bfloat16, the weights are F32: they are read as stored"]),
    "dtype": (config(dtype="float16", torch_dtype="float32"), ["dtype is float16, the weights are F32"]),
    "several types": (mixed, ["weights have several types, "]),
    "type and rope_type": (config(rope_scaling=LLAMA3 | {"type": "linear", "rope_type": "llama3"}),
                           ["rope_scaling: type is linear, rope_type llama3: rope_type is taken"]),
    "two rope_theta": (config(rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
                       ["rope_theta is 10000, in rope_parameters 500000: the latter is taken"]),
    "a bias that does not count": (config(model_type="mistral", attention_bias=True), ["attention_bias is true, and does not count in mistral"]),
    "a window that does not count": (config(sliding_window=4096), ["sliding_window is 4096, and does not count in llama"]),
    "a bias that is not announced": (model(tensors={f"model.layers.{i}.self_attn.q_proj.bias": np.ones(16) for i in range(2)}),
                                     ["q_proj has a bias that config.json does not announce"]),
}


@pytest.mark.parametrize("name", TOLD)
def test_told(name, tmp_path):
    act, words = TOLD[name]
    said = look(tmp_path, act)
    assert len(said) == len(words), said
    assert [w for w in words if not any(w in line for line in said)] == [], said


QUIET = {
    "nothing": lambda job: None,
    "an index": both(SHARDED, total(ALL)),
    "pytorch_model.bin": lambda job: (job.model / "pytorch_model.bin").write_bytes(b"x"),
    "everything said twice alike": config(architectures=["LlamaForCausalLM"], torch_dtype="float32", dtype="float32", sliding_window=None,
                                          rope_parameters={"type": "default", "rope_type": "default", "rope_theta": 1e4}, pretraining_tp=2),
    "a tied head that is the same": tied(W[EMBED]),
    "tensors that nobody needs": model(tensors={"vision.patch." + "x" * 300: np.ones(3), "vision.patch." + "x" * 301: np.ones(3),
                                                "vision.conv3d": np.ones((1, 2, 1, 2, 1, 2))}),
}


@pytest.mark.parametrize("name", QUIET)
def test_nothing_to_tell(name, tmp_path):
    assert look(tmp_path, QUIET[name]) == []


def test_long_names_in_an_index(tmp_path):
    """Two that differ behind what is kept of them; one that its shard does not hold."""
    long = {"vision." + "y" * 400 + end: np.ones(2) for end in ("a", "b")}

    def act(job, lost=()):
        numbers = W | long
        (job.model / FILE).unlink()
        (job.model / "a.safetensors").write_bytes(pack({k: v for k, v in numbers.items() if k not in lost}))
        (job.model / INDEX).write_text(json.dumps({"weight_map": {name: "a.safetensors" for name in numbers}}))

    assert look(tmp_path, act) == []
    job = Job(tmp_path / "lost") if (tmp_path / "lost").mkdir() is None else None
    act(job, lost=[list(long)[1]])
    done = job.run(2)
    assert done.returncode == 3 and "does not hold it" in done.stderr and "yyyy... (checksum" in done.stderr, done.stderr


def test_many_shards(tmp_path):
    """More shards than a process may have open files."""
    layers = 40
    numbers = weights(CONFIG | {"num_hidden_layers": layers})
    job = Job(tmp_path)
    make_model(job.model, layers=layers)
    (job.model / FILE).unlink()
    where = {name: f"s{i}.safetensors" for i, name in enumerate(numbers)}
    for name, file in where.items():
        (job.model / file).write_bytes(pack({name: numbers[name]}))
    (job.model / INDEX).write_text(json.dumps({"weight_map": where}))
    assert len(where) == 363
    job.shell = "ulimit -n 256"
    done = job.run(2)
    assert done.returncode == 0, done.stderr
