"""Export as GGUF: an independent reader runs the file forward and agrees with the judge's float64 model, and with transformers for other
families; the bytes of every type;
the same bytes on any ranks; the tokenizer's keys; what cannot be expressed is refused or told."""
import json, subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gguf_reader
import judge
import tiny_model
import tokenizer_families as F
from helpers import BINARY, HANGS, environment, mpirun, run_job, shared

CLOSE = 1e-5  # of logits, relative to their largest


def export(source, path, *options, ranks=1, code=0):
    done = mpirun(ranks, *options, "--export", f"gguf:{path}", source)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stderr + done.stdout if code else (gguf_reader.Gguf(path), done.stderr + done.stdout)


def judged(m, ids):
    x = m.w["embed_tokens"][np.asarray(ids)][None]
    for i in range(m.L):
        x, _ = judge.run_layer(m, i, x)
    return (judge.rms_norm(m, x, m.w["norm"]) @ m.w.get("lm_head", m.w["embed_tokens"]).T)[0]


def check_logits(g, m, ids):
    expected = judged(m, ids)
    assert np.abs(gguf_reader.logits(g, ids) - expected).max() < CLOSE * np.abs(expected).max()


# ---- pruned models ---------------------------------------------------------------------------------------------

SMALL = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "num_hidden_layers": 3}
METHODS = {"olica": {"method": "olica", "mlp_num": 1, "ratio": 0.1}, "uniform": {"method": "refit", "shape": "uniform"},
           "layerwise": {"method": "refit", "shape": "layerwise"}, "aligned": {"method": "refit", "shape": "uniform", "align": 64},
           "heads": {"method": "flap"}, "factors": {"method": "svd-llm"}}


@pytest.mark.parametrize("name", METHODS)
def test_pruned(name, tmp_path):
    """Every form that a pruned layer has: factors, cut value neurons, branches, widths and heads by layer. F32 is exact; the other
    types have the bytes of those numbers by the reference's rounding; ranks change no byte."""
    config = dict(tiny_model.CONFIG, **SMALL)
    model = tiny_model.make_model(tmp_path / "model", layers=3, config=SMALL, tensors=tiny_model.weights(config))
    sections = {"model": {"path": model}, "calibration": {"tokens": tiny_model.make_ids(tmp_path / "ids.npy", 16, 16), "samples": 16, "length": 16},
                "prune": {"sparsity": 0.3, **METHODS[name]}, "output": {"dtype": "fp32"}}
    run_job(tmp_path, 1, sections)
    checkpoint, path = tmp_path / "job.h5", tmp_path / "f32.gguf"
    g, _ = export(checkpoint, path)
    check_logits(g, judge.load_checkpoint(checkpoint), np.arange(24) * 7 % 64)
    uniform = len(set(g.layered("feed_forward_length"))) == 1 and len(set(g.layered("attention.head_count"))) == 1
    assert g.keys["general.architecture"] == ("llama" if uniform else "deci")
    assert all(kind == "F32" for kind in g.type.values())
    for ranks, dtype in ((2, "q8_0"), (3, "bf16"), (1, "fp16")):
        other, told = export(checkpoint, tmp_path / f"{dtype}.gguf", "--set", f"output.export_dtype={dtype}", ranks=ranks)
        check_types(g, other, dtype, told)
    export(checkpoint, tmp_path / "again.gguf", ranks=3)
    assert (tmp_path / "again.gguf").read_bytes() == path.read_bytes()


def check_types(g, other, dtype, told):
    kinds, narrow = {"q8_0": "Q8_0", "bf16": "BF16", "fp16": "F16"}, False
    assert other.names == g.names and other.keys["general.file_type"] == {"q8_0": 7, "bf16": 32, "fp16": 1}[dtype]
    for name in g.names:
        kind = kinds[dtype] if len(g.shape[name]) == 2 else "F32"
        if kind == "Q8_0" and g.shape[name][1] % 32:
            kind, narrow = "F16", True
        assert other.type[name] == kind, name
        assert other.raw(name) == gguf_reader.quantize(np.frombuffer(g.raw(name), "<f4"), kind), name
    assert ("no multiple of 32" in told) == narrow


