"""tools/convert.py: what the hubs ship becomes what olica_mpi reads, for every form and every kind of source; the program takes each; what
is not what it should be is refused and leaves nothing. (Parquet and Arrow where pyarrow is installed.)"""
import gzip, importlib.util, json, re, subprocess, sys

import numpy as np
import pytest
from helpers import BINARY, DEMO, ROOT, environment, shared, write_config

TOOL = ROOT / "tools" / "convert.py"
COUNTS = {"boolq": 3270, "piqa": 1838, "hellaswag": 10042, "winogrande": 1267, "arc_easy": 2376, "arc_challenge": 1172, "openbookqa": 500}
LETTERS = {"text": ["red", "green", "blue", "grey"], "label": ["A", "B", "C", "D"]}
PUBLISHED = {
    "boolq": {"question": "is it so", "answer": False, "passage": "It is \u00bbso\u00ab.\u2028Yes.", "idx": 3},
    "piqa": {"goal": "Open a jar", "sol1": "twist it", "sol2": "hit it", "label": 0},
    "hellaswag": {"ind": 4, "activity_label": "Cooking", "ctx_a": "A pan stands there.", "ctx_b": "the man", "ctx": "A pan stands there. the man",
                  "endings": ["cooks.", "runs.", "flies.", "sings."], "source_id": "x", "split": "val", "split_type": "indomain", "label": "2"},
    "winogrande": {"sentence": "The cup fits the box because _ is small.", "option1": "the cup", "option2": "the box", "answer": "1"},
    "arc_easy": {"id": "M1", "question": "Which is a colour of the sky?", "choices": LETTERS, "answerKey": "C"},
    "arc_challenge": {"id": "M2", "question": {"stem": "Which is it?", "choices": [{"text": t, "label": n} for t, n in zip("abcd", "1234")]}, "answerKey": "4"},
    "openbookqa": {"id": "8-1", "question_stem": "Grass is", "choices": LETTERS, "answerKey": "B"},
}


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=100)


def convert(form, source, out, *more):
    done = run(form, source, "-o", out, *more)
    assert done.returncode == 0, done.stderr
    return out.read_text(encoding="utf-8")


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def pack(kind, rows, path):
    """Rows as a file of that kind."""
    text = lines(rows)
    if kind == "json":
        text = json.dumps(rows, indent=2)
    if kind in ("parquet", "arrow", "stream"):
        pyarrow = pytest.importorskip("pyarrow", reason="skipped: no pyarrow")
        table = pyarrow.Table.from_pylist(rows)
        if kind == "parquet":
            importlib.import_module("pyarrow.parquet").write_table(table, path)
            return path
        ipc = importlib.import_module("pyarrow.ipc")
        with (ipc.new_file if kind == "arrow" else ipc.new_stream)(str(path), table.schema) as writer:
            writer.write_table(table)
        return path
    raw = ("\ufeff" + text if kind == "mark" else text).encode()
    path.write_bytes(gzip.compress(raw) if kind == "gz" else raw)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "gz", "mark", "parquet", "arrow", "stream"])
def test_questions_from_every_kind(kind, tmp_path):
    for task, row in PUBLISHED.items():
        rows = [row, dict(row)]
        out = convert(task, pack(kind, rows, tmp_path / f"{task}.in"), tmp_path / f"{task}.jsonl")
        made = [json.loads(line) for line in out.split("\n") if line]
        dropped = {"idx", "ind", "source_id", "split", "split_type"}
        assert made == [{key: value for key, value in row.items() if key not in dropped}] * 2, task


