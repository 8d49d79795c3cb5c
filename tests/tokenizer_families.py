#!/usr/bin/env python3
"""Makes tokenizers/families.json and tokenizers/gemma.model: small tokenizers with the pipelines of the model families, and the ids that transformers gives.

    tests/tokenizer_families.py PYTHON4 PYTHON5

PYTHON4 and PYTHON5 are interpreters with transformers 4.46.3 and 5.24.0, each with sentencepiece and protobuf. The vocabularies are trained
on the text below, merges over the ends of words and lines, so that the ids show where a pipeline divides a text. What is written holds
nothing of any published model's vocabulary."""
import io, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path

HERE = Path(__file__).parent / "tokenizers"
M = "\u2581"
# {0} to {3}: special tokens of the family
TEXT = (" Don't we'LL go? It'S  2024: 1234567 or 12.5%\n\n\n  x\t\ty \r\n{0}CamelCase HTTPServer/path.txt//\n-- {M}a{M}{M}b{M} caf\u00e9 cafe\u0301 \u0928\u092e\u0938\u094d\u0924\u0947 "
        "\u65e5\u672c\u8a9e\uff0c\u4e2d\u6587\u3002\u3072\u3089 \uc548\ub155 \u0661\u0662\u0663 \u2168\u00bd \ufb01\u017f\u0130 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea{1} a {2} b {3}\n"
        "'s't \u00a0 \u2028\u3000\u200b \x00\x7f (f(x)) => {{y}}; a_b#c @d \u00abq\u00bb \u201cz\u201d \u2014 \u20ac5 $6 \u00e9\u00e9" + "long" * 12 + "     \n {0} {1}x  ")