# ---- forms of the source ---------------------------------------------------------------------------------------

LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}


def qwen2(config):
    random = np.random.default_rng(5)
    return {name.replace("weight", "bias"): random.normal(0, 0.3, shape[0]) for name, shape in tiny_model.shapes(config).items()
            if name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")}


FORMS = {"llama3": {"rope_scaling": LLAMA3}, "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}}, "tied": {"tie_word_embeddings": True},
         "head": {"head_dim": 16}, "theta": {"rope_theta": 500.0, "rms_norm_eps": 0.1}, "qwen2": {"model_type": "qwen2"}}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form, tmp_path):
    config = dict(tiny_model.CONFIG, **FORMS[form])
    model = tiny_model.make_model(tmp_path / "model", config=FORMS[form], tensors=qwen2(config) if form == "qwen2" else {})
    g, told = export(model, tmp_path / "model.gguf")
    check_logits(g, judge.load_model(model), np.arange(24) * 7 % 64)
    assert g.keys["general.architecture"] == "llama" and ("output.weight" in g.shape) == (form != "tied")
    assert ("rope_freqs.weight" in g.shape) == (form == "llama3")
    assert g.keys["tokenizer.ggml.model"] == "no_vocab" and "no tokenizer.json" in told
    assert g.keys["general.name"] == "model" and g.get("context_length") == 32 and g.get("vocab_size") == 64


# Architecture, and the longer of the two lengths that the file's context takes. The other five: VARIANTS, REFUSED.
FAMILIES = {
    "arcee": ("arcee", 96), "gemma3": ("gemma3", 96), "glm4": ("glm4", 96),
    "granite": ("granite", 96), "helium": ("llama", 96), "hunyuan": ("hunyuan-dense", 96), "llama-dynamic": ("llama", 24), "llama-longrope": ("llama", 24),
    "llama-yarn": ("llama", 96), "ministral3": ("mistral3", 96), "mistral": ("llama", 0), "olmo2": ("olmo2", 96), "olmo3": ("olmo2", 96),
    "phi3": ("phi3", 96), "phi3-partial-longrope": ("phi3", 0), "qwen3": ("qwen3", 96), "seed_oss": ("llama", 96)}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    """Models of other forms as transformers evaluates them, up to the context that the file names; --verify takes them."""
    model, expected = shared("families", family), FAMILIES[family]
    golden, ids = json.loads((model / "golden.json").read_text()), np.load(model / "ids.npy")
    g, told = export(model, tmp_path / "model.gguf")
    assert g.keys["general.architecture"] == expected[0]
    done = subprocess.run([BINARY, "--verify", tmp_path / "model.gguf", "--against", model], capture_output=True, text=True, env=environment(), timeout=HANGS)
    assert done.returncode == 0, done.stderr
    longest = max([length for length in (24, 96) if length <= g.get("context_length")], default=0)
    assert longest == expected[1]
    if longest:
        assert gguf_reader.perplexity(g, ids, longest) == pytest.approx(golden[f"perplexity_{longest}"], rel=1e-5)


def tied(config, tensors):
    config["tie_word_embeddings"] = True
    del tensors["lm_head.weight"]


def changed(**keys):
    return lambda config, tensors: config.update(keys)


def rope(kind=None, **keys):
    def change(config, tensors):
        (config["rope_parameters"][kind] if kind else config["rope_parameters"]).update(keys)
    return change


def bigger(layers, **keys):
    """As many layers, which repeat those that there are, with smaller outputs."""
    def change(config, tensors):
        old = config["num_hidden_layers"]
        for name in [name for name in tensors if ".layers." in name]:
            number = int(name.split(".")[2])
            tensors[name] = tensors[name] * (0.1 if "post_" in name else 1)
            tensors.update({name.replace(f".{number}.", f".{i}.", 1): tensors[name] for i in range(number, layers, old)})
        config.update(keys, num_hidden_layers=layers, layer_types=(config["layer_types"] * layers)[:layers])
    return change


