"""The settings beside a tokenizer's own file: tokenizer_config.json, special_tokens_map.json, added_tokens.json and
generation_config.json. Ids are those of transformers 4.46.3 (LlamaTokenizer for a tokenizer.model, AutoTokenizer for a
tokenizer.json), unless a comment says otherwise; a warning names each setting that is not followed."""
import json, shutil

import h5py, pytest
from helpers import DEMO, mpirun, run_job, shared, write_config
from tiny_model import make_byte_model

NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
LLAMA, LEGACY, MODERN = {"tokenizer_class": "LlamaTokenizer"}, {"tokenizer_class": "LlamaTokenizer", "legacy": True}, \
    {"tokenizer_class": "LlamaTokenizer", "legacy": False}
ADDED = {"<|im_end|>": 512, "<|im_start|>": 513}
TAGS, CHAT, PLAIN = "  two  spaces <s>x</s> y <unk>z", "a <|im_start|>user\nOnce<|im_end|> \n b", "Once upon a time"


def token(content, special=True, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": special} | flags


DECODER = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>"), "512": token("<|im_start|>"),
           "513": token("<|im_end|>", lstrip=True, rstrip=True), "514": token("<|x|>", special=False)}
BYTES = {"0": token("<unk>"), "1": token("<s>", rstrip=True), "2": token("</s>", lstrip=True), "2048": token("<|im_start|>"),
         "2049": token("<|x|>", special=False, normalized=True, single_word=True)}