LAST = b"\xff \xe6\x97 \xf0\x9f\x98"  # ill-formed
CONTRACTIONS, BEHIND = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*" + BEHIND
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+%s|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + r"*%s|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n/]*" + BEHIND
O200K, TEKKEN = CASED % (CONTRACTIONS + "?", CONTRACTIONS + "?", "{1,3}"), CASED % ("", "", "")
SEED = CONTRACTIONS + "|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
EXAONE = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
QWEN35 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + BEHIND
DEEPSEEK = ["\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+%s|[^\r\n\p{L}\p{N}]?"
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*%s|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" % ((CONTRACTIONS + "?",) * 2)) + BEHIND
THOUSANDS = r"\d{1,3}(?=(?:\d{3})*\b)"
NFC = {"type": "NFC"}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
WORDS = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": M}
SPACES = {"type": "Replace", "pattern": {"String": M}, "content": " "}
SENTENCE = [SPACES, {"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def split(*patterns, last=BYTES):
    return {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in patterns] + [last]}


def token(content, special=True, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special} | flags


def family(base, model_type, tokenizer_class, tokens, pre, normalizer=None, before=(), decoder=None, config=None, model=None, decoded=True):
    """before: places in `tokens` of those in front of a text. decoded: tokenizer_config.json lists the tokens, as transformers 4 writes it."""
    return {"base": base, "model_type": model_type, "tokens": [t if isinstance(t, dict) else token(t) for t in tokens], "pre_tokenizer": pre, "normalizer": normalizer,
            "decoder": decoder or BYTES, "before": list(before), "model": model or {}, "decoded": decoded,
            "config": {"tokenizer_class": tokenizer_class} | (config or {})}


END, USER = "<|endoftext|>", "<|user|>"
FAST, FIVE = "PreTrainedTokenizerFast", {"backend": "tokenizers"}
LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|im_end|>", token("<think>", False)]
MISTRAL = ["<s>", "</s>", "[INST]", "<unk>"]
COHERE = ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", token("<|USER_TOKEN|>", False), "<UNK>"]
GEMMA = ["<bos>", "<eos>", "<start_of_turn>", token("<table>", False), "<unk>", "<pad>", "<mask>"]
BRACKETS = ["<s>", "</s>", "<unk>", token("<|end|>", rstrip=True)]


SHOWN = ("qwen3", "phi4", "gemma3", "phi3", "five-llama", "helium")  # one of each decoder, and tokens that take blanks


def named(bos, eos, **more):
    return {"bos_token": bos, "eos_token": eos} | more


def families():
    cohere = dict(tokens=COHERE, pre={"type": "Sequence", "pretokenizers": [DIGITS, WORDS]}, normalizer=NFC, before=[0])
    byte = lambda *a, **k: family("bytes", *a, **k)
    gemma = dict(tokens=GEMMA, pre={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, normalizer=REPLACE,
                 decoder={"type": "Sequence", "decoders": SENTENCE})
    gemmas = named("<bos>", "<eos>", unk_token="<unk>", pad_token="<pad>")
    llama = dict(tokens=BRACKETS, normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": M}, REPLACE]}, pre=None,
                 decoder={"type": "Sequence", "decoders": SENTENCE + [STRIP]})
    meta = llama | dict(normalizer=None, pre={"type": "Metaspace", "replacement": M, "prepend_scheme": "always", "split": False})
    brackets = named("<s>", "</s>", unk_token="<unk>")
    return {
        "qwen3": byte("qwen3", "Qwen2Tokenizer", [END, "<|im_end|>", "<|im_start|>", token("<think>", False)], split(CL100K % ""), NFC,
                      config=named(None, "<|im_end|>", pad_token=END, unk_token=None, add_prefix_space=False, add_bos_token=False)),
        "qwen3.5": byte(None, FAST, [END, "<|im_end|>", "<|im_start|>", token("<think>", False)], split(QWEN35), NFC, config=named(None, END)),
        "qwen3.5-as-2": byte(None, "Qwen2Tokenizer", [END, "<|im_end|>", "<|im_start|>", token("<think>", False)], split(QWEN35), NFC, config=named(None, END)),
        "qwen2.5-fast": byte("qwen2", FAST, [END, "<|im_end|>", "<|im_start|>", token("<think>", False)], split(CL100K % "{1,3}"), NFC, config=named(None, END)),
        "phi4": byte("phi3", "GPT2Tokenizer", [token(t, lstrip=True, rstrip=True) for t in (END, "<|im_end|>", "<|im_start|>", "<|fim_prefix|>")], split(CL100K % "{1,3}"),
                     config=named(END, "<|im_end|>", add_prefix_space=False, unk_token=END)),
        "phi4-mini": byte("phi3", "GPT2Tokenizer", [END, token("<|end|>", rstrip=True), token(USER, rstrip=True), token("</tool>", False, rstrip=True, normalized=True)], split(O200K),
                          config=named(END, END, add_bos_token=False, add_eos_token=False, unk_token=END)),
        "olmo2": byte("olmo2", "GPT2Tokenizer", [END, token("<|pad|>"), "<|im_start|>", token("|||IP|||", False, normalized=True)], split(CL100K % "{1,3}"),
                      config=named(END, END, add_prefix_space=False, unk_token=END)),
        "granite": byte("granite", "GPT2Tokenizer", ["<|end_of_text|>", "<|end_of_role|>", "<filename>", "<fim_prefix>"], {"type": "Sequence", "pretokenizers": [DIGITS, WORDS]},
                        config=named("<|end_of_text|>", "<|end_of_text|>", add_bos_token=False, add_prefix_space=False, unk_token="<|end_of_text|>")),
        "smollm3": byte("smollm3", FAST, LLAMA3, split(CL100K % "{1,3}"), before=[0], model={"ignore_merges": True}, config=named(None, "<|im_end|>")),
        "arcee": byte("arcee", "PreTrainedTokenizer", LLAMA3, split(CL100K % "{1,3}"), before=[0], model={"ignore_merges": True}, config=named("<|begin_of_text|>", "<|im_end|>")),
        "llama3": byte("llama", "LlamaTokenizerFast", LLAMA3, split(CL100K % "{1,3}"), before=[0],
                       config=named("<|begin_of_text|>", "<|end_of_text|>", unk_token="<|end_of_text|>", add_bos_token=True)),
        "ministral3": byte("ministral3", "TokenizersBackend", MISTRAL, split(TEKKEN), before=[0], decoded=False, model={"ignore_merges": True},
                           config=FIVE | named("<s>", "</s>", unk_token="<unk>", add_prefix_space=False, extra_special_tokens=["[INST]"])),
        "mistral-nemo": byte("mistral", "GPT2Tokenizer", MISTRAL, split(TEKKEN), before=[0], config=named("<s>", "</s>", unk_token="<unk>", add_bos_token=True, add_prefix_space=False)),
        "seed-oss": byte("seed_oss", FAST, ["<seed:bos>", "<seed:eos>", "<seed:think>", "<[fim]>"], split(SEED), before=[0], config=named("<seed:bos>", "<seed:eos>")),
        "glm4": byte("glm4", FAST, ["[gMASK]", END, "<sop>", token("<think>", False)], split(CL100K % "{1,3}"), before=[0, 2],
                     config={"eos_token": END, "do_lower_case": False, "remove_space": False, "extra_special_tokens": {}}),
        "exaone4": byte("exaone4", "GPT2Tokenizer", ["[BOS]", "[EOS]", "[|user|]", token("<think>", False)], WORDS, config=named("[BOS]", "[EOS]", unk_token="[EOS]", add_prefix_space=False)),
        "exaone3": byte(None, "GPT2Tokenizer", ["[BOS]", "[EOS]", "[|user|]", "[UNK]"], {"type": "Sequence", "pretokenizers": [DIGITS, WORDS]}, NFC,
                        config=named("[BOS]", "[EOS]", unk_token="[UNK]")),
        "exaone-moe": byte("exaone4", FAST, ["[BOS]", "[EOS]", "[|user|]", token("<think>", False)], split(EXAONE), NFC, config=named("[BOS]", "[EOS]")),
        "cohere2": byte("cohere2", "CohereTokenizerFast", **cohere, config=named("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", unk_token=None, add_bos_token=True, add_prefix_space=False)),
        "cohere2-space": byte("cohere2", "CohereTokenizerFast", **cohere, config=named("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", add_prefix_space=True)),
        "tiny-aya": byte("cohere2", "CohereTokenizer", **(cohere | dict(pre=split(THOUSANDS, O200K))), config=named("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>")),
        "hunyuan": byte("hunyuan_v1_dense", FAST, ["<\uff5chy_begin\u2581of\uff5c>", "<\uff5chy_end\uff5c>", token("<\uff5chy_User\uff5c>", False), token("<think>", False, normalized=True)],
                        split(*DEEPSEEK), before=[0], config=named("<\uff5chy_begin\u2581of\uff5c>", "<\uff5chy_end\uff5c>", add_bos_token=True)),
        "kimi": byte(None, FAST, ["[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>"], split(KIMI), config=named("[BOS]", "[EOS]")),
        "five-cohere": byte("cohere2", "CohereTokenizer", **(cohere | dict(before=())), decoded=False, config=FIVE | named("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", unk_token="<UNK>")),
        "five-neox": byte("olmo", "GPTNeoXTokenizer", [END, "<|padding|>", "<|x|>", "<|y|>"], WORDS, NFC, before=[0], decoded=False,
                          config=FIVE | named(END, END, unk_token=END, pad_token="<|padding|>", add_prefix_space=False)),
        "gemma3": family("sentence", "gemma3_text", "GemmaTokenizer", **gemma, before=[0], config=gemmas | {"add_bos_token": True, "add_eos_token": False}),
        "five-gemma": family("sentence", "gemma3_text", "GemmaTokenizer", **gemma, decoded=False, config=FIVE | gemmas | {"mask_token": "<mask>"}),
        "phi3": family("sentence", "phi3", "LlamaTokenizer", **llama, config=brackets | {"add_bos_token": False, "legacy": False}),
        "five-llama": family("sentence", "llama", "LlamaTokenizer", **meta, decoded=False, config=FIVE | brackets | {"add_prefix_space": None}),
        "five-llama-legacy": family("sentence", "llama", "LlamaTokenizer", **meta, before=[0], decoded=False, config=FIVE | brackets | {"legacy": True}),
        "helium": family("unigram", "helium", FAST, BRACKETS, {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Contiguous", "invert": False},
                         {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": " "}, REPLACE]}, before=[0],
                         decoder={"type": "Sequence", "decoders": SENTENCE + [STRIP]}, config=brackets),
    }


def text_of(tokens, last=LAST):
    return TEXT.format(*(t["content"] for t in tokens[:4]), M=M).encode() + last


def assemble(models, one, directory):
    """The directory of a family, as tests/test_tokenizers.py reads it."""
    model = json.loads(json.dumps(models[one["base"]] | one["model"]))
    vocab = model["vocab"]
    known = vocab if isinstance(vocab, dict) else {piece: i for i, (piece, _) in enumerate(vocab)}
    fresh = [t["content"] for t in one["tokens"] if t["content"] not in known]
    ids = known | {name: len(known) + i for i, name in enumerate(fresh)}
    added = sorted(({"id": ids[t["content"]]} | t for t in one["tokens"]), key=lambda t: t["id"])
    special = [one["tokens"][i]["content"] for i in one["before"]]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": s, "type_id": 0}} for s in special] + [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {s: {"id": s, "ids": [ids[s]], "tokens": [s]} for s in special}}
    config = dict(one["config"])
    if one["decoded"]:
        config["added_tokens_decoder"] = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in added}
    directory.mkdir()
    (directory / "tokenizer.json").write_text(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": one["normalizer"],
                                                          "pre_tokenizer": one["pre_tokenizer"], "post_processor": template, "decoder": one["decoder"], "model": model}))
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    if one["model_type"]:
        (directory / "config.json").write_text(json.dumps({"model_type": one["model_type"]}))


# ---- under an interpreter with transformers ----

def train():
    """The three vocabularies, and the SentencePiece model of the second."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    text = TEXT.format("", "", "", "", M=M)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"[\s\S]{1,24}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.train_from_iterator([text, text[7:], text[13:]], trainers.BpeTrainer(vocab_size=480, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    found = {"bytes": json.loads(bpe.to_str())["model"]}
    for name, kind, ids in (("sentence", "bpe", dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", unk_piece="<unk>")),
                            ("unigram", "unigram", dict(unk_id=0, bos_id=1, eos_id=2))):
        out = io.BytesIO()
        lines = [line for line in text.replace("\x00", "").split("\n") if line.strip()] * 4
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=out, model_type=kind, vocab_size=470, hard_vocab_limit=False, byte_fallback=True, split_digits=True, add_dummy_prefix=False,
            remove_extra_whitespaces=False, normalization_rule_name="identity", character_coverage=1.0, allow_whitespace_only_pieces=True, split_by_whitespace=False,
            split_by_unicode_script=False, split_by_number=False, max_sentencepiece_length=12, minloglevel=2, num_threads=1,
            user_defined_symbols=["<start_of_turn>", "<mask>", "\n", "\n\n", M * 2, M * 3, "<table>", "\t"] if kind == "bpe" else [], **ids)
        if kind == "bpe":
            (HERE / "gemma.model").write_bytes(out.getvalue())
        proto = sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())
        pieces = [(p.piece, round(p.score, 4)) for p in proto.pieces]
        if kind == "bpe":
            vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
            merges = [(vocab[p], a, vocab[p[:a]], vocab[p[a:]]) for p in vocab for a in range(1, len(p)) if p[:a] in vocab and p[a:] in vocab and not p.startswith("<0x")]
            merges.sort(key=lambda m: (-pieces[m[0]][1], m[2], m[3]))
            found[name] = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
                           "ignore_merges": False, "vocab": vocab, "merges": [[pieces[m[2]][0], pieces[m[3]][0]] for m in merges]}
        else:
            found[name] = {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": [["\n" if p == "<0x0A>" else p, s] for p, s in pieces]}
    print(json.dumps(found))


def encode(where, slow):
    """For each directory under `where`: ids with and without special tokens, and both texts made of the former."""
    from transformers import AutoTokenizer
    found = {}
    for directory in sorted(Path(where).iterdir()):
        text = (directory / "text").read_bytes().decode(errors="replace")
        try:
            t = AutoTokenizer.from_pretrained(directory, use_fast=not slow)
        except (ValueError, OSError) as error:
            print(directory.name, str(error)[:200], file=sys.stderr)
            continue
        bare, special = t.encode(text, add_special_tokens=False), t.encode(text)
        found[directory.name] = {"ids": bare, "before": special[:len(special) - len(bare)], "shown": t.decode(special, clean_up_tokenization_spaces=False)}
        assert special == found[directory.name]["before"] + bare
    print(json.dumps(found))


def call(python, *arguments):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return json.loads(subprocess.run([python, __file__, *arguments], stdout=subprocess.PIPE, env=environment, check=True).stdout)


def main(four, five):
    models, all_families = call(five, "--train"), families()
    with tempfile.TemporaryDirectory() as place:
        for name, one in all_families.items():
            assemble(models, one, Path(place, name))
            Path(place, name, "text").write_bytes(text_of(one["tokens"]))
        found = {4: call(four, "--encode", place), 5: call(five, "--encode", place)}
    for name, one in all_families.items():
        old, new = found[4].get(name), found[5].get(name)
        mine = new if "backend" in one["config"] else old
        one["expected"] = {"ids": mine["ids"], "before": mine["before"]} | ({"shown": mine["shown"]} if name in SHOWN else {})
        one["differs"] = [key for key in ("ids", "before") if old and new and old[key] != new[key]]
        assert not old or not new or old["shown"] == new["shown"] or one["differs"], name
    with tempfile.TemporaryDirectory() as place:
        Path(place, "gemma").mkdir()
        shutil.copy(HERE / "gemma.model", Path(place, "gemma", "tokenizer.model"))
        config = {"tokenizer_class": "GemmaTokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "additional_special_tokens": ["<start_of_turn>"]}
        Path(place, "gemma", "tokenizer_config.json").write_text(json.dumps(config))
        Path(place, "gemma", "config.json").write_text('{"model_type": "gemma"}')
        Path(place, "gemma", "text").write_bytes(text_of(families()["gemma3"]["tokens"], last=b""))
        slow = call(four, "--encode", place, "slow")["gemma"]
    whole = {"models": models, "families": all_families, "gemma.model": {"config": config, "expected": {"ids": slow["ids"], "before": slow["before"]}}}
    lines = [json.dumps(k) + ": {\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in whole[k].items()) + "}" for k in whole]
    (HERE / "families.json").write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train()
    elif sys.argv[1] == "--encode":
        encode(sys.argv[2], len(sys.argv) > 3)
    else:
        main(*sys.argv[1:])