def all_of(*changes):
    def change(config, tensors):
        for one in changes:
            one(config, tensors)
    return change


FULL = ["full_attention"] * 4
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
# Forms of llama.cpp's architectures that no model there has: name, or what is refused: model, change.
VARIANTS = {
    "gemma": ("gemma", tied), "gemma2": ("gemma2", tied), "cohere2": ("cohere2", tied), "olmo2": ("olmo2", tied), "gemma3": ("gemma3", tied),
    "smollm3": ("smollm3", changed(no_rope_layers=[1, 1, 1, 0])), "phi3": ("phi3-partial-longrope", changed(sliding_window=None)),
    "exaone4": ("exaone4", changed(sliding_window=None, layer_types=FULL)),
    "exaone4 of 64 layers": ("exaone4", bigger(64)), "gemma2 of 46 layers": ("gemma2", all_of(tied, bigger(46))),
    "gemma2 without windows": ("gemma2", all_of(tied, changed(layer_types=FULL, sliding_window=None))),
    "gemma2, windows otherwise": ("gemma2", all_of(tied, changed(layer_types=FULL[:1] + ["sliding_attention"] * 3))),
    "olmo2, windows": ("olmo3", rope("full_attention", **YARN)), "qwen3": ("qwen3", rope(**YARN)), "qwen3, linear": ("qwen3", rope(rope_type="linear", factor=3.0)),
    "gemma3, linear": ("gemma3", rope("full_attention", rope_type="linear", factor=8.0)),
}
REFUSED = {
    "an output matrix beside the embedding": ("gemma", changed()), "RoPE in the layers where": ("smollm3", changed()),
    "windows in a model of another number": ("exaone4", changed()), "scores without a cap": ("gemma2", all_of(tied, changed(attn_logit_softcapping=None))),
    "logits without a cap": ("gemma2", all_of(tied, changed(final_logit_softcapping=None))),
    "layers without a window alone": ("cohere2", all_of(tied, changed(layer_types=FULL))),
    "RoPE of type yarn with these betas": ("qwen3", rope(**YARN, beta_slow=4.0)), "RoPE of type llama3": ("qwen3", rope(**LLAMA3)),
    "the activation of this model": ("arcee", changed(hidden_act="gelu")), "RoPE like this in layers with a window": ("olmo3", rope("sliding_attention", rope_theta=77.0)),
    "RoPE of type yarn beside windows": ("gemma3", rope("full_attention", **YARN)),
}


def make_variant(directory, family, change):
    source = shared("families", family)
    config, tensors = json.loads((source / "config.json").read_text()), judge.read_safetensors(source / "model.safetensors")
    change(config, tensors)
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(tiny_model.pack(tensors))
    ids = np.load(source / "ids.npy")[:1 if config["num_hidden_layers"] > 6 else 4].reshape(-1)
    np.save(directory / "ids.npy", ids)
    return directory, ids


def check_perplexities(g, directory, model, ids, lengths):
    """The file computes what this program does."""
    for length in lengths:
        report = run_job(directory, 1, {"model": {"path": model}, "prune": {"method": "none"},
                                        "evaluate": {"tokens": model / "ids.npy", "length": length}}, name=f"of{length}")
        assert gguf_reader.perplexity(g, ids, length) == pytest.approx(report["perplexity"]["model"], rel=2e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant, tmp_path):
    model, ids = make_variant(tmp_path / "model", *VARIANTS[variant])
    g, _ = export(model, tmp_path / "model.gguf")
    assert g.keys["general.architecture"] == variant.split(",")[0].split(" ")[0]
    check_perplexities(g, tmp_path, model, ids, (24, 96) if variant == "phi3" else (96,))


def test_not_in_llama_cpp(tmp_path):
    """What an architecture leaves out or does in its own way, whatever the file says, is refused by name."""
    def refused(i):
        model, _ = make_variant(tmp_path / str(i), *REFUSED[list(REFUSED)[i]])
        return export(model, tmp_path / f"{i}.gguf", code=2)
    with ThreadPoolExecutor(2) as pool:
        for words, told in zip(REFUSED, pool.map(refused, range(len(REFUSED)))):
            assert words in told and "export hf:DIR" in told, told


