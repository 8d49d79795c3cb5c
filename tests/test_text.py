"""Text in: the calibration sample against a second implementation of its rules, at every rank count; perplexity from
text against the ids' own. The tokenizer is one whose ids are the bytes, so that nothing here depends on tokenizing."""
import json, re, shutil

import h5py
import numpy as np
import pytest
from helpers import mpirun, run_job, shared, write_config
from tiny_model import BYTE_VOCABULARY, byte_ids, make_byte_model, make_tokenizer

LENGTH = 24
RANKS = [1, 2, 3, 4]


# ---- the rules once more ----

def philox(counter, key):
    """Philox4x32-10."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def below(seed, stream, index, bound):
    for attempt in range(100):
        words = philox((index % 2**32, index >> 32, stream, attempt), (seed % 2**32, seed >> 32))
        product = (words[1] << 32 | words[0]) * bound
        if product % 2**64 >= 2**64 % bound:
            return product >> 64


def prompt(row):
    """TASKS: the Stanford Alpaca template, the output directly behind it."""
    if row.get("input"):
        return ("Below is an instruction that describes a task, paired with an input that provides further context. Write a response "
                f"that appropriately completes the request.\n\n### Instruction:\n{row['instruction']}\n\n### Input:\n{row['input']}"
                f"\n\n### Response:\n{row['output']}")
    return ("Below is an instruction that describes a task. Write a response that appropriately completes the request."
            f"\n\n### Instruction:\n{row['instruction']}\n\n### Response:\n{row['output']}")


def passages(text, length):
    """A plain text in rows: to the end of the line behind 8 bytes a token, or to a space within 16."""
    least, most, rows, at = 8 * length, 16 * length, [], 0
    while at < len(text):
        if text[at] in b"\r\n":
            at += 1
            continue
        end, line = min(at + most, len(text)), text.find(b"\n", at + least)
        if 0 <= line <= end:
            end = line + 1
        elif end < len(text):
            space = max(text.rfind(c, at + least - 1, end) for c in (b" ", b"\t", b"\r")) + 1
            while not space and text[end] & 0xC0 == 0x80:
                end += 1
            end = space or end + (text[end] == 10)
        rows.append(text[at:end])
        at = end
    return rows


def sample(seed, length, sources):
    """[(kind, rows of ids, how many sequences)] -> ids [samples x length], and the rows drawn."""
    out, drawn = [], []
    for number, (kind, rows, wanted) in enumerate(sources):
        order, found = list(range(len(rows))), []
        for i in range(len(rows)):
            j = i + below(seed, 2 * number, i, len(rows) - i)
            order[i], order[j] = order[j], order[i]
            ids = rows[order[i]]
            if len(ids) >= length and len(found) < wanted:
                start = 0 if kind == "alpaca" else below(seed, 2 * number + 1, i, len(ids) - length + 1)
                found.append(ids[start:start + length])
                drawn.append((number, order[i]))
        assert len(found) == wanted
        out += found
    return np.array(out, np.int32), drawn


# ---- a model, its tokenizer, and some texts ----

def words(random, count):
    return " ".join("".join(chr(c) for c in random.choice([*range(97, 123), 0xE4, 0x20AC, 0x1F600], random.integers(1, 9))) for _ in range(count))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Everything a config names, and what its rows are as ids."""
    path, random = tmp_path_factory.mktemp("text"), np.random.default_rng(5)
    make_byte_model(path / "model", config={"max_position_embeddings": 512})
    alpaca = [{"instruction": words(random, 4), "input": words(random, 3) if i % 3 else "", "output": words(random, i % 5 * 6)} for i in range(30)]
    del alpaca[3]["input"]
    lines = [{"id": i, "body": words(random, random.integers(0, 8))} for i in range(60)]
    book = "\n\n".join("\n".join(words(random, random.integers(1, 60)) for _ in range(4)) for _ in range(12)).encode()
    book += b" no spaces: " + b"x" * 1000 + "\u20ac".encode() * 700 + b"\n\xff\xfe\n the end"
    table = random.integers(0, BYTE_VOCABULARY, (9, LENGTH + 5)).astype("<i8")
    (path / "alpaca.json").write_text(json.dumps(alpaca, indent=1))
    (path / "lines.jsonl").write_text("\n".join(json.dumps(x, ensure_ascii=i % 2 == 0) for i, x in enumerate(lines)) + "\n\n")
    (path / "book.txt").write_bytes(book)
    np.save(path / "table.npy", table)
    rows = {"alpaca": [byte_ids(prompt(row)) for row in alpaca], "jsonl": [byte_ids(row["body"]) for row in lines],
            "plain": [byte_ids(row.decode(errors="replace")) for row in passages(book, LENGTH)], "npy": table.tolist()}
    return path, rows


