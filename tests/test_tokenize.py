"""--tokenize and --detokenize: ids of the vectors under ../shared/data/tokenizers and of all of WikiText-2, round trips,
what may stand where the tokenizer is, and what is refused."""
import json, shutil

import pytest
from helpers import DEMO, HANGS, mpirun, run_job, shared
from tiny_model import make_byte_model

MERGES = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": ["a b"]}, "decoder": {"type": "Fuse"},
          "added_tokens": [{"id": 3, "content": "<s>", "special": True}],
          "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                             "special_tokens": {"<s>": {"ids": [3]}}}}


def run(*arguments, ranks=1, code=0):
    done = mpirun(ranks, *arguments, timeout=HANGS)
    assert done.returncode == code, done.stderr
    return done


def ids(directory, path, *options):
    return list(map(int, run("--tokenize", directory, path, *options).stdout.split()))


def expect_round_trip(directory, path, tmp_path, numbers):
    line = tmp_path / "ids"
    line.write_text(" ".join(map(str, numbers)) + "\n")
    text = tmp_path / "text"
    text.write_bytes(path.read_bytes())
    assert run("--detokenize", directory, line).stdout.encode() == path.read_text(encoding="utf8", errors="replace").encode()


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(MERGES))
    (tmp_path / "text").write_text("abab")
    return tmp_path


@pytest.mark.parametrize("name", ["mixed", "small", "utf8"])
def test_byte_level_vectors(name, tmp_path):
    path = shared("data", "tokenizers", f"{name}_input.txt")
    directory = shared("data", "tokenizers", "smollm2")
    expected = list(map(int, (directory / f"{name}_ids.txt").read_text().split()))
    assert ids(directory, path) == expected
    expect_round_trip(directory, path, tmp_path, expected)


@pytest.mark.parametrize("name, count", [("smollm2", 304978), ("llama2", 341468)])
def test_wikitext(name, count, tmp_path):
    path, directory = shared("data", "wikitext2", "test.txt"), shared("data", "tokenizers", name)
    numbers = ids(directory, path)
    assert len(numbers) == count
    expect_round_trip(directory, path, tmp_path, numbers)


def llama_vectors():
    """(text, ids) of the Llama-2 files. Their lines write a line break as \\n and a space as \\s."""
    directory = shared("data", "tokenizers")
    texts = (directory / "llama2" / "cases.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    yield from zip(texts, (directory / "llama2" / "cases.out").read_text().split("\n"))
    for name in ("small", "mixed", "utf8"):
        text = (directory / f"{name}_input.txt").read_bytes()
        lines = [text] if name == "utf8" else text.split(b"\n")
        expected = (directory / "llama2" / f"tokenizers.{name}_tokens_llama2.txt").read_text().split("\n")
        for line, numbers in zip(lines, expected):
            yield (line if name == "utf8" else line.replace(b"\\n", b"\n").replace(b"\\s", b" ")), numbers.replace(",", " ")


def test_llama_vectors(tmp_path):
    """In one run: between special tokens every text is encoded by itself."""
    directory, path = shared("data", "tokenizers", "llama2"), tmp_path / "text"
    pairs = [(text, list(map(int, numbers.split()))) for text, numbers in llama_vectors()]
    path.write_bytes(b"</s>".join(text for text, _ in pairs))
    found, expected = ids(directory, path), []
    for _, numbers in pairs:
        expected += numbers + [2]
    assert len(pairs) > 150 and found == expected[:-1]


PIECES = [["<unk>", 0.0], ["\u2581", -2.0], ["\u2581a", -1.5], ["a", -3.0], ["b", -2.5], ["ab", -5.0], ["ba", -5.75],
          ["\u2581ab", -4.25], ["\u00e9", -6.0]]
BYTE_PIECES = [[f"<0x{i:02X}>", 0.0] for i in range(256)]


def unigram(**members):
    return json.dumps({"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
                       "model": {"type": "Unigram", "unk_id": 0, "vocab": PIECES} | members})


@pytest.mark.parametrize("members, expected", [
    ({}, [2, 4, 2, 4, 3, 1, 8, 1, 0, 4, 0, 2, 4, 5]),
    ({"byte_fallback": True, "vocab": PIECES + BYTE_PIECES}, [2, 4, 2, 4, 3, 1, 8, 1, 129, 130, 4, 239, 160, 174, 239, 160, 174, 2, 4, 5])])
def test_unigram(members, expected, tiny):
    """Ids of the `tokenizers` package, 0.20.3 and 0.23.3."""
    (tiny / "tokenizer.json").write_text(unigram(**members))
    (tiny / "text").write_text("ab aba \u00e9 xyb\u65e5\u65e5 abab")
    assert ids(tiny, tiny / "text") == expected


@pytest.mark.parametrize("members, said", [
    ({"unk_id": None}, "unk_id is null, and the text has a character"), ({"vocab": []}, "vocab is"), ({"unk_id": 9}, "unk_id is 9"),
    ({"vocab": PIECES + [["a", -1.0]]}, 'vocab[9]: "a" occurs twice'), ({"vocab": [["a"]]}, "vocab[0] is an array, expected a piece and its score")])
def test_unigram_refused(members, said, tiny):
    (tiny / "tokenizer.json").write_text(unigram(**members))
    (tiny / "text").write_text("x")
    assert said in run("--tokenize", tiny, tiny / "text", code=3, ranks=2).stderr


def test_special(tiny):
    assert run("--tokenize", tiny, tiny / "text").stdout == "2 2\n"
    assert run("--tokenize", tiny, tiny / "text", "--special").stdout == "3 2 2\n"
    (tiny / "ids").write_text("3 2\n0 ")
    assert run("--detokenize", tiny, tiny / "ids").stdout == "<s>aba"
    assert run("--detokenize", tiny, tiny / "ids", "--special").stdout == "aba"


def test_truncation_is_told(tiny):
    """Once, by whichever rank; nothing is cut."""
    said = "tokenizer.json: truncation is not applied"
    assert said not in run("--tokenize", tiny, tiny / "text").stderr
    truncation = {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (tiny / "tokenizer.json").write_text(json.dumps(MERGES | {"truncation": truncation}))
    done = run("--tokenize", tiny, tiny / "text", ranks=2)
    assert done.stdout == "2 2\n" and done.stderr.count(said) == 1, done.stderr


def test_truncation_in_the_report(tmp_path):
    """A warning that is counted once, at any number of ranks."""
    model = make_byte_model(tmp_path / "model")
    text = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps(text | {"truncation": {"max_length": 4}}))
    (tmp_path / "text").write_text("some words " * 30)
    report = run_job(tmp_path, 3, {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"text": tmp_path / "text", "length": 16}})
    told = [w for w in report["warnings"] if "truncation" in w["text"]]
    assert [w["count"] for w in told] == [1] and report["perplexity"]["tokens"] > 100