def test_window(tmp_path):
    """llama.cpp's llama has no sliding windows: up to the window the model is the same, and the file says that it ends there."""
    model = tiny_model.make_model(tmp_path / "model", config={"model_type": "mistral", "sliding_window": 12})
    g, told = export(model, tmp_path / "model.gguf")
    assert g.get("context_length") == 12 and "context_length is 12 in place of 32" in told
    check_logits(g, judge.load_model(model), np.arange(12) * 7 % 64)


def test_names(tmp_path):
    """A file that exists stays unless overwrite says otherwise; what a killed export has left is replaced; no .part file remains."""
    model, path = tiny_model.make_model(tmp_path / "model"), tmp_path / "model.gguf"
    (tmp_path / "model.gguf.part").write_bytes(b"half a file")
    export(model, path, ranks=2)
    whole = path.read_bytes()
    path.write_bytes(b"somebody's")
    assert "exists" in export(model, path, code=2) and path.read_bytes() == b"somebody's"
    export(model, path, "--set", "output.overwrite=yes")
    assert path.read_bytes() == whole and not list(tmp_path.glob("*.part*"))


# ---- --verify --------------------------------------------------------------------------------------------------

def number(g, name, value):
    """Puts a number into row 1 of a tensor, in the tensor's own type."""
    width = g.shape[name][1] if len(g.shape[name]) == 2 else 1
    at = g.raw(name)
    raw = {"F32": np.full(1, value, "<f4").tobytes(), "Q8_0": np.full(1, value, "<f2").tobytes()}[g.type[name]]
    row = len(at) // (len(at) // (width * 4)) if g.type[name] == "F32" else width // 32 * 34
    return lambda data: (lambda i: data[:i] + raw + data[i + len(raw):])(data.index(at) + row)


def key(name, old, new):
    """Changes a key of one 32-bit number."""
    word = lambda n: name.encode() + np.array([4, n], "<u4").tobytes()
    return lambda data: data.replace(word(old), word(new))