def test_the_program_takes_each(tmp_path):
    """All seven tasks, a text and calibration of both kinds in one job of the demo model."""
    for task, row in PUBLISHED.items():
        convert(task, pack("jsonl", [row] * 3, tmp_path / f"{task}.in"), tmp_path / f"{task}.jsonl")
    texts = [{"text": f" = Title {i} = \n" if i % 3 == 0 else "" if i % 3 == 1 else " Some words of a text that goes on and on. " * 9 + "\n"} for i in range(30)]
    convert("wikitext2", pack("jsonl", texts, tmp_path / "w"), tmp_path / "wiki.txt")
    convert("jsonl", pack("gz", [dict(row, url="x", timestamp="y") for row in texts], tmp_path / "c4.json.gz"), tmp_path / "c4.jsonl")
    convert("alpaca", pack("json", [{"instruction": "Say much.", "input": None, "output": "much " * 60, "text": "x"}] * 6, tmp_path / "a"), tmp_path / "alpaca.json")
    config = write_config(tmp_path / "job.ini", {
        "model": {"path": DEMO}, "prune": {"method": "magnitude", "sparsity": 0.2}, "calibration": {"text": "", "length": 32},
        "evaluate": {"text": f"wikitext2:{tmp_path}/wiki.txt", "length": 64, "tasks": ", ".join(f"{task}:{tmp_path}/{task}.jsonl" for task in PUBLISHED)},
        "output": {"checkpoint": tmp_path / "p.h5", "report": tmp_path / "r.json"}})
    done = subprocess.run([BINARY, config], capture_output=True, text=True, timeout=300, env=environment())
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert all(report["tasks"][task]["n"] == 3 for task in PUBLISHED) and report["perplexities"]["wikitext2"]["windows"] > 3
    done = subprocess.run([BINARY, "--check", "--set=prune.method=olica", "--set=prune.mlp_num=2", f"--set=calibration.text=alpaca:{tmp_path}/alpaca.json, jsonl:{tmp_path}/c4.jsonl",
                           "--set=calibration.samples=8", f"--dump-tokens={tmp_path}/ids.npy", f"--set=output.report={tmp_path}/other.json", f"--set=output.checkpoint={tmp_path}/other.h5", config],
                          capture_output=True, text=True, timeout=300, env=environment())
    assert done.returncode == 0 and np.load(tmp_path / "ids.npy").shape == (8, 32), done.stderr


def test_texts_are_joined_as_the_field_joins_them(tmp_path):
    raw = " \n = Title = \n \n A text \u00b7 with\u2028signs\x0c here . \n"
    (tmp_path / "wiki.test.raw").write_text(raw)
    from_lines = convert("wikitext2", tmp_path / "wiki.test.raw", tmp_path / "a.txt")
    hub = [{"text": ""}, {"text": " = Title = \n"}, {"text": ""}, {"text": " A text \u00b7 with\u2028signs\x0c here . \n"}]
    assert from_lines == "\n\n".join(row["text"] for row in hub) == convert("wikitext2", pack("jsonl", hub, tmp_path / "hub"), tmp_path / "b.txt")
    (tmp_path / "ptb.test.txt").write_text(" no it was n't \n but <unk> N \n")
    assert convert("ptb", tmp_path / "ptb.test.txt", tmp_path / "p.txt") == "no it was n't\n\nbut <unk> N"
    assert convert("ptb", pack("jsonl", [{"sentence": "a b"}, {"sentence": "c"}], tmp_path / "s"), tmp_path / "q.txt", "--join", " ") == "a b c"
    (tmp_path / "rows.csv").write_text('n,body\n1,"two\nlines, quoted"\n2,x\n')
    assert convert("plain", tmp_path / "rows.csv", tmp_path / "c.txt", "--field", "body", "--join", r"\n--\n") == "two\nlines, quoted\n--\nx"
    assert convert("plain", tmp_path / "rows.csv", tmp_path / "c.txt", "--field", "body", "--rows", 1, "--force") == "two\nlines, quoted"
    done = run("jsonl", tmp_path / "s", tmp_path / "s", "-o", tmp_path / "two.jsonl", "--field", "sentence")
    assert (tmp_path / "two.jsonl").read_text() == lines([{"text": "a b"}, {"text": "c"}] * 2) and f"4 rows, 60 bytes; [calibration] text = jsonl:{tmp_path}/two.jsonl" in done.stdout


def test_wikitext2_of_today(tmp_path):
    """The text that the tests use is what the tool makes of the lines of wiki.test.raw."""
    text = shared("data", "wikitext2", "test.txt").read_text(encoding="utf-8")
    rows, at = [], 0
    while at <= len(text):  # a row is nothing, or ends with a line feed; two line feeds stand between rows
        end = at if text.startswith("\n\n", at) or at == len(text) else text.index("\n", at) + 1
        rows.append(text[at:end])
        at = end + 2
    (tmp_path / "wiki.test.raw").write_text("".join(row or " \n" for row in rows), encoding="utf-8")
    assert convert("wikitext2", tmp_path / "wiki.test.raw", tmp_path / "again.txt") == text and len(rows) > 4000


