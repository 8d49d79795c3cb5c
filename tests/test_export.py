"""Exports hf and compact, on models of a few kilobytes: run forward by the judge (NumPy, float64) from their safetensors they have the
perplexity of the job's report; the same bytes at 1 to 3 ranks; what lies beside the tensors; what is refused; ends that are not whole."""
import json, shutil, struct

import numpy as np
import pytest

import judge, tiny_model
from faults.inject import preload
from helpers import mpirun, run_job, shared, write_config
from test_variants import LLAMA3, SEVEN, build, ids

CLOSE = 1e-5  # of the perplexity: fp32 against float64
LENGTH = 16
GROUPED = {"num_hidden_layers": 4, "intermediate_size": 40, "hidden_size": 32, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8}
OLICA = {"method": "olica", "sparsity": 0.25, "mlp_num": 2, "ratio": 0.2, "skip_lowest": 0.03}
BESIDE = {"LICENSE": "Do as you like.\n", "NOTICE.txt": "Made by us.\n", "generation_config.json": '{"eos_token_id": 2}\n',
          "README.md": "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "chat_template.jinja": "{{ messages }}"}
JOBS = {  # config, biases, [prune]
    "olica": ({"rope_scaling": {"rope_type": "llama3", **LLAMA3}}, (), OLICA),
    "olica filled": ({}, (), OLICA | {"fill": "yes"}),
    "olica biased": ({"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}, SEVEN, OLICA),
    "olica qwen2": ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, SEVEN[:3], OLICA),
    "olica mistral": ({"model_type": "mistral", "sliding_window": None}, (), OLICA),
    "refit uniform": ({}, (), {"method": "refit", "sparsity": 0.2, "shape": "uniform"}),
    "refit layerwise": ({}, (), {"method": "refit", "sparsity": 0.2, "allocation": "influence"}),
    "flap": ({}, (), {"method": "flap", "sparsity": 0.4}),
    "wanda-sp qwen2": ({"model_type": "qwen2", "head_dim": None, "hidden_size": 64}, SEVEN[:3], {"method": "wanda-sp", "sparsity": 0.3}),
    "svd-llm": ({}, (), {"method": "svd-llm", "sparsity": 0.3}),
}


def job_of(directory, name):
    config, biases, prune = JOBS[name]
    model = build(directory / "model", config={**GROUPED, **config}, biases=biases)
    tiny_model.make_tokenizer(model)
    for file, text in BESIDE.items():
        (model / file).write_text(text)
    ids(directory / "calibration.npy", (24, LENGTH))
    ids(directory / "evaluation.npy", (400,))
    return {"model": {"path": "model"}, "prune": prune, "calibration": {"tokens": "calibration.npy", "samples": 24, "length": LENGTH},
            "evaluate": {"tokens": "evaluation.npy", "length": LENGTH}, "output": {"dtype": "fp32", "checkpoint": "job.h5", "report": "job.json"}}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Each job once, with its exports: directory and report by name."""
    made = {}

    def get(name):
        if name not in made:
            directory = tmp_path_factory.mktemp("job")
            sections = job_of(directory, name)
            sections["output"] |= {"export": "hf:stock, compact:small/"}
            done = mpirun(1, write_config(directory / "job.ini", sections), cwd=directory)
            assert done.returncode == 0, done.stderr
            made[name] = directory, json.loads((directory / "job.json").read_text()), done.stderr
        return made[name]
    return get


def load_compact(directory):
    """The judge's model of a compact directory: as its Python file makes it."""
    config = json.loads((directory / "config.json").read_text())
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        found.update(judge.read_safetensors(path))
    base = dict(config, model_type=config["model_type"].removeprefix("olica_"))
    w = {"embed_tokens": found.pop("model.embed_tokens.weight"), "norm": found.pop("model.norm.weight")}
    if not config["tie_word_embeddings"]:
        w["lm_head"] = found.pop("lm_head.weight")
    for i, layer in enumerate(config["olica_layers"]):
        for name in [n for n in found if n.startswith(f"model.layers.{i}.")]:
            short = name.removeprefix(f"model.layers.{i}.").removeprefix("self_attn.").removeprefix("mlp.").replace(".cut.", ".")
            x, parts = found.pop(name), short.split(".")
            if parts[0] == "branch":
                w[f"layers/{i:03d}/branch/{parts[1]}"] = x.T
            elif "layernorm" in short:
                w[f"layers/{i:03d}/{parts[0]}"] = x
            else:
                w[f"layers/{i:03d}/{parts[0]}/{'bias' if parts[-1] == 'bias' else parts[1]}"] = x
        v = w.get(f"layers/{i:03d}/v_proj/b", w.get(f"layers/{i:03d}/v_proj/weight"))
        assert len(v) == layer["kv_heads"] * layer["v"] and layer["ffn"] <= config["intermediate_size"]
    assert not found, "tensors of no use"
    return judge.Model(base, w)


@pytest.mark.parametrize("name", JOBS)
def test_forward(jobs, name):
    """The judge runs both forward; parameters; what is beside; --verify at 2 ranks."""
    directory, report, log = jobs(name)
    evaluation, pruned = np.load(directory / "evaluation.npy"), report["perplexity"]["pruned"]
    stock, small = judge.load_model(directory / "stock"), load_compact(directory / "small")
    for model in (stock, small):
        assert judge.perplexity(model, evaluation, LENGTH) == pytest.approx(pruned, rel=CLOSE)
    assert small.parameters() == report["parameters"]["pruned"]
    config = json.loads((directory / "stock" / "config.json").read_text())
    assert ("rope_parameters" not in config) and config["torch_dtype"] == "float32" and config["rope_theta"] == 10000.0
    uniform = name == "refit uniform"
    assert (stock.parameters() == small.parameters()) == uniform and ("Nothing is padded" in (directory / "stock" / "README.md").read_text()) == uniform
    branches = any(layer.get("branch_rank") for layer in report["layers"])
    zeros = "neurons are zeros" in (directory / "stock" / "README.md").read_text()
    assert zeros == (len({layer["ffn_width"] + layer.get("branch_rank", 0) for layer in report["layers"]}) > 1) and not (zeros and name == "olica filled")
    if name.startswith("olica"):
        assert branches and config["mlp_bias"] and config["architectures"] == ["LlamaForCausalLM"] and "SGLang" in log
    if name == "wanda-sp qwen2":  # its own class has the biases that are needed
        assert config["model_type"] == "qwen2" and "mlp_bias" not in config
    for form in ("stock", "small"):
        for file, text in BESIDE.items():
            if file != "README.md":
                assert (directory / form / file).read_text() == text
        assert (directory / form / "tokenizer.json").read_bytes() == (directory / "model" / "tokenizer.json").read_bytes()
        card = (directory / form / "README.md").read_text()
        assert 'license: "apache-2.0"' in card and "job.ini" in card and f"{pruned:.4f}" in card
        assert not list((directory / form).glob(".*"))
    tied = config["tie_word_embeddings"]
    header = (directory / "stock" / "model.safetensors").read_bytes()
    header = json.loads(header[8:8 + struct.unpack("<Q", header[:8])[0]])
    assert header["__metadata__"] == {"format": "pt"} and ("lm_head.weight" in header) == (not tied)
    for form in ("stock", "small"):
        done = mpirun(2, "--verify", form, cwd=directory)
        assert done.returncode == 0 and ": ok, " in done.stdout, done.stderr


def test_our_own_reader(jobs):
    """An exported directory is a model for this program, too."""
    directory, report, _ = jobs("olica")
    sections = {"model": {"path": directory / "stock"}, "prune": {"method": "none"}, "output": {},
                "evaluate": {"tokens": directory / "evaluation.npy", "length": LENGTH}}
    assert run_job(directory, 1, sections, name="again")["perplexity"]["model"] == pytest.approx(report["perplexity"]["pruned"], rel=CLOSE)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_ranks(jobs, dtype, tmp_path):
    """The same bytes from the command at 1, 2 and 3 ranks, in shards; the index; the numbers are rounded."""
    directory, report, _ = jobs("olica")
    for ranks in (1, 2, 3):
        (tmp_path / str(ranks)).mkdir()
        for name in ("job.h5", "job.json", "model"):
            (tmp_path / str(ranks) / name).symlink_to(directory / name)
        done = mpirun(ranks, "--set", f"output.export_dtype={dtype}", "--set", "output.shard=1MB", "--export", "hf:a, compact:b", "job.h5",
                      cwd=tmp_path / str(ranks))
        assert done.returncode == 0, done.stderr
    for form in "ab":
        files = sorted(path.name for path in (tmp_path / "1" / form).iterdir())
        for ranks in "23":
            assert files == sorted(path.name for path in (tmp_path / ranks / form).iterdir())
            for name in files:
                assert (tmp_path / "1" / form / name).read_bytes() == (tmp_path / ranks / form / name).read_bytes(), name
    assert (tmp_path / "1" / "a" / "model.safetensors").exists()  # it is smaller than a shard can be
    perplexity = judge.perplexity(judge.load_model(tmp_path / "1" / "a"), np.load(directory / "evaluation.npy"), LENGTH)
    assert perplexity == pytest.approx(report["perplexity"]["pruned"], rel={"fp32": CLOSE, "bf16": 0.05, "fp16": 2e-3}[dtype])
    assert json.loads((tmp_path / "1" / "b" / "config.json").read_text())["torch_dtype"] == {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[dtype]


def test_shards(tmp_path):
    """A model of several files: the index names each tensor's, and the totals."""
    model = build(tmp_path / "model", config={**GROUPED, "vocab_size": 9000})
    done = mpirun(2, "--set", "output.shard=1MB", "--export", "hf:out", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert [f.name for f in files] == [f"model-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))] and len(files) == 3
    found, dense = {}, judge.read_safetensors(model / "model.safetensors")
    for path in files:
        for name, x in judge.read_safetensors(path).items():
            assert index["weight_map"][name] == path.name
            found[name] = x
    assert set(found) == set(dense) == set(index["weight_map"]) and all((found[name] == dense[name]).all() for name in found)
    numbers = sum(x.size for x in found.values())
    assert index["metadata"] == {"total_parameters": numbers, "total_size": 4 * numbers}
    assert mpirun(3, "--verify", "out", cwd=tmp_path).returncode == 0


# Tiny models of ../shared: our own reader understands the config that was written as it did the source's.
@pytest.mark.parametrize("family", ["qwen3", "smollm3", "seed_oss", "ministral3", "llama-yarn", "llama-longrope", "mistral", "gemma", "granite"])
def test_families(tmp_path, family):
    source = shared("families", family)
    text = {"tokens": source / "ids.npy", "length": 24}
    sections = {"model": {"path": source}, "prune": {"method": "refit", "sparsity": 0.2, "allocation": "influence"},
                "calibration": {**text, "samples": 24}, "evaluate": text, "output": {"dtype": "fp32", "export": "hf:stock, compact:small"}}
    report = run_job(tmp_path, 1, sections)
    config = json.loads((tmp_path / "stock" / "config.json").read_text())
    assert "rope_parameters" not in config and "rope_theta" in config and config["model_type"] == json.loads((source / "config.json").read_text())["model_type"]
    assert ("Use transformers 5" in (tmp_path / "stock" / "README.md").read_text()) == (family in ("llama-yarn", "llama-longrope"))
    again = run_job(tmp_path, 1, {"model": {"path": tmp_path / "stock"}, "prune": {"method": "none"}, "evaluate": text}, name="again")
    assert again["perplexity"]["model"] == pytest.approx(report["perplexity"]["pruned"], rel=CLOSE)
    assert mpirun(1, "--verify", "small", cwd=tmp_path).returncode == 0


KINDS = {  # one family of each kind of block, with widths by layer or factors of query and key, and narrowed heads
    "phi3": {"method": "refit", "allocation": "influence"},  # qkv_proj, gate_up_proj
    "arcee": {"method": "refit", "allocation": "influence"},  # a plain FFN
    "cohere2": {"method": "olica", "mlp_num": 0},  # LayerNorm, attention beside the FFN
    "olmo2": {"method": "olica", "mlp_num": 0},  # norms behind, queries and keys normed over all heads
    "gemma3": {"method": "refit", "allocation": "influence"},  # a config and a model of other names
}


@pytest.mark.parametrize("family", KINDS)
def test_kinds(tmp_path, family):
    """Padded and multiplied out, the family's own class is the same function; a branch is refused by name. compact has the checkpoint's
    own tensors, and names the family's classes (make check-ecosystem opens it)."""
    source = shared("families", family)
    text, prune = {"tokens": source / "ids.npy", "length": 24}, {"sparsity": 0.2, **KINDS[family]}
    report = run_job(tmp_path, 2, {"model": {"path": source}, "prune": prune, "calibration": {**text, "samples": 24}, "evaluate": text,
                                   "output": {"dtype": "fp32", "export": f"hf:{tmp_path / 'stock'}, compact:{tmp_path / 'small'}"}})
    name = {"phi3": "Phi3", "arcee": "Arcee", "cohere2": "Cohere2", "olmo2": "Olmo2", "gemma3": "Gemma3"}[family]
    text_of = name + "Text" if family == "gemma3" else name
    assert f"from transformers import {text_of}Config, {name}ForCausalLM, {text_of}Model\n" in (tmp_path / "small" / "modeling_olica.py").read_text()
    done = mpirun(1, "--verify", "small", "--against", "job.h5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before, config = (json.loads((path / "config.json").read_text()) for path in (source, tmp_path / "stock"))
    changed = {key for key in before if key in config and before[key] != config[key]}
    assert changed == {"intermediate_size"} and config["intermediate_size"] == max(layer["ffn_width"] for layer in report["layers"])
    names = [set(judge.read_safetensors(path / "model.safetensors")) for path in (source, tmp_path / "stock")]
    assert names[0] == names[1]
    again = run_job(tmp_path, 1, {"model": {"path": tmp_path / "stock"}, "prune": {"method": "none"}, "evaluate": text}, name="again")
    assert again["perplexity"]["model"] == pytest.approx(report["perplexity"]["pruned"], rel=1e-6)
    assert mpirun(1, "--verify", "stock", cwd=tmp_path).returncode == 0
    if family == "arcee":
        sections = {"model": {"path": source}, "prune": {"method": "olica", "sparsity": 0.2, "mlp_num": 1}, "calibration": {**text, "samples": 24},
                    "output": {"checkpoint": tmp_path / "branch.h5", "export": f"hf:{tmp_path / 'branch'}"}}
        done = mpirun(1, write_config(tmp_path / "branch.ini", sections), cwd=tmp_path)
        assert done.returncode == 2 and "the FFN of arcee is plain" in done.stderr and "the way out is compact:DIR" in done.stderr, done.stderr


def starcoder2(config):
    """Shapes of its tensors, by name."""
    d, f, inner = config["hidden_size"], config["intermediate_size"], config["num_key_value_heads"] * config["hidden_size"] // config["num_attention_heads"]
    layer = {"self_attn.q_proj": (d, d), "self_attn.k_proj": (inner, d), "self_attn.v_proj": (inner, d), "self_attn.o_proj": (d, d),
             "mlp.c_fc": (f, d), "mlp.c_proj": (d, f), "input_layernorm": (d,), "post_attention_layernorm": (d,)}
    found = {"model.embed_tokens.weight": (config["vocab_size"], d), "model.norm.weight": (d,), "model.norm.bias": (d,)}
    for i in range(config["num_hidden_layers"]):
        for name, shape in layer.items():
            found |= {f"model.layers.{i}.{name}.weight": shape, f"model.layers.{i}.{name}.bias": shape[:1]}
    return found


def make_source(directory, family):
    """A dense model of a family; phi3 with a fused matrix of more numbers than are written together."""
    directory.mkdir()
    if family == "starcoder2":
        config = {**tiny_model.CONFIG, "model_type": family, "architectures": ["Starcoder2ForCausalLM"], "num_hidden_layers": 2, "use_bias": True, "tie_word_embeddings": True}
        shapes = starcoder2(config)
    else:
        dense = shared("families", family)
        config = json.loads((dense / "config.json").read_text())
        shapes = {name: x.shape for name, x in judge.read_safetensors(dense / "model.safetensors").items()}
    if family == "phi3":
        wide = 12000
        config |= {"intermediate_size": wide, "num_hidden_layers": 1}
        shapes = {name: (2 * wide, shape[1]) if "gate_up" in name else (shape[0], wide) if "down_proj" in name else shape
                  for name, shape in shapes.items() if "layers." not in name or "layers.0." in name}
    random = np.random.default_rng(5)
    (directory / "model.safetensors").write_bytes(tiny_model.pack({name: random.standard_normal(shape, "f4") for name, shape in shapes.items()}))
    (directory / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("family", ["phi3", "glm4", "gemma2", "cohere2", "hunyuan", "starcoder2"])
def test_same_tensors(tmp_path, family):
    """A dense model's export has its tensors, bit for bit, fused ones put together again."""
    make_source(tmp_path / "model", family)
    done = mpirun(2, "--export", "hf:out", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dense, found = (judge.read_safetensors(tmp_path / path / "model.safetensors") for path in ("model", "out"))
    assert set(found) == set(dense) and all(np.array_equal(found[name], dense[name]) for name in dense)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == json.loads((tmp_path / "model" / "config.json").read_text())["architectures"]
    assert mpirun(1, "--verify", "out", cwd=tmp_path).returncode == 0


REFUSED = [  # arguments, exit code, words
    (["--export", "hf:taken", "job.h5"], 2, "taken exists, expected the name of a new directory"),
    (["--export", "ham:x", "job.h5"], 2, 'ham:x", expected KIND:PATH'),
    (["--export", "hf:", "job.h5"], 2, "a directory's name"),
    (["--export", "hf:x, compact:x/", "job.h5"], 2, "x stands there twice"),
    (["--export", "hf:no/where", "job.h5"], 4, "no directory no/"),
    (["--export", "hf:x", "missing.h5"], 3, "missing.h5"),
    (["--set", "output.export_dtype=q8_0", "--export", "hf:x", "job.h5"], 2, "expected one of fp32, fp16, bf16"),
    (["--set", "output.dtype=bf16", "--export", "hf:x", "job.h5"], 2, "expected output.export_dtype"),
    (["--set", "model.path=other", "--export", "hf:x", "job.h5"], 2, "is not the one in job.h5"),
    (["--verify", "other"], 3, "no olica_export.json in it"),
]


@pytest.mark.parametrize("arguments, code, words", REFUSED, ids=[words for *_, words in REFUSED])
def test_refused(jobs, tmp_path, arguments, code, words):
    directory, *_ = jobs("olica")
    shutil.copy(directory / "job.h5", tmp_path)
    (tmp_path / "taken").mkdir()
    build(tmp_path / "other", config={**GROUPED, "vocab_size": 50})
    before = sorted(path.name for path in tmp_path.iterdir())
    done = mpirun(2, *arguments, cwd=tmp_path)
    assert done.returncode == code and words in done.stderr, done.stderr
    assert before == sorted(path.name for path in tmp_path.iterdir())


def test_what_a_class_cannot_say(tmp_path):
    """A branch beside a window: LlamaForCausalLM has none, Mistral has no bias. compact says it."""
    JOBS["olica window"] = ({"model_type": "mistral", "sliding_window": 6}, (), OLICA)
    sections = job_of(tmp_path, "olica window")
    JOBS.pop("olica window")
    sections["output"] |= {"export": "compact:small, hf:stock"}
    done = mpirun(1, write_config(tmp_path / "job.ini", sections), cwd=tmp_path)
    assert done.returncode == 2 and "the way out is compact:DIR" in done.stderr and "job.h5 is whole, its export is not" in done.stderr
    assert not (tmp_path / "stock").exists() and not (tmp_path / "stock.part").exists()
    report = json.loads((tmp_path / "job.json").read_text())
    found = judge.perplexity(load_compact(tmp_path / "small"), np.load(tmp_path / "evaluation.npy"), LENGTH)
    assert found == pytest.approx(report["perplexity"]["pruned"], rel=CLOSE)


def test_range_of_fp16(tmp_path):
    """A number beyond fp16 is refused by name; small ones are counted."""
    def change(w):
        w["model.layers.1.mlp.up_proj.weight"][3, 2] = 1e5
        w["model.layers.0.mlp.up_proj.weight"][0, :5] = 1e-9
    build(tmp_path / "model", config=GROUPED, change=change)
    export = lambda dtype, name: mpirun(2, "--set", f"output.export_dtype={dtype}", "--export", f"hf:{name}", "model", cwd=tmp_path)
    done = export("fp16", "half")
    assert done.returncode == 2 and "model.layers.1.mlp.up_proj.weight has 100000 in row 3" in done.stderr
    assert not list(tmp_path.glob("half*"))
    assert export("bf16", "wide").returncode == 0
    build(tmp_path / "model", config=GROUPED, change=lambda w: w["model.layers.0.mlp.up_proj.weight"].__setitem__((0, slice(5)), 1e-9))
    done = export("fp16", "half")
    assert done.returncode == 0 and "5 of " in done.stderr and "become 0" in done.stderr


def test_gone(jobs, tmp_path):
    """Without the source's directory the tokenizer is there, and a warning names what is not."""
    directory, *_ = jobs("olica")
    shutil.copy(directory / "job.h5", tmp_path)
    (directory / "model").rename(directory / "away")
    try:
        done = mpirun(1, "--export", "hf:out", "job.h5", cwd=tmp_path)
    finally:
        (directory / "away").rename(directory / "model")
    assert done.returncode == 0 and "is not there any more" in done.stderr and "--set model.path=DIR" in done.stderr
    assert (tmp_path / "out" / "tokenizer.json").exists() and not (tmp_path / "out" / "LICENSE").exists()
    assert "not known to this export" in (tmp_path / "out" / "README.md").read_text()
    done = mpirun(1, "--set", f"model.path={directory / 'model'}", "--export", "hf:two", "job.h5", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "two" / "LICENSE").exists() and "WARN" not in done.stderr


KILLED = {137, 1, 143}
FAULTS = [  # kind, fault, exit codes, whether something may stay under the temporary name
    ("hf", "rank=0 call=allocate path=out.part/model do=ENOSPC", {4}, False),
    ("hf", "rank=1 call=write path=out.part/model nth=2+ do=ENOSPC", {4}, False),
    ("hf", "rank=1 call=sync path=out.part/model do=EIO", {4}, False),
    ("hf", "rank=0 call=write path=out.part/config.json nth=1 do=ENOSPC", {4}, False),
    ("hf", "rank=0 call=write path=out.part/olica_export nth=1 do=EIO", {4}, False),
    ("hf", "rank=0 call=rename path=/out do=EIO", {4}, False),
    ("hf", "rank=1 call=write path=out.part/model nth=2 do=short", {0}, False),
    ("hf", "rank=1 call=write path=out.part/model nth=3 do=kill", KILLED, True),
    ("hf", "rank=0 call=sync path=out.part/README.md do=kill", KILLED, True),
    ("hf", "rank=0 call=rename path=/out$ do=kill", KILLED, True),
    ("compact", "rank=1 call=write path=out.part/model nth=2+ do=ENOSPC", {4}, False),
    ("compact", "rank=0 call=write path=out.part/modeling_olica do=ENOSPC", {4}, False),
    ("compact", "rank=0 call=rename path=/out$ do=EIO", {4}, False),
    ("compact", "rank=0 call=sync path=out.part/modeling_olica do=kill", KILLED, True),
    ("gguf", "rank=0 call=allocate path=/out.part$ do=ENOSPC", {4}, False),
    ("gguf", "rank=1 call=write path=/out.part$ nth=2+ do=ENOSPC", {4}, False),
    ("gguf", "rank=1 call=sync path=/out.part$ do=EIO", {4}, False),
    ("gguf", "rank=0 call=rename path=/out$ do=EIO", {4}, False),
    ("gguf", "rank=1 call=write path=/out.part$ nth=2 do=short", {0}, False),
    ("gguf", "rank=1 call=write path=/out.part$ nth=3 do=kill", KILLED, True),
    ("gguf", "rank=0 call=open path=/out.part$ nth=3 do=kill", KILLED, True),  # before the head: all numbers are there
]


@pytest.fixture(scope="module")
def forms(jobs):
    """The olica job's exports by kind, from runs that nothing disturbs."""
    directory, *_ = jobs("olica")
    done = mpirun(1, "--set", f"model.path={directory / 'model'}", "--export", "gguf:whole.gguf", "job.h5", cwd=directory)
    assert done.returncode == 0, done.stderr
    return {"hf": directory / "stock", "compact": directory / "small", "gguf": directory / "whole.gguf"}


def content(path):
    """Bytes by name; the card names the command, which may differ."""
    if path.is_file():
        return path.read_bytes()
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name not in ("README.md", "olica_export.json")}


@pytest.mark.parametrize("kind, fault, codes, stays", FAULTS, ids=[f"{kind}_{fault}".replace(" ", "_") for kind, fault, *_ in FAULTS])
def test_faults(jobs, forms, tmp_path, kind, fault, codes, stays):
    """Nothing partial has the name; what a killed export leaves is no export, and the next one replaces it."""
    directory, *_ = jobs("olica")
    shutil.copy(directory / "job.h5", tmp_path)
    out, part = tmp_path / "out", tmp_path / "out.part"
    done = mpirun(2, "--set", f"model.path={directory / 'model'}", "--export", f"{kind}:{out}", "job.h5", cwd=tmp_path, options=preload(fault))
    assert done.returncode in codes, done.stderr
    assert out.exists() == (codes == {0}) and part.exists() == stays
    if stays and "rename" in fault:  # it was whole
        assert (part / "olica_export.json").exists()
    elif stays:
        assert mpirun(1, "--verify", "out.part", cwd=tmp_path).returncode == 3 and (kind != "gguf" or part.read_bytes()[:4] != b"GGUF")
    if codes != {0}:
        done = mpirun(1, "--set", f"model.path={directory / 'model'}", "--export", f"{kind}:out", "job.h5", cwd=tmp_path)
        assert done.returncode == 0 and not part.exists(), done.stderr
    assert content(out) == content(forms[kind])


NO_EXCHANGE = "OLICA_NO_EXCHANGE"  # a file system that cannot exchange two names
REPLACED = {  # environment, fault, exit codes, which export is where afterwards
    "exchanged": ("", "", {0}, {"out": "new"}),
    "exchange refused": ("", "rank=0 call=rename path=/out$ do=EIO", {4}, {"out": "old"}),
    "full disk": ("", "rank=0 call=write path=out.part/model nth=2+ do=ENOSPC", {4}, {"out": "old"}),
    "killed before": ("", "rank=0 call=rename path=/out$ do=kill", KILLED, {"out": "old", "out.part": "new"}),
    "killed after": ("", "rank=0 call=unlink path=out.part/LICENSE$ do=kill", KILLED, {"out": "new", "out.part": "old"}),
    "moved": (NO_EXCHANGE, "", {0}, {"out": "new"}),
    "move refused": (NO_EXCHANGE, "rank=0 call=rename path=/out.replaced$ do=EIO", {4}, {"out": "old"}),
    "second move refused": (NO_EXCHANGE, "rank=0 call=rename path=/out$ do=EIO", {4}, {"out": "old"}),
    "killed between": (NO_EXCHANGE, "rank=0 call=rename path=/out$ do=kill", KILLED, {"out.replaced": "old", "out.part": "new"}),
    "killed after moving": (NO_EXCHANGE, "rank=0 call=unlink path=out.replaced/LICENSE$ do=kill", KILLED, {"out": "new", "out.replaced": "old"}),
}


@pytest.mark.parametrize("name", REPLACED)
def test_replaced(jobs, forms, tmp_path, name):
    """overwrite = yes: whenever it ends, a whole export is there, the old one or the new one; the next run ends what was begun."""
    variable, fault, codes, left = REPLACED[name]
    model = jobs("olica")[0] / "model"
    shutil.copy(jobs("olica")[0] / "job.h5", tmp_path)
    shutil.copytree(forms["compact"], tmp_path / "out")
    export = lambda *more, **how: mpirun(1, "--set", f"model.path={model}", *more, "--export", f"hf:{tmp_path / 'out'}", "job.h5", cwd=tmp_path, **how)
    done = export("--set", "output.overwrite=yes", options=[*preload(fault or "call=none do=none"), *(["-x", f"{variable}=1"] if variable else [])])
    assert done.returncode in codes, done.stderr
    assert {path.name for path in tmp_path.glob("out*") if path.suffix != ".lock"} == set(left)
    for place, which in left.items():
        if "killed after" in name and which == "old":
            continue  # it is being removed
        found = content(tmp_path / place)
        found.pop(".olica_export_under_way", None)
        assert found == content(forms["hf" if which == "new" else "compact"]), place
        assert codes != KILLED or mpirun(1, "--verify", place, cwd=tmp_path).returncode == 0
    if codes == {0}:
        return
    if name == "killed between":
        done = export()
        assert done.returncode == 2 and "out exists" in done.stderr and "has its name back" in done.stderr and content(tmp_path / "out") == content(forms["compact"])
    done = export("--set", "output.overwrite=yes")
    assert done.returncode == 0 and [path.name for path in tmp_path.glob("out*")] == ["out"] and content(tmp_path / "out") == content(forms["hf"]), done.stderr


NOT_REPLACED = {  # what is done to a copy of an export, words
    "no list": (lambda out: (out / "olica_export.json").unlink(), "has no olica_export.json of this program"),
    "another's list": (lambda out: (out / "olica_export.json").write_text('{"files": {}}'), "has no olica_export.json of this program"),
    "a file more": (lambda out: (out / "notes.txt").write_text("mine"), "notes.txt in it is not of its export"),
    "a folder": (lambda out: (out / "runs").mkdir(), "runs in it is not of its export"),
    "a link": (lambda out: (out / "LICENSE").unlink() or (out / "LICENSE").symlink_to("NOTICE.txt"), "LICENSE in it is not of its export"),
    "itself a link": (lambda out: (out.rename(out.with_name("other")), out.symlink_to("other")), "is no directory"),
    "itself a file": (lambda out: (shutil.rmtree(out), out.write_text("mine")), "is no directory"),
}


@pytest.mark.parametrize("name", NOT_REPLACED)
def test_not_replaced(forms, tmp_path, name):
    """What no export has written stays, also with overwrite = yes; a job says it before its work."""
    change, words = NOT_REPLACED[name]
    shutil.copytree(forms["compact"], tmp_path / "out")
    change(tmp_path / "out")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = mpirun(1, "--set", "output.overwrite=yes", "--export", f"hf:{tmp_path / 'out'}", forms["hf"].parent / "job.h5")
    assert done.returncode == 2 and words in done.stderr and "move it away, or choose another name" in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_job_again(tmp_path):
    """A job with overwrite = yes replaces its export, and is refused without, in --check as well."""
    sections = job_of(tmp_path, "refit uniform")
    sections["output"] |= {"export": "hf:stock, gguf:model.gguf", "overwrite": "yes"}
    config = write_config(tmp_path / "job.ini", sections)
    for start in range(2):
        assert mpirun(1, config, cwd=tmp_path).returncode == 0
        first = content(tmp_path / "stock") if start == 0 else first
    assert content(tmp_path / "stock") == first and not list(tmp_path.glob("*.part")) and not list((tmp_path / "stock").glob(".*"))
    (tmp_path / "stock" / "notes.txt").write_text("mine")
    for arguments in (["--check"], []):
        done = mpirun(1, *arguments, config, cwd=tmp_path)
        assert done.returncode == 2 and "notes.txt in it is not of its export" in done.stderr + done.stdout


def test_against(jobs, forms, tmp_path):
    """--verify --against: the numbers are the checkpoint's, of every kind and in a rounded type; another checkpoint's are not."""
    directory, *_ = jobs("olica")
    done = mpirun(1, "--set", "output.export_dtype=bf16", "--set", f"model.path={directory / 'model'}", "--export", f"compact:{tmp_path / 'half'}", directory / "job.h5")
    assert done.returncode == 0
    for path in (*forms.values(), tmp_path / "half"):
        done = mpirun(2, "--verify", path, "--against", directory / "job.h5")
        assert done.returncode == 0 and "the numbers are those of " in done.stdout, done.stderr
    for path in forms.values():
        done = mpirun(2, "--verify", path, "--against", jobs("olica biased")[0] / "job.h5")
        assert done.returncode == 3 and "this is no export of that checkpoint" in done.stderr, done.stderr
    assert mpirun(1, "--verify", forms["hf"], "--against", tmp_path / "none.h5").returncode == 3


def test_strangers(jobs, tmp_path):
    """A directory of somebody else's under the temporary name stays."""
    directory, *_ = jobs("olica")
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "thesis.tex").write_text("years")
    done = mpirun(1, "--export", f"hf:{tmp_path / 'out'}", "job.h5", cwd=directory)
    assert done.returncode == 4 and "is not what an interrupted export leaves" in done.stderr
    assert (tmp_path / "out.part" / "thesis.tex").read_text() == "years"


DAMAGE = {
    "a bit": (lambda d: flip(d / "model.safetensors", 5000), "it has changed"),
    "a byte less": (lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1]), "expected"),
    "a file gone": (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json: has 0 bytes"),
    "a file more": (lambda d: (d / "model-00002-of-00002.safetensors").write_bytes(b"x"), "does not belong to this export"),
    "another width": (lambda d: relist(d, "config.json", lambda c: c.replace('"ffn": ', '"ffn": 1')), "of another shape"),
    "no layers": (lambda d: relist(d, "config.json", lambda c: c.replace("olica_layers", "layers")), "olica_layers is not a list"),
}


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    path.write_bytes(raw)


def relist(directory, name, change):
    """Changes a file, and the list with it: only its content is wrong then."""
    import zlib
    raw = change((directory / name).read_text()).encode()
    (directory / name).write_bytes(raw)
    whole = json.loads((directory / "olica_export.json").read_text())
    whole["files"][name] = {"bytes": len(raw), "crc32": zlib.crc32(raw)}
    (directory / "olica_export.json").write_text(json.dumps(whole))


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(jobs, tmp_path, name):
    change, words = DAMAGE[name]
    shutil.copytree(jobs("olica")[0] / "small", tmp_path / "small")
    change(tmp_path / "small")
    done = mpirun(2, "--verify", "small", cwd=tmp_path)
    assert done.returncode == 3 and words in done.stderr, done.stderr


def test_pairs(tmp_path):
    """A comparison's exports are named like its checkpoints; --output moves both; --check writes none."""
    sections = job_of(tmp_path, "refit uniform")
    sections["prune"] = {"method": "refit", "shape": "uniform", "sparsity": "0.1, 0.2"}
    sections["output"] |= {"export": "hf:elsewhere/stock"}
    config = write_config(tmp_path / "job.ini", sections)
    done = mpirun(1, "--check", "--output", "out", config, cwd=tmp_path)
    assert done.returncode == 0 and "export       hf:" in done.stdout and not (tmp_path / "out").exists(), done.stderr
    done = mpirun(1, "--output", "out", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"stock.refit.0.1", "stock.refit.0.2"}