def test_verify(tmp_path):
    """A whole file passes at 2 ranks, beside its checkpoint too; a number that differs, a key, a type, a byte less are named."""
    model = tiny_model.make_model(tmp_path / "model", layers=3, config=SMALL, tensors=tiny_model.weights(dict(tiny_model.CONFIG, **SMALL)))
    tiny_model.make_tokenizer(model)
    sections = {"model": {"path": model}, "calibration": {"tokens": tiny_model.make_ids(tmp_path / "ids.npy", 16, 16), "samples": 16, "length": 16},
                "prune": {"sparsity": 0.3, **METHODS["olica"]}, "output": {"dtype": "fp32"}}
    run_job(tmp_path, 1, sections)
    whole, seen = {}, 0
    for dtype in ("fp32", "q8_0"):
        whole[dtype], _ = export(tmp_path / "job.h5", tmp_path / f"{dtype}.gguf", "--set", f"output.export_dtype={dtype}")
        done = mpirun(2, "--verify", tmp_path / f"{dtype}.gguf", "--against", tmp_path / "job.h5")
        assert done.returncode == 0 and "the numbers are those of " in done.stdout, done.stderr
    done = mpirun(1, "--verify", tmp_path / "fp32.gguf")
    assert done.returncode == 0 and f": ok, {len(whole['fp32'].names)} tensors, " in done.stdout and "no checksums" in done.stderr
    q, arch = "blk.1.attn_q.weight", whole["fp32"].keys["general.architecture"]
    damage = [("fp32", number(whole["fp32"], q, 3), f"{q} differs in row 1, expected what", True), ("fp32", number(whole["fp32"], q, np.nan), f"{q} has nan at element 64", False),
              ("fp32", number(whole["fp32"], "output_norm.weight", np.inf), "output_norm.weight has inf at element 1", False),
              ("q8_0", number(whole["q8_0"], q, np.inf), f"{q} has inf at element 64", False), ("q8_0", number(whole["q8_0"], q, 3), f"{q} differs in row 1", True),
              ("fp32", lambda data: data[:-8], "truncated", False), ("fp32", key(f"{arch}.block_count", 3, 2), "or one for each layer", False),
              ("fp32", key(f"{arch}.vocab_size", 64, 63), "64 tokens in tokenizer.ggml.tokens, expected the 63", False),
              ("fp32", key(f"{arch}.embedding_length", 64, 32), "token_embd.weight is of another shape, expected 64 x 32", False),
              ("fp32", key(f"{arch}.attention.key_length", 16, 0), "is 0, expected a whole number from 1 on", False),
              ("fp32", key("general.file_type", 0, 15), "general.file_type is 15", False), ("q8_0", key("general.file_type", 7, 1), "another shape or type", True),
              ("fp32", lambda data: data.replace(b"general.architecture", b"general.architectura"), "general.architecture is missing", False),
              ("fp32", lambda data: data.replace(np.array(4, "<u8").tobytes() + b"deci", np.array(4, "<u8").tobytes() + b"mamb"), "general.architecture is mamb", False)]
    for dtype, change, words, against in damage:
        before = (tmp_path / f"{dtype}.gguf").read_bytes()
        (tmp_path / "hurt.gguf").write_bytes(change(before))
        assert (tmp_path / "hurt.gguf").read_bytes() != before, words
        command = [BINARY, "--verify", tmp_path / "hurt.gguf", *(["--against", tmp_path / "job.h5"] if against else [])]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=HANGS)
        assert done.returncode == 3 and words in done.stderr, (words, done.stderr)
        seen += 1
    done = mpirun(2, "--verify", tmp_path / "job.h5", "--against", tmp_path / "job.h5")
    assert seen == len(damage) and done.returncode == 2 and "neither a directory nor a GGUF file" in done.stderr


# ---- the tokenizer ---------------------------------------------------------------------------------------------

TEXTS = ["Once upon a time, there was a little girl. She said \"Hello\" to the dog.", "x", "the theatre thethe", "Tom and Lily"]


def ids_of(model, text, tmp_path):
    (tmp_path / "text").write_text(text)
    return [int(x) for x in mpirun(1, "--tokenize", model, tmp_path / "text").stdout.split()]


def check_sentence(model, path, tmp_path, texts):
    g, told = export(model, path)
    assert g.keys["tokenizer.ggml.model"] == "llama" and g.keys["tokenizer.ggml.pre"] == "default"
    assert len(g.keys["tokenizer.ggml.tokens"]) == len(g.keys["tokenizer.ggml.scores"]) == g.get("vocab_size")
    assert g.keys["tokenizer.ggml.add_bos_token"] and not g.keys["tokenizer.ggml.add_eos_token"]
    assert g.keys["tokenizer.ggml.add_space_prefix"] and g.keys["tokenizer.ggml.bos_token_id"] == 1
    for text in texts:
        assert gguf_reader.sentence_ids(g, text) == ids_of(model, text, tmp_path), text
    return g, told


def test_sentence_model(tmp_path):
    """tokenizer.model: by the scores in the file llama.cpp's rule gives the ids that this program's own tokenizer gives."""
    g, told = check_sentence(shared("models", "stories260K"), tmp_path / "model.gguf", tmp_path, TEXTS + ["naïve 日本"])
    assert g.keys["tokenizer.ggml.token_type"][:260].tolist() == [2, 3, 3] + [6] * 256 + [1] and g.keys["tokenizer.ggml.eos_token_id"] == 2
    assert "normalizer does" in told and "no scores have" not in told  # it squeezes blanks, and llama.cpp does not