def test_answers_in_a_file_of_their_own(tmp_path):
    rows = [{key: value for key, value in PUBLISHED["piqa"].items() if key != "label"}] * 3
    (tmp_path / "labels.lst").write_text("1\n0\n1\n")
    made = convert("piqa", pack("jsonl", rows, tmp_path / "valid.jsonl"), tmp_path / "p.jsonl", "--labels", tmp_path / "labels.lst")
    assert [json.loads(line)["label"] for line in made.splitlines()] == [1, 0, 1]
    for labels, words in (("1\n0\n", "expected one for each row"), ("1\n0\n1\n1\n", "4 answers for 3 rows")):
        (tmp_path / "labels.lst").write_text(labels)
        done = run("piqa", tmp_path / "valid.jsonl", "-o", tmp_path / "q.jsonl", "--labels", tmp_path / "labels.lst")
        assert done.returncode == 3 and words in done.stderr and not (tmp_path / "q.jsonl").exists()


REFUSED = {
    "a test split": ("winogrande", lines([dict(PUBLISHED["winogrande"], answer="")]), "a row without its answer, expected the validation split"),
    "PIQA's test": ("piqa", lines([dict(PUBLISHED["piqa"], label=-1)]), "label is -1"),
    "no answer": ("boolq", lines([{"question": "q", "passage": "p"}]), "has no answer or label, it has question, passage; expected the validation split"),
    "another task": ("piqa", lines([PUBLISHED["winogrande"]]), "has no goal, it has sentence"),
    "a text for questions": ("piqa", "some words\n", "is a line of text"),
    "broken JSON": ("jsonl", '{"text": "a"}\n{"text"\n', "line 2 is no JSON"),
    "an array of strings": ("jsonl", '["a", "b"]', "row 1 is str, expected an object"),
    "another field": ("jsonl", lines([{"body": "a"}]), "has no text, it has body; --field NAME"),
    "a number for a text": ("plain", lines([{"text": 3}]), "text is int, expected a string"),
    "alpaca without output": ("alpaca", lines([{"instruction": "a"}]), "output is missing"),
    "nothing": ("plain", "", "no rows"),
    "Latin-1": ("plain", "caf\xe9 au lait\n".encode("latin-1"), "is no UTF-8"),
    "a NUL": ("plain", "a\0b\n", "NUL"),
    "ZIP": ("plain", b"PK\3\4rest", "unzip it first"),
    "Zstandard": ("plain", b"\x28\xb5\x2f\xfdrest", "zstd -d"),
    "half a gzip": ("plain", gzip.compress(b"text\n" * 1000)[:-20], "gzip cannot unpack it"),
    "a pointer of Git LFS": ("boolq", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    form, content, words = REFUSED[name]
    source = tmp_path / "source"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(form, source, "-o", tmp_path / "out")
    assert done.returncode == 3 and words in done.stderr and str(source) in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_usage_and_the_system(tmp_path):
    source = pack("jsonl", [{"text": "a"}], tmp_path / "source")
    (tmp_path / "there").write_text("mine")
    for arguments, code, words in ((["plain", source, "-o", tmp_path / "there"], 2, "--force replaces it"), (["plain", source, "-o", tmp_path / "no" / "out"], 4, "No such file"),
                                   (["plain", tmp_path / "none", "-o", tmp_path / "out"], 3, "No such file"), (["plain", tmp_path, "-o", tmp_path / "out"], 3, "Is a directory"),
                                   (["nonsense", source, "-o", tmp_path / "out"], 2, "invalid choice"), (["boolq", source, "--labels", source, "-o", tmp_path / "out"], 2, "--labels belongs to")):
        done = run(*arguments)
        assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "there").read_text() == "mine"
    few = run("boolq", pack("jsonl", [PUBLISHED["boolq"]], tmp_path / "b"), "-o", tmp_path / "b.jsonl")
    assert few.returncode == 0 and "1 rows, the validation split, which figures are published for, has 3270" in few.stderr


def test_the_document_says_what_the_tool_does():
    document, help_text = (ROOT / "input" / "data" / "README.md").read_text(), run("--help").stdout
    for form in ("wikitext2", "ptb", "plain", "jsonl", "alpaca", *COUNTS):
        assert form in help_text and re.search(rf"\bconvert\.py {form}\b", document), form
    for task, count in COUNTS.items():
        assert re.search(rf"`{task}`.*\b{count:,}\b", document), task
    commands = re.findall(r"convert\.py [^`]*`", document)
    options = set(re.findall(r"--[a-z]+", " ".join(commands)))
    assert options == {"--rows", "--join", "--field", "--labels"} and all(option in help_text for option in options)