def test_ranks_print_once(tiny):
    assert run("--tokenize", tiny, tiny / "text", ranks=3).stdout == "2 2\n"


def test_sentencepiece_model():
    directory = shared("models", "stories260K")
    path = shared("data", "tokenizers", "small_input.txt")
    numbers = ids(directory, path, "--special")
    assert numbers[0] == 1 and max(numbers) < 512 and numbers[1:] == ids(directory, path)


def test_json_goes_before_the_model(tiny):
    (tiny / "tokenizer.model").write_bytes(b"\xff")
    assert ids(tiny, tiny / "text") == [2, 2]
    (tiny / "tokenizer.json").unlink()
    assert "tokenizer.model" in run("--tokenize", tiny, tiny / "text", code=3).stderr


@pytest.mark.parametrize("line, said", [("1 x", "byte 2"), ("-1", "byte 0"), ("99999999999", "byte 0"), ("4", "id 4"), ("1.5", "byte 0")])
def test_ids_that_are_none(tiny, line, said):
    (tiny / "ids").write_text(line)
    assert said in run("--detokenize", tiny, tiny / "ids", code=3).stderr


def test_refused(tiny):
    assert "neither tokenizer.json nor tokenizer.model" in run("--tokenize", DEMO / "..", tiny / "text", code=3).stderr
    assert "nowhere" in run("--tokenize", tiny / "nowhere", tiny / "text", code=3).stderr
    assert "nothing" in run("--tokenize", tiny, tiny / "nothing", code=3, ranks=2).stderr
    (tiny / "tokenizer.json").write_text('{"model": 3}')
    assert "model is 3" in run("--tokenize", tiny, tiny / "text", code=3, ranks=2).stderr


def test_checkpoint_carries_its_tokenizer(tiny):
    shutil.copytree(DEMO, tiny / "model")
    shutil.copy(tiny / "tokenizer.json", tiny / "model")
    run_job(tiny, 1, {"model": {"path": tiny / "model"}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 4, "length": 32},
                      "prune": {"mlp_num": 0}})
    (tiny / "model" / "tokenizer.json").unlink()
    for ranks in (1, 2):
        assert run("--tokenize", tiny / "job.h5", tiny / "text", ranks=ranks).stdout == "2 2\n"
    run_job(tiny, 1, {"model": {"path": tiny / "model"}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 4, "length": 32},
                      "prune": {"mlp_num": 0}}, name="without")
    assert "neither tokenizer.json nor tokenizer.model" in run("--tokenize", tiny / "without.h5", tiny / "text", code=3).stderr