def test_sentence_merges(tmp_path):
    """tokenizer.json, which has merges in place of scores: those of Llama 2 come back in their order; merges that no scores say are told."""
    model = tiny_model.make_model(tmp_path / "model", config={"vocab_size": 32000}, tensors=tiny_model.weights(dict(tiny_model.CONFIG, vocab_size=32000)))
    (model / "tokenizer.json").write_bytes(shared("data", "tokenizers", "llama2", "tokenizer.json").read_bytes())
    g, told = check_sentence(model, tmp_path / "model.gguf", tmp_path, TEXTS + ["  two  spaces\nand\ta tab ", "naïve façade — 日本語 🙂", "12 345"])
    words = [score for token, score in list(zip(g.keys["tokenizer.ggml.tokens"], g.keys["tokenizer.ggml.scores"]))[260:] if token.strip("\u2581")]
    assert all(a > b for a, b in zip(words, words[1:])) and "may get other ids" not in told
    _, told = export(shared("models", "TinyStories-656K"), tmp_path / "told.gguf")
    assert "no scores have" in told and "has no pieces for bytes" in told


LLAMA3_PATTERN = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
                  "|\\s+(?!\\S)|\\s+")
UPPER, LOWER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
TEKKEN_PATTERN = (f"[^\\r\\n\\p{{L}}\\p{{N}}]?{UPPER}*{LOWER}+|[^\\r\\n\\p{{L}}\\p{{N}}]?{UPPER}+{LOWER}*|\\p{{N}}"
                  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
BYTES = dict(GPT2, use_regex=False)


def split(pattern, **more):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False} | more