def surround(directory, kind, config=None, named=None, added=None, **files):
    """A directory with the tokenizer.model of stories260K, or the demo's tokenizer.json, and what surrounds it."""
    directory.mkdir(exist_ok=True)
    if kind == "model":
        shutil.copy(shared("models", "stories260K", "tokenizer.model"), directory)
    else:
        shutil.copy(DEMO / "tokenizer.json", directory)
    for name, value in {"tokenizer_config": config, "special_tokens_map": named, "added_tokens": added, **files}.items():
        if value is not None:
            (directory / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return directory


def tokenize(directory, text, *options, code=0, ranks=1):
    path = directory / "text"
    path.write_text(text)
    done = mpirun(ranks, "--tokenize", directory, path, "--special", *options)
    assert done.returncode == code, done.stderr
    return list(map(int, done.stdout.split())), done.stderr


def warnings(log):
    return [line.split("WARN  ")[1] for line in log.splitlines() if "WARN" in line]


MODEL_CASES = {
    # special tokens of the model itself, in a text
    "bare": (None, None, None, TAGS, [1, 259, 424, 414, 262, 427, 412, 331, 419, 1, 410, 444, 2, 348, 0, 410, 451]),
    "legacy": (LEGACY, None, None, TAGS, [1, 259, 424, 414, 262, 427, 412, 331, 419, 1, 410, 444, 2, 348, 0, 410, 451]),
    "modern": (MODERN, None, None, TAGS, [1, 410, 259, 424, 414, 262, 427, 412, 331, 419, 1, 444, 2, 348, 0, 451]),
    "modern, U+2581": (MODERN, None, None, "\u2581meta \u2581 x", [1, 410, 284, 316, 412, 410, 444]),
    "no prefix": (MODERN | {"add_prefix_space": False} | NAMES, None, None, TAGS,
                  [1, 259, 424, 414, 262, 427, 412, 331, 419, 1, 444, 2, 348, 0, 451]),
    "split": (LEGACY | {"split_special_tokens": True} | NAMES, None, None, TAGS,
              [1, 259, 424, 414, 262, 427, 412, 331, 419, 410, 504, 419, 505, 444, 504, 492, 419, 505, 348, 410, 504, 379, 433, 505, 451]),
    # added tokens, of every file
    "added": (LEGACY | NAMES, None, ADDED, CHAT, [1, 261, 513, 318, 419, 285, 13, 441, 416, 331, 512, 410, 13, 268]),
    "added, modern": (MODERN | NAMES, None, ADDED, CHAT, [1, 261, 513, 425, 419, 285, 13, 441, 416, 331, 512, 410, 13, 268]),
    "map": (LEGACY, {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"], "pad_token": "[PAD]"}, ADDED, CHAT,
            [1, 261, 513, 318, 419, 285, 13, 441, 416, 331, 512, 410, 13, 268]),
    "map, objects": (LEGACY, {"eos_token": token("<|im_end|>", rstrip=True), "bos_token": token("<s>", lstrip=True)}, None, "foo<|im_end|>",
                     [1, 272, 347, 512]),
    "decoder": (LEGACY | NAMES | {"added_tokens_decoder": DECODER}, None, None, CHAT, [1, 261, 512, 318, 419, 285, 13, 441, 416, 331, 513, 268]),
    "decoder, not special": (LEGACY | NAMES | {"added_tokens_decoder": DECODER}, None, None, "lead<|x|>er <|x|> er",
                             [1, 278, 411, 380, 514, 410, 285, 514, 410, 285]),
    "additional": (LEGACY | {"additional_special_tokens": ["<|x|>"], "pad_token": "[PAD]"}, None, None, "[PAD]a", [1, 512, 261]),
    # before and after
    "no BOS": (LEGACY | {"add_bos_token": False}, None, None, "a", [261]),
    "EOS": (LEGACY | {"add_eos_token": True}, None, None, "a", [1, 261, 2]),
    "other BOS": (LEGACY | {"bos_token": "</s>"}, None, None, "<s></s>", [2, 410, 504, 419, 505, 2]),
    "object": (LEGACY | {"bos_token": {"__type": "AddedToken"} | token("<s>", normalized=True)}, None, None, "<s>begin", [1, 1, 329, 428, 271]),
}


@pytest.mark.parametrize("name", MODEL_CASES)
def test_model(name, tmp_path):
    config, named, added, text, expected = MODEL_CASES[name]
    ids, log = tokenize(surround(tmp_path / "d", "model", config, named, added), text)
    assert ids == expected and not warnings(log), log


JSON_CASES = {  # ..., and what a warning says; "" is silence
    "stands alone": (None, None, None, PLAIN, [1, 49, 80, 349, 431, 262, 789], ""),
    "Llama, no BOS": (LLAMA | NAMES | {"add_bos_token": False}, None, None, PLAIN, [49, 80, 349, 431, 262, 789], "add_bos_token = false"),
    "Llama, EOS": (LLAMA | NAMES | {"add_eos_token": True}, None, None, PLAIN, [1, 49, 80, 349, 431, 262, 789, 2], "add_eos_token = true"),
    "Llama, other BOS": (LLAMA | NAMES | {"bos_token": "</s>"}, None, None, PLAIN, [2, 49, 80, 349, 431, 262, 789], "</s> goes before"),
    "Neo has none": ({"tokenizer_class": "GPTNeoXTokenizerFast"} | NAMES, None, None, PLAIN, [49, 80, 349, 431, 262, 789], "(by default)"),
    "others keep theirs": ({"tokenizer_class": "PreTrainedTokenizerFast"} | NAMES | {"add_bos_token": False}, None, None, PLAIN,
                           [1, 49, 80, 349, 431, 262, 789], "add_bos_token = false is not followed"),
    "others' EOS": ({"tokenizer_class": "Qwen2Tokenizer"} | NAMES | {"add_eos_token": True}, None, None, PLAIN,
                    [1, 49, 80, 349, 431, 262, 789], "add_eos_token = true is not followed"),
    "others' BOS": ({"tokenizer_class": "PreTrainedTokenizerFast"} | NAMES | {"bos_token": "</s>"}, None, None, PLAIN,
                    [1, 49, 80, 349, 431, 262, 789], 'bos_token is "</s>" (id 2)'),
    "space": ({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True} | NAMES, None, None, PLAIN,
              [1, 495, 80, 349, 431, 262, 789], "add_prefix_space = true is followed"),
    "others' space": ({"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True} | NAMES, None, None, PLAIN,
                      [1, 49, 80, 349, 431, 262, 789], "add_prefix_space = true is not followed"),
    "special, new": (LLAMA | NAMES | {"pad_token": "[PAD]"}, None, None, "[PAD]a", [1, 2048, 67], ""),
    "class's pad": ({"tokenizer_class": "Qwen2Tokenizer"} | NAMES, None, None, "a<|endoftext|>b <pad> c", [1, 67, 2048, 68, 223, 30, 82, 407, 32, 282],
                    "Qwen2Tokenizer has a pipeline of its own"),
    "another's": ({"tokenizer_class": "GemmaTokenizerFast"} | NAMES, None, None, "a<|endoftext|>b <pad> c",
                  [1, 67, 30, 94, 1112, 613, 86, 71, 90, 86, 94, 32, 68, 223, 2048, 282], "GemmaTokenizer has a pipeline of its own"),
    "decoder": (LLAMA | NAMES | {"added_tokens_decoder": BYTES}, None, None, "lead<|x|>er <|x|> er",
                [1, 722, 70, 30, 94, 90, 94, 32, 269, 223, 2049, 223, 269], ""),
    "decoder's flags": (LLAMA | NAMES | {"added_tokens_decoder": BYTES}, None, None, "a <s> b </s> <unk> c", [1, 67, 223, 1, 68, 2, 223, 0, 282], ""),
    "added": (LLAMA | NAMES, {"eos_token": "<|im_end|>"}, {"<|im_end|>": 2048, "<|im_start|>": 2049, "<|x|>": 7}, CHAT,
              [1, 67, 223, 2050, 404, 269, 201, 49, 80, 349, 2049, 223, 201, 273], 'id 7 of "<|x|>" is not followed: tokenizer.json gives it 2048'),
    "split": (LLAMA | NAMES | {"split_special_tokens": True}, None, None, TAGS,
              [1, 223, 693, 223, 425, 1316, 223, 30, 85, 32, 90, 30, 17, 85, 32, 310, 223, 30, 879, 77, 32, 92], ""),
}


@pytest.mark.parametrize("name", JSON_CASES)
def test_json(name, tmp_path):
    config, named, added, text, expected, said = JSON_CASES[name]
    ids, log = tokenize(surround(tmp_path / "d", "json", config, named, added), text)
    assert ids == expected, log
    assert said in log if said else not warnings(log), log


def change(directory, **members):
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


FIVE = {"backend": "tokenizers"}  # transformers 5 has written the files


@pytest.mark.parametrize("config, expected, said", [
    (FIVE | LLAMA | {"add_bos_token": False, "add_eos_token": True}, [1, 49, 80, 349, 431, 262, 789], "add_eos_token = true is not followed"),
    (FIVE | {"tokenizer_class": "GemmaTokenizer", "bos_token": "</s>"}, [1, 49, 80, 349, 431, 262, 789], 'bos_token is "</s>" (id 2)'),
    (FIVE | {"tokenizer_class": "GPTNeoXTokenizer", "add_bos_token": True}, [49, 80, 349, 431, 262, 789], "nothing goes before a text"),
    (FIVE | {"tokenizer_class": "CodeLlamaTokenizer", "bos_token": "</s>", "add_bos_token": False}, [2, 49, 80, 349, 431, 262, 789], "</s> goes before a text"),
    ({"tokenizer_class": "MistralCommonBackend", "bos_token": "</s>"}, [2, 49, 80, 349, 431, 262, 789], "</s> goes before a text"),
])
def test_written_by_5(config, expected, said, tmp_path):
    """Around a text goes what transformers 5.24.0 puts there, and BOS as with mistral-common."""
    ids, log = tokenize(surround(tmp_path / "d", "json", NAMES | config), PLAIN)
    assert ids == expected and said in log, log


def test_mistral_common_splits_special_tokens(tmp_path):
    config = {"tokenizer_class": "MistralCommonBackend"} | NAMES
    split = tokenize(surround(tmp_path / "d", "json", LLAMA | NAMES | {"split_special_tokens": True}), TAGS)[0]
    assert tokenize(surround(tmp_path / "d", "json", config), TAGS)[0] == split
    assert tokenize(surround(tmp_path / "d", "json", config | {"split_special_tokens": False}), TAGS)[0] != split


def test_bos_by_class(tmp_path):
    """LlamaTokenizerFast puts BOS in front whatever the post-processor; transformers 5 does not."""
    directory = surround(tmp_path / "d", "json", {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True} | NAMES)
    change(directory, post_processor={"type": "ByteLevel"})
    ids, log = tokenize(directory, PLAIN, ranks=2)
    assert ids == [1, 49, 80, 349, 431, 262, 789] and log.count("add_bos_token = true: <s> goes before a text") == 1, log


def test_prefix_is_taken_away(tmp_path):
    """add_prefix_space = false of a Llama class: the normalizer's U+2581, and Metaspace's."""
    vocab = {"\u2581": 0, "a": 1, "<s>": 2, "</s>": 3, "<unk>": 4}
    for member in ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]}},
                   {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}}):
        directory = surround(tmp_path / "d", "json", LLAMA | {"add_bos_token": False})
        (directory / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": []}} | member))
        assert tokenize(directory, "a")[0] == [0, 1]
        surround(directory, "json", LLAMA | {"add_bos_token": False, "add_prefix_space": False})
        (directory / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": []}} | member))
        ids, log = tokenize(directory, "a")
        assert ids == [1] and "add_prefix_space = false is followed" in log


@pytest.mark.parametrize("config, said", [
    ({"do_lower_case": True}, "do_lower_case = true is not followed"),
    ({"sp_model_kwargs": {"enable_sampling": True, "alpha": 0.1}}, "sp_model_kwargs: enable_sampling = true is not followed"),
    ({"auto_map": {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}, "tokenizer_class": "XTokenizer"}, "auto_map names code of the model's own"),
    ({"tokenizer_class": "XTokenizer"}, "tokenizer_class XTokenizer is not known: tokenizer.model is read as LlamaTokenizer does"),
    ({"tokenizer_file": "/elsewhere/t.json"}, "tokenizer_file = /elsewhere/t.json is not followed"),
    ({"bos_token": "", "eos_token": "", "unk_token": ""}, "bos_token is empty"),
    ({"legacy": True, "add_prefix_space": False}, "add_prefix_space = false is followed"),
])
def test_told(config, said, tmp_path):
    ids, log = tokenize(surround(tmp_path / "d", "model", config), "a")
    assert ids[0] == 1 and said in log


def test_map_that_does_not_count(tmp_path):
    directory = surround(tmp_path / "d", "model", LEGACY | NAMES | {"added_tokens_decoder": DECODER}, {"bos_token": "</s>"}, {"zz": 600})
    ids, log = tokenize(directory, CHAT)
    assert ids == [1, 261, 512, 318, 419, 285, 13, 441, 416, 331, 513, 268] and "special_tokens_map.json: bos_token" in log


def test_settings_that_change_no_id(tmp_path):
    directory = surround(tmp_path / "d", "model", LEGACY | NAMES | {
        "clean_up_tokenization_spaces": True, "model_max_length": 10**30, "padding_side": "left", "use_default_system_prompt": True,
        "sp_model_kwargs": {}, "auto_map": None, "chat_template": "{{ x }}"}, generation_config={"bos_token_id": 1, "eos_token_id": 2})
    ids, log = tokenize(directory, "a")
    assert ids == [1, 261] and not warnings(log)


BROKEN = {
    "no JSON": ({"config": "{"}, "tokenizer_config.json"), "an array": ({"named": "[]"}, "special_tokens_map.json"),
    "empty": ({"added": ""}, "added_tokens.json: is empty"), "a word": ({"config": {"add_eos_token": "no"}}, 'add_eos_token is the string "no"'),
    "an id": ({"added": {"x": "7"}}, 'added_tokens.json: x is the string "7"'), "far": ({"added": {"x": 1 << 40}}, "added_tokens.json: x is"),
    "a key": ({"config": {"added_tokens_decoder": {"x": token("a")}}}, "added_tokens_decoder: x: the key is no id"),
    "no token": ({"config": {"added_tokens_decoder": {"7": "a"}}}, 'added_tokens_decoder: 7 is the string "a"'),
    "no content": ({"config": {"added_tokens_decoder": {"7": {"special": True}}}}, "content is missing"),
    "a list": ({"config": {"bos_token": ["<s>"]}}, "bos_token is an array"), "a number": ({"named": {"additional_special_tokens": [3]}}, "additional_special_tokens[0] is 3"),
    "long": ({"config": {"bos_token": "x" * 2000}}, "bos_token: has 2000 bytes"), "class": ({"config": {"tokenizer_class": 3}}, "tokenizer_class is 3"),
    "no BOS": ({"config": {"add_bos_token": True, "bos_token": None}}, "add_bos_token is true, but bos_token is null"),
    "no EOS": ({"config": {"add_eos_token": True, "eos_token": None}}, "add_eos_token is true, but eos_token is null"),
    "generation": ({"generation_config": "]"}, "generation_config.json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name, tmp_path):
    files, said = BROKEN[name]
    _, log = tokenize(surround(tmp_path / "d", "model", **files), "a", code=3, ranks=2)
    assert said in log and "Traceback" not in log


# ---- both files, and files of other kinds ----

def test_both_files(tmp_path):
    """tokenizer.json counts, and a tokenizer.model that says otherwise is told; one that says the same is not."""
    directory = surround(tmp_path / "d", "json")
    surround(directory, "model")
    ids, log = tokenize(directory, PLAIN)
    assert ids == [1, 49, 80, 349, 431, 262, 789] and "tokenizer.model beside it has other tokens: id 3" in log
    (directory / "tokenizer.model").write_bytes(b"\xff")
    assert "tokenizer.model beside it cannot be read" in tokenize(directory, PLAIN)[1]


@pytest.mark.parametrize("names", [["vocab.json", "merges.txt"], ["qwen.tiktoken"], ["spiece.model"], ["tekken.json"], ["vocab.txt"]])
def test_other_kinds(names, tmp_path):
    (tmp_path / "d").mkdir()
    for name in names:
        (tmp_path / "d" / name).write_text("{}")
    _, log = tokenize(tmp_path / "d", "a", code=3, ranks=2)
    assert ", ".join(names) + ", which is not read" in log and "save_pretrained" in log
    assert (("TokenizersBackend" if "tekken.json" in names else "AutoTokenizer") + ".from_pretrained") in log


def test_tiktoken(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    _, log = tokenize(tmp_path / "d", "a", code=3)
    assert "is a tiktoken file" in log and "[model] tokenizer" in log


@pytest.mark.parametrize("kind", ["WordPiece", "WordLevel"])
def test_other_models(kind, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "tokenizer.json").write_text(json.dumps({"model": {"type": kind, "vocab": {"a": 0}}}))
    _, log = tokenize(tmp_path / "d", "a", code=3)
    assert kind in log and "[model] tokenizer" in log and "tokenizer.model" in log


# ---- jobs ----

def byte_model(directory, **config):
    """A model of 64 ids whose tokenizer has the bytes, with what surrounds it."""
    model = make_byte_model(directory)
    for name, value in config.items():
        (model / f"{name}.json").write_text(json.dumps(value))
    return model


def evaluate(tmp_path, model, text, name="job", **keys):
    (tmp_path / "story.txt").write_text(text)
    return run_job(tmp_path, 2, {"model": {"path": model}, "prune": {"method": "none"},
                                 "evaluate": {"text": tmp_path / "story.txt", "length": 16} | keys}, name=name)


def told(report):
    return " | ".join(w["text"] for w in report["warnings"])


def test_checkpoint_carries_what_surrounds(tmp_path):
    """The checkpoint alone gives the same ids and the same perplexity."""
    model = tmp_path / "model"
    shutil.copytree(shared("models", "stories260K"), model)
    text = "Once upon a time <unk> there was<s> a girl. " * 20
    surround(model, "model", MODERN | {"add_bos_token": True, "add_eos_token": True}, {"eos_token": "<unk>"}, {"girl": 17})
    plain = tokenize(model, text)[0]
    assert 17 in plain and plain[-1] == 0
    (tmp_path / "story.txt").write_text(text)
    report = run_job(tmp_path, 2, {"model": {"path": model}, "calibration": {"text": f"plain:{tmp_path}/story.txt", "samples": 4, "length": 16},
                                   "prune": {"mlp_num": 1}, "evaluate": {"text": tmp_path / "story.txt", "length": 16}})
    with h5py.File(tmp_path / "job.h5") as file:
        for name in ("tokenizer_config", "special_tokens_map", "added_tokens"):
            assert bytes(file[f"meta/{name}_json"][()]) == (model / f"{name}.json").read_bytes()
    assert mpirun(2, "--verify", tmp_path / "job.h5").returncode == 0
    done = mpirun(1, "--tokenize", tmp_path / "job.h5", tmp_path / "story.txt", "--special")
    assert list(map(int, done.stdout.split())) == plain
    alone = evaluate(tmp_path, tmp_path / "job.h5", text, "alone")["perplexity"]
    first = report["perplexity"]
    assert alone["tokens"] == first["tokens"]
    assert min(abs(alone[k] - first["pruned"]) for k in ("dense", "model") if k in alone) < 1e-5 * first["pruned"]


def test_older_checkpoints(tmp_path):
    """One without these datasets is read as before."""
    model = byte_model(tmp_path / "model", tokenizer_config={"model_max_length": 9})
    (tmp_path / "story.txt").write_text("some words " * 40)
    run_job(tmp_path, 1, {"model": {"path": model}, "calibration": {"text": f"plain:{tmp_path}/story.txt", "samples": 2, "length": 8}, "prune": {"mlp_num": 1}})
    with h5py.File(tmp_path / "job.h5", "r+") as file:
        del file["meta/tokenizer_config_json"]
    done = mpirun(1, "--tokenize", tmp_path / "job.h5", tmp_path / "story.txt")
    assert done.returncode == 0 and len(done.stdout.split()) == 440


def test_tokens_beyond_the_model(tmp_path):
    """Told where a text may have one, refused where one has, before anything long; with token and id."""
    model = byte_model(tmp_path / "model", added_tokens={"<one>": 259, "<pad>": 260})
    report = evaluate(tmp_path, model, "some words " * 40)
    assert 'beyond the model\'s vocabulary' in told(report) and "<pad>" in told(report)
    (tmp_path / "story.txt").write_text("some words <pad>" * 40)
    config = write_config(tmp_path / "bad.ini", {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"text": tmp_path / "story.txt", "length": 16},
                                                 "output": {"report": tmp_path / "bad.json"}})
    for options in (), ("--check",):
        done = mpirun(2, config, *options)
        assert done.returncode == 3 and '("<pad>")' in done.stderr and "vocabulary" in done.stderr, done.stderr


def test_bos_beyond_the_model(tmp_path):
    model = byte_model(tmp_path / "model", added_tokens={"<one>": 259},
                       tokenizer_config={"tokenizer_class": "LlamaTokenizer", "bos_token": "<begin>"})
    (tmp_path / "story.txt").write_text("some words " * 40)
    config = write_config(tmp_path / "bad.ini", {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"text": tmp_path / "story.txt", "length": 16},
                                                 "output": {"report": tmp_path / "bad.json"}})
    done = mpirun(2, config, "--check")
    assert done.returncode == 3 and 'puts in front of a text id' in done.stderr and '("<begin>")' in done.stderr, done.stderr


def test_files_that_name_another_bos(tmp_path):
    model = byte_model(tmp_path / "model", generation_config={"bos_token_id": 9})
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"bos_token_id": 5}))
    said = told(evaluate(tmp_path, model, "some words " * 40))
    assert "config.json: bos_token_id is 5, but the tokenizer's BOS is" in said and "generation_config.json: bos_token_id is 9" in said