LIST = "alpaca:alpaca.json*2, jsonl:lines.jsonl:body, plain:book.txt*3, npy:table.npy"
SHARES = {"alpaca": 10, "jsonl": 5, "plain": 15, "npy": 5}


def sections(path, text=LIST, samples=35, **calibration):
    return {"model": {"path": path / "model"},
            "calibration": {"text": text, "samples": samples, "length": LENGTH} | calibration,
            "prune": {"mlp_num": 1, "ratio": 0.25}}


def dump(path, where, ranks, *arguments, **how):
    """The sample that --check draws, and what it prints. Lists name files beside the config."""
    config = write_config(path / f"{where.name}.{ranks}.ini", sections(path, **how) | {"output": {"checkpoint": where / "c.h5", "report": ""}})
    done = mpirun(ranks, "--check", "--dump-tokens", where / "ids.npy", *arguments, config)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in where.iterdir()) == ["ids.npy"]  # nothing but what was asked for
    return np.load(where / "ids.npy"), done.stdout


@pytest.mark.parametrize("ranks", RANKS)
def test_sample(room, ranks, tmp_path):
    """Every id of the sample, from every kind of text, is that of the rules; another seed draws another one."""
    path, rows = room
    for seed in (0, 2**40 + 7):
        expected, drawn = sample(seed, LENGTH, [(kind, rows[kind], SHARES[kind]) for kind in rows])
        found, said = dump(path, tmp_path, ranks, seed=seed)
        assert found.dtype == np.int32 and np.array_equal(found, expected)
        assert len(set(drawn)) == len(drawn) == 35
    for kind in rows:
        line = re.search(rf"{kind}:\S+: (\d+) of (\d+) rows tried, (\d+) sequences", said)
        assert int(line[2]) == len(rows[kind]) and int(line[3]) == SHARES[kind]


def test_whole_prompts(room, tmp_path):
    """Sequences so long that the template's every part and the output are in them."""
    path, rows = room
    length = 280
    wanted = sum(len(ids) >= length for ids in rows["alpaca"])
    expected, drawn = sample(3, length, [("alpaca", rows["alpaca"], wanted)])
    found, _ = dump(path, tmp_path, 2, text="alpaca:alpaca.json", samples=wanted, length=length, seed=3)
    assert np.array_equal(found, expected)
    texts = [bytes(int(i) - 3 for i in row[1:]).decode(errors="replace") for row in found]
    assert sum("### Input:" in t and "### Response:" in t for t in texts) > 2 and any("### Input:" not in t for t in texts)