def steps(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


PRE = [(GPT2, False, "gpt-2"), (steps({"type": "Digits", "individual_digits": True}, GPT2), False, "smollm"),
       (steps(split("\\p{N}"), GPT2), False, "smollm"), (steps(split(LLAMA3_PATTERN), BYTES), True, "llama-bpe"),
       (steps(split(LLAMA3_PATTERN), BYTES), False, "dbrx"), (steps(split(LLAMA3_PATTERN, behavior="Removed", invert=True), BYTES), True, "llama-bpe"),
       (steps(split(LLAMA3_PATTERN.replace("\\r\\n", "\r\n")), BYTES), True, "llama-bpe"),
       (steps(split(LLAMA3_PATTERN.replace("{1,3}", "")), BYTES), False, "qwen2"), (steps(split(TEKKEN_PATTERN), BYTES), True, "tekken"),
       (steps({"type": "Digits", "individual_digits": False}, GPT2), False, "default"), (steps(split("a"), BYTES), False, "default"),
       (steps(split(LLAMA3_PATTERN, invert=True), BYTES), False, "default"), (BYTES, False, "default"), (F.split(F.SEED), False, "seed-coder"),
       (F.split(F.EXAONE), False, "exaone-moe"), (F.split(F.THOUSANDS, F.O200K), False, "tiny_aya"), (F.split(*F.DEEPSEEK), False, "deepseek-v3"),
       (F.split(F.QWEN35), False, "qwen35"), (F.split(F.O200K), False, "gpt-4o"), (F.split("\\p{N}{1,3}", F.CL100K % "+"), True, "minicpm5"),
       (F.split(F.KIMI), False, "default")]


def letters():
    """GPT-2's letters of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def byte_level(directory, model=(), settings=None, vocabulary=300, **members):
    """A tiny model with a byte-level tokenizer of 256 letters, three merges and the added tokens that `members` name."""
    vocab = {letter: i for i, letter in enumerate(letters())} | {"Ġt": 256, "he": 257, "Ġthe": 258}
    file = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": GPT2, "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocab, "merges": ["Ġ t", ["h", "e"], "Ġt he"], **dict(model)}} | members
    tiny_model.make_model(directory, config={"vocab_size": vocabulary}, tensors=tiny_model.weights(dict(tiny_model.CONFIG, vocab_size=vocabulary)))
    (directory / "tokenizer.json").write_text(json.dumps(file))
    if settings is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def test_pre_tokenizers(tmp_path):
    """The name that chooses llama.cpp's steps; "default", with a word, where it has none like the file's."""
    for i, (pre, ignore, expected) in enumerate(PRE):
        model = byte_level(tmp_path / str(i), {"ignore_merges": ignore}, pre_tokenizer=pre)
        g, told = export(model, tmp_path / f"{i}.gguf")
        assert g.keys["tokenizer.ggml.pre"] == expected, pre
        assert ("no pre-tokenizer like" in told) == (expected == "default")
        assert ("capitals beyond ASCII" in told) == (expected in ("tekken", "gpt-4o"))
        assert g.keys["tokenizer.ggml.merges"] == ["Ġ t", "h e", "Ġt he"]
    model = byte_level(tmp_path / "other", {"ignore_merges": True})
    assert "takes ignore_merges for false" in export(model, tmp_path / "other.gguf")[1]


def added(text, i, **flags):
    return {"id": i, "content": text, "special": False, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False} | flags


def test_byte_level(tmp_path):
    """Tokens, their types, ids without a token, what stands around a text, special tokens by their roles, templates."""
    tokens = [added("<s>", 259, special=True), added("</s>", 260, special=True), added("<tool>", 261), added("<pad>", 262, special=True)]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [259], "tokens": ["<s>"]}}}
    settings = {"eos_token": "</s>", "pad_token": {"content": "<pad>"}, "chat_template": [{"name": "default", "template": "{{ 'a' }}"},
                                                                                          {"name": "tool_use", "template": "b"}]}
    model = byte_level(tmp_path / "model", settings=settings, added_tokens=tokens, post_processor=template, normalizer={"type": "NFC"})
    g, told = export(model, tmp_path / "model.gguf")
    k = {key.removeprefix("tokenizer.ggml."): value for key, value in g.keys.items()}
    assert k["model"] == "gpt2" and k["tokens"][:258] == letters() + ["Ġt", "he"] and k["tokens"][259:263] == [t["content"] for t in tokens]
    assert k["tokens"][263:] == [f"[PAD{i}]" for i in range(263, 300)]
    assert k["token_type"].tolist() == [1] * 259 + [3, 3, 4, 3] + [5] * 37 and "scores" not in k
    assert [k[f"{role}_token_id"] for role in ("bos", "eos", "padding")] == [259, 260, 262] and "unknown_token_id" not in k
    assert (k["add_bos_token"], k["add_eos_token"], k["add_space_prefix"]) == (True, False, False)
    assert g.keys["tokenizer.chat_template"] == "{{ 'a' }}" and g.keys["tokenizer.chat_template.tool_use"] == "b"
    assert "does not normalize" in told
    (model / "tokenizer_config.json").unlink()
    (model / "chat_template.jinja").write_text("{{ 'of a file' }}")
    assert export(model, tmp_path / "file.gguf")[0].keys["tokenizer.chat_template"] == "{{ 'of a file' }}"


def test_told_and_refused(tmp_path):
    """Tokens beyond the vocabulary, no EOS, a space in front; tokenizers that llama.cpp has not."""
    model = byte_level(tmp_path / "beyond", vocabulary=260, added_tokens=[added("<a>", 259), added("<b>", 260)], pre_tokenizer=dict(GPT2, add_prefix_space=True))
    g, told = export(model, tmp_path / "beyond.gguf")
    assert g.keys["tokenizer.ggml.tokens"][-1] == "<a>" and "1 tokens beyond the model's vocabulary of 260 are left out" in told
    assert "names an EOS" in told and "puts a space in front of a text" in told
    twice = byte_level(tmp_path / "twice", added_tokens=[added("[PAD280]", 259)])
    assert "ids 259 and 280 of the tokenizer are both \"[PAD280]\"" in export(twice, tmp_path / "twice.gguf", code=2)
    unigram = byte_level(tmp_path / "unigram")
    file = json.loads((unigram / "tokenizer.json").read_text())
    file |= {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1]]}, "pre_tokenizer": None, "decoder": None}
    (unigram / "tokenizer.json").write_text(json.dumps(file))
    told = export(unigram, tmp_path / "unigram.gguf", code=2)
    assert "a unigram model" in told and "hf:DIR" in told and not (tmp_path / "unigram.gguf").exists()