def test_no_row_twice(room, tmp_path):
    """As many sequences as there are rows long enough: each row once. One more is too many."""
    path, _ = room
    texts = [f"row {i:03d} " * 4 for i in range(40)] + ["short"] * 9
    (path / "unique.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    found, _ = dump(path, tmp_path, 3, text="jsonl:unique.jsonl", samples=40)
    numbers = [re.search(r"(?=(\d{3}))", bytes(int(i) - 3 for i in row if i >= 3).decode())[1] for row in found]
    assert sorted(map(int, numbers)) == list(range(40))
    config = write_config(path / "more.ini", sections(path, "jsonl:unique.jsonl", samples=41))
    done = mpirun(3, "--check", config)
    assert done.returncode == 3
    assert "unique.jsonl: 40 sequences of 24 tokens in 49 rows (jsonl), expected 41" in done.stderr


def test_dump_is_read_back(room, tmp_path):
    """Pruned on the texts, and on the ids that this run wrote: the same checkpoint, the same numbers. The ids of a run
    on ids are their first rows and columns."""
    path, _ = room
    evaluate = {"evaluate": {"text": path / "book.txt", "length": LENGTH, "windows": 6}}
    ids = tmp_path / "ids.npy"
    # Names inside a list are relative to the config file, which lies elsewhere here.
    text = LIST.replace(":", f":{path}/").replace(f":{path}/body", ":body")
    by_text = run_job(tmp_path, 2, sections(path, text) | evaluate, "--dump-tokens", ids, name="text")
    by_ids = run_job(tmp_path, 2, sections(path, "", tokens=ids) | evaluate, "--dump-tokens", tmp_path / "again.npy", name="ids")
    assert by_text["layers"] == by_ids["layers"] and by_text["linearity_score"] == by_ids["linearity_score"]
    assert by_text["perplexity"] == by_ids["perplexity"]
    assert np.array_equal(np.load(ids), np.load(tmp_path / "again.npy"))
    with h5py.File(tmp_path / "text.h5") as a, h5py.File(tmp_path / "ids.h5") as b:
        names = []
        a["model"].visit(lambda n: names.append(n) if isinstance(a["model"][n], h5py.Dataset) else None)
        assert names and all(np.array_equal(a["model"][n][()], b["model"][n][()]) for n in names)
        assert bytes(a["meta/tokenizer_json"][()]) == (path / "model" / "tokenizer.json").read_bytes()
        origin = json.loads(bytes(a["meta/provenance_json"][()]))
    assert origin["seed"] == 0 and [t["sequences"] for t in origin["texts"]] == list(SHARES.values())
    assert [t["kind"] for t in origin["texts"]] == list(SHARES) and origin["texts"][1]["field"] == "body"


# ---- what is given as a text ----

BINARY = b"\x1f\x8b\x08\0" + bytes(range(256))


@pytest.mark.parametrize("ranks", [1, 2])
def test_what_is_no_text_is_refused(room, ranks, tmp_path):
    """Another format, or JSON of another shape, given as a text or as questions: refused by --check, with the form that
    takes it."""
    path, _ = room
    (tmp_path / "a.gz").write_bytes(BINARY)
    (tmp_path / "lines").write_text('{"content": "a"}\n' * 9)
    for n, (section, said) in enumerate([({"text": f"plain:{tmp_path}/a.gz"}, "is gzip"), ({"text": f"jsonl:{tmp_path}/a.gz"}, "is gzip"),
                                         ({"text": f"plain:{tmp_path}/lines"}, "name it as jsonl:FILE:content"),
                                         ({"text": f"jsonl:{tmp_path}/lines"}, "line 1: text is missing, expected a string (there is content)")]):
        config = write_config(tmp_path / f"{n}.ini", sections(path, **section, samples=2) | {"output": {"checkpoint": "c.h5", "report": ""}})
        done = mpirun(ranks, "--check", config)
        assert done.returncode == 3 and said in done.stderr, done.stderr
    for n, (keys, said) in enumerate([({"text": tmp_path / "a.gz"}, "is gzip"), ({"text": tmp_path / "lines"}, "jq -r .content"),
                                      ({"tasks": f"piqa:{tmp_path}/a.gz"}, "is gzip"), ({"tasks": f"piqa:{path}/alpaca.json"}, "is a JSON array")]):
        config = write_config(tmp_path / f"e{n}.ini", {"model": {"path": path / "model"}, "prune": {"method": "none"}, "evaluate": {"length": LENGTH, **keys},
                                                       "output": {"report": ""}})
        done = mpirun(ranks, "--check", config)
        assert done.returncode == 3 and said in done.stderr, done.stderr


def test_marks_are_no_text(room, tmp_path):
    """A byte order mark in front of any text, and of the config, changes nothing."""
    path, _ = room
    for name in ("alpaca.json", "lines.jsonl", "book.txt"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (path / name).read_bytes())
    text = "alpaca:{0}/alpaca.json, jsonl:{0}/lines.jsonl:body, plain:{0}/book.txt"
    (tmp_path / "out").mkdir()
    found = [dump(path, tmp_path / "out", 2, text=text.format(where), samples=9)[0] for where in (path, tmp_path)]
    assert np.array_equal(*found)
    values = [evaluate(tmp_path, path / "model", 2, f"e{n}", text=where / "book.txt") for n, where in enumerate((path, tmp_path))]
    assert values[0] == values[1]
    ids = [mpirun(1, "--tokenize", path / "model", where / "book.txt").stdout for where in (path, tmp_path)]
    assert ids[0] == ids[1] and ids[0]
    (tmp_path / "m.ini").write_bytes(b"\xef\xbb\xbf" + write_config(tmp_path / "n.ini", {
        "model": {"path": path / "model"}, "prune": {"method": "none"}, "evaluate": {"text": path / "book.txt", "length": LENGTH}}).read_bytes())
    assert mpirun(1, "--check", tmp_path / "m.ini").returncode == 0


# ---- the evaluation's text ----

def evaluate(directory, path, ranks, name, **keys):
    report = run_job(directory, ranks, {"model": {"path": path}, "prune": {"method": "none"},
                                        "evaluate": {"length": LENGTH, **keys}}, name=name)
    return report["perplexity"]


@pytest.mark.parametrize("bos, expected", [("auto", True), ("yes", True), ("no", False)])
@pytest.mark.parametrize("ranks, stride", [(1, 0), (3, 7)])
def test_perplexity_of_a_text(room, bos, expected, ranks, stride, tmp_path):
    """A text's perplexity is that of its ids, to the last digit."""
    path, _ = room
    text = (path / "book.txt").read_bytes().decode(errors="replace")
    np.save(tmp_path / "ids.npy", np.array(byte_ids(text, expected), np.int64))
    by_ids = evaluate(tmp_path, path / "model", ranks, "ids", tokens=tmp_path / "ids.npy", stride=stride)
    by_text = evaluate(tmp_path, path / "model", ranks, "text", text=path / "book.txt", bos=bos, stride=stride)
    assert by_text == by_ids and by_ids["windows"] > 10


@pytest.mark.parametrize("config_bos", [7, None, [1, 2]])
def test_bos_that_only_the_config_knows(room, config_bos, tmp_path):
    """A tokenizer that adds none: `yes` takes the config's, and refuses where there is none."""
    path, _ = room
    model = make_byte_model(tmp_path / "model", config={"bos_token_id": config_bos}, bos=False)
    (tmp_path / "text.txt").write_text("a" * 100)
    values = {}
    for name, ids in ("auto", byte_ids("a" * 100, False)), ("yes", [config_bos] + byte_ids("a" * 100, False)):
        if name == "yes" and config_bos != 7:
            config = write_config(tmp_path / "no.ini", {"model": {"path": "model"}, "prune": {"method": "none"},
                                                        "evaluate": {"text": "text.txt", "bos": "yes", "length": LENGTH}})
            done = mpirun(2, config)
            assert done.returncode == 3 and "bos = yes" in done.stderr and "has a BOS" in done.stderr
            continue
        np.save(tmp_path / "ids.npy", np.array(ids))
        values[name] = evaluate(tmp_path, model, 2, name, text=tmp_path / "text.txt", bos=name)
        assert values[name] == evaluate(tmp_path, model, 2, name + "ids", tokens=tmp_path / "ids.npy")


def test_checkpoint_carries_its_tokenizer(room, tmp_path):
    """A checkpoint evaluates texts by itself; [model] tokenizer goes before the model's own, and is carried instead."""
    path, _ = room
    other = make_tokenizer(tmp_path / "other", bos=False)
    evaluation = {"text": path / "book.txt", "length": LENGTH}
    text = f"plain:{path}/book.txt"
    for name, model in ("own", {"path": path / "model"}), ("other", {"path": path / "model", "tokenizer": other}):
        report = run_job(tmp_path, 2, sections(path, text) | {"model": model, "evaluate": evaluation}, name=name)
        alone = evaluate(tmp_path, tmp_path / f"{name}.h5", 2, f"{name}.alone", text=path / "book.txt")
        assert alone["model"] == pytest.approx(report["perplexity"]["pruned"], rel=1e-6)
        assert alone["tokens"] == report["perplexity"]["tokens"]
    with h5py.File(tmp_path / "other.h5") as file:
        assert bytes(file["meta/tokenizer_json"][()]) == (other / "tokenizer.json").read_bytes()


def test_estimate_counts_texts(room, tmp_path):
    """Counted memory stays within a fifth of the estimate where tokenizer and texts are most of it."""
    path, _ = room
    (tmp_path / "big.txt").write_text("word " * 400_000)
    report = run_job(tmp_path, 2, sections(path, f"plain:{tmp_path}/big.txt") | {
        "evaluate": {"text": tmp_path / "big.txt", "length": LENGTH, "windows": 3}})
    assert 0.8 < report["memory"]["estimate"] / report["memory"]["counted"]["max"] < 1.25


def test_sentencepiece_says_bos(tmp_path):
    """A tokenizer.model puts BOS in front unless tokenizer_config.json says no; a checkpoint still knows."""
    source, text = shared("models", "stories260K"), shared("data", "calib", "tinystories.txt").read_text()[:3000]
    (tmp_path / "story.txt").write_text(text)
    values = {}
    for name, says in ("silent", None), ("yes", True), ("no", False):
        model = tmp_path / name
        shutil.copytree(source, model)
        if says is not None:
            (model / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": says, "model_max_length": 10**30}))
        report = run_job(tmp_path, 2, {"model": {"path": model},
                                       "calibration": {"text": f"plain:{tmp_path}/story.txt", "samples": 4, "length": LENGTH},
                                       "prune": {"mlp_num": 1}, "evaluate": {"text": tmp_path / "story.txt", "length": LENGTH}}, name=name)
        values[name] = report["perplexity"]
        alone = evaluate(tmp_path, tmp_path / f"{name}.h5", 1, f"{name}.alone", text=tmp_path / "story.txt")
        assert alone["model"] == pytest.approx(values[name]["pruned"], rel=1e-6) and alone["tokens"] == values[name]["tokens"]
    never = evaluate(tmp_path, tmp_path / "yes", 2, "never", text=tmp_path / "story.txt", bos="no")
    assert values["silent"] == values["yes"] != values["no"]
    assert values["no"]["dense"] == never["model"] != values["yes"]["dense"]
    (tmp_path / "no" / "tokenizer_config.json").write_text('{"add_bos_token": "no"}')
    config = write_config(tmp_path / "bad.ini", {"model": {"path": "no"}, "prune": {"method": "none"}, "evaluate": {"text": "story.txt"}})
    done = mpirun(3, config)
    assert done.returncode == 3 and 'tokenizer_config.json: add_bos_token is the string "no", expected true or false' in done.stderr
