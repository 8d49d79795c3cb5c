#!/usr/bin/env python3
"""Turns texts and questions as the hubs ship them into the files that olica_mpi reads. Python's standard library alone; Parquet and
Arrow files need pyarrow.

    tools/convert.py wikitext2 test-00000-of-00001.parquet -o wikitext2-test.txt
    tools/convert.py jsonl c4-train.00000-of-01024.json.gz -o c4.jsonl --rows 2000
    tools/convert.py boolq validation-00000-of-00001.parquet -o boolq_val.jsonl

Forms: wikitext2, ptb (rows joined as the field joins them, for [evaluate] text), plain (a field's texts joined by --join), jsonl
({"text": ...} a line, for [calibration] text), alpaca (a JSON array), and the tasks boolq, piqa, hellaswag, winogrande, arc_easy,
arc_challenge, openbookqa (a question a line; olica_mpi prepares them itself). A source is Parquet, Arrow, JSON lines, a JSON array,
CSV, TSV, or lines of text; gzip is unpacked; several are one after the other. input/data/README.md says where they come from.

The output appears whole or not at all. Exit codes: 0 ok, 2 usage, 3 a source that is not what it should be, 4 the system refuses."""
import argparse, csv, gzip, io, json, os, sys
from pathlib import Path

USAGE, INPUT, SYSTEM = 2, 3, 4

# A task: members of a row that must be there (of several one), those that are taken along, where the right answer is, rows of the split that
# everybody reports, and its name.
TASKS = {
    "boolq": ([("question",), ("passage",), ("answer", "label")], ["title"], 3270, "validation"),
    "piqa": ([("goal",), ("sol1",), ("sol2",), ("label",)], [], 1838, "validation"),
    "hellaswag": ([("activity_label", "ctx"), ("ctx_a", "ctx"), ("ctx_b", "ctx"), ("endings",), ("label",)], ["ctx"], 10042, "validation"),
    "winogrande": ([("sentence",), ("option1",), ("option2",), ("answer",)], [], 1267, "validation"),
    "arc_easy": ([("question", "question_stem"), ("choices", "question"), ("answerKey", "gold")], ["id"], 2376, "test"),
    "arc_challenge": ([("question", "question_stem"), ("choices", "question"), ("answerKey", "gold")], ["id"], 1172, "test"),
    "openbookqa": ([("question_stem", "question"), ("choices", "question"), ("answerKey", "gold")], ["id"], 500, "test"),
}
ANSWERS = {"answer", "label", "answerKey", "gold"}
FIELDS = {"wikitext2": "text", "ptb": "sentence", "plain": "text", "jsonl": "text"}
MAGIC = {b"PK\3\4": "a ZIP archive: unzip it first", b"\x28\xb5\x2f\xfd": "Zstandard: unpack it first (zstd -d)", b"BZh": "bzip2: unpack it first (bzip2 -dk)",
         b"\xfd7zXZ": "xz: unpack it first (xz -dk)", b"\x89HDF": "HDF5"}


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def refuse(text, code=INPUT):
    raise Refused(code, text)


# ---- sources ----


def need_pyarrow(path):
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        refuse(f"{path}: is Parquet or Arrow, which needs pyarrow: pip install pyarrow (or fetch the JSON or text form of the data)")


def parquet_rows(path):
    need_pyarrow(path)
    import pyarrow.parquet
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


def arrow_rows(path, whole):
    need_pyarrow(path)
    import pyarrow.ipc
    with open(path, "rb") as file:
        if whole:
            reader = pyarrow.ipc.open_file(file)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            batches = pyarrow.ipc.open_stream(file)
        for batch in batches:
            yield from batch.to_pylist()


def lines_of(path, packed):
    """Lines of a text, without their line feeds. They end at a line feed alone: a text may have form feeds and the like in it."""
    with (gzip.open if packed else open)(path, "rb") as raw:
        try:
            for number, line in enumerate(io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n"), 1):
                if "\0" in line:
                    refuse(f"{path}: line {number} has a NUL, expected a text")
                yield line[:-1] if line.endswith("\n") else line
        except UnicodeDecodeError as error:
            refuse(f"{path}: is no UTF-8 ({error.reason}), expected a text in UTF-8 (iconv recodes one)")
        except (EOFError, gzip.BadGzipFile) as error:
            refuse(f"{path}: gzip cannot unpack it: {error}")


def json_of(where, text):
    try:
        return json.loads(text)
    except ValueError as error:
        refuse(f"{where} is no JSON: {error}")


def json_rows(path, packed, is_array):
    if is_array:
        rows = json_of(path, "\n".join(lines_of(path, packed)))
    else:
        rows = (json_of(f"{path}: line {number}", line) for number, line in enumerate(lines_of(path, packed), 1) if line.strip())
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            refuse(f"{path}: row {number} is {type(row).__name__}, expected an object")
        yield row


def beginning(path, packed):
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            return file.read(4096)
    except (EOFError, gzip.BadGzipFile) as error:
        refuse(f"{path}: gzip cannot unpack it: {error}")


def rows_of(path):
    """Dictionaries, or of a text its lines as {None: line}."""
    head = beginning(path, False)
    if head[:4] == b"PAR1":
        return parquet_rows(path)
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return arrow_rows(path, head[:6] == b"ARROW1")
    packed = head[:2] == b"\x1f\x8b"
    head = beginning(path, packed)
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            refuse(f"{path}: is {name}")
    if head.startswith(b"version https://git-lfs"):
        refuse(f"{path}: is a Git LFS pointer, not the file (git lfs pull fetches it)")
    suffix = Path(path[:-3] if packed and path.endswith(".gz") else path).suffix
    first = head.decode("utf-8-sig", "replace").lstrip()[:1]
    if suffix in (".csv", ".tsv"):
        return csv.DictReader((line + "\n" for line in lines_of(path, packed)), delimiter="," if suffix == ".csv" else "\t")
    if first in ("{", "[") and suffix != ".txt":
        return json_rows(path, packed, first == "[")
    return ({None: line} for line in lines_of(path, packed))


def all_rows(options):
    count = 0
    for path in options.source:
        for number, row in enumerate(rows_of(path), 1):
            if options.rows and count == options.rows:
                return
            count += 1
            yield f"{path}: row {number}", row
    if count == 0:
        refuse(f"{', '.join(options.source)}: no rows, expected some")


# ---- texts ----


def text_in(where, row, field):
    if None in row:
        return row[None]
    if field not in row:
        refuse(f"{where}: has no {field}, it has {', '.join(map(str, row))}; --field NAME says where the text is")
    if not isinstance(row[field], str):
        refuse(f"{where}: {field} is {type(row[field]).__name__}, expected a string")
    return row[field]


def wikitext2_row(row, text):
    """A line of wiki.test.raw becomes the row that the hub has of it: an empty line nothing, another one itself with its line feed."""
    if None not in row:
        return text
    return text + "\n" if text.strip() else ""


def joined(options):
    texts = []
    for where, row in all_rows(options):
        text = text_in(where, row, options.field or FIELDS[options.form])
        if options.form == "wikitext2":
            text = wikitext2_row(row, text)
        elif options.form == "ptb":
            text = text.strip()
        texts.append(text)
    return options.join.join(texts), len(texts)


def json_lines(options):
    lines = [json.dumps({"text": text_in(where, row, options.field or "text")}, ensure_ascii=False) for where, row in all_rows(options)]
    return "\n".join(lines) + "\n", len(lines)


def alpaca(options):
    rows = []
    for where, row in all_rows(options):
        for member in ("instruction", "output"):
            if not isinstance(row.get(member), str):
                refuse(f"{where}: {member} is {'missing' if member not in row else type(row[member]).__name__}, expected a string")
        if not isinstance(row.get("input") or "", str):
            refuse(f"{where}: input is {type(row['input']).__name__}, expected a string")
        rows.append({"instruction": row["instruction"], "input": row.get("input") or "", "output": row["output"]})
    return json.dumps(rows, ensure_ascii=False, indent=0) + "\n", len(rows)


# ---- questions ----


def labels_of(options):
    """Answers in a file of their own, one a line, as PIQA and WinoGrande are shipped by their authors."""
    if not options.labels:
        return None
    return [line.strip() for line in lines_of(options.labels, False) if line.strip()]


def check_answer(where, member, value, task):
    empty = value is None or value == "" or value == -1 or value == "-1"
    if empty:
        split = TASKS[task][3]
        refuse(f"{where}: {member} is {json.dumps(value)}: a row without its answer, expected the {split} split, or --labels FILE")


def question(where, row, task):
    needed, also, _, _ = TASKS[task]
    taken = {}
    for members in needed:
        there = [member for member in members if member in row]
        if not there:
            answers = set(members) & ANSWERS
            refuse(f"{where}: has no {' or '.join(members)}, it has {', '.join(map(str, row))}" +
                   (f"; expected the {TASKS[task][3]} split, or --labels FILE" if answers else f"; expected rows of {task}"))
        taken[there[0]] = row[there[0]]
        if there[0] in ANSWERS:
            check_answer(where, there[0], row[there[0]], task)
    taken.update({member: row[member] for member in also if row.get(member) is not None})
    return taken


def questions(options):
    labels, lines = labels_of(options), []
    member = {"piqa": "label", "winogrande": "answer"}.get(options.form, "label")
    for where, row in all_rows(options):
        if None in row:
            refuse(f"{where}: is a line of text, expected an object, a question each")
        if labels is not None:
            if len(lines) >= len(labels):
                refuse(f"{options.labels}: has {len(labels)} answers, expected one for each row ({where} has none)")
            row = {**row, member: int(labels[len(lines)]) if options.form == "piqa" else labels[len(lines)]}
        lines.append(json.dumps(question(where, row, options.form), ensure_ascii=False))
    if labels is not None and len(labels) != len(lines) and not options.rows:
        refuse(f"{options.labels}: has {len(labels)} answers for {len(lines)} rows")
    return "\n".join(lines) + "\n", len(lines)


# ---- the command ----


def setting(options):
    out = options.out
    if options.form in TASKS:
        return f"[evaluate] tasks = {options.form}:{out}"
    if options.form in ("jsonl", "alpaca"):
        return f"[calibration] text = {options.form}:{out}"
    return f"[evaluate] text = {options.form if options.form != 'plain' else 'NAME'}:{out}"


def write(options, text):
    """Under a temporary name, then renamed."""
    out, part = Path(options.out), Path(f"{options.out}.part")
    if out.exists() and not options.force:
        refuse(f"{out}: exists, expected no such file; --force replaces it", USAGE)
    try:
        part.write_bytes(text.encode("utf-8"))
        os.replace(part, out)
    except OSError as error:
        part.unlink(missing_ok=True)
        refuse(f"{out}: {error.strerror}", SYSTEM)


def parse(arguments):
    forms = [*FIELDS, "alpaca", *TASKS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter, epilog="\n\n".join(__doc__.split("\n\n")[1:]))
    parser.add_argument("form", choices=forms, metavar="FORM", help=", ".join(forms))
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="what the hub ships")
    parser.add_argument("-o", "--out", required=True, help="the file for olica_mpi")
    parser.add_argument("--field", help="member that has the text (text; ptb: sentence)")
    parser.add_argument("--rows", type=int, default=0, help="the first so many rows alone")
    parser.add_argument("--join", default="\n\n", help=r"what stands between the rows of a text (\n\n); \n and \t are understood")
    parser.add_argument("--labels", help="piqa, winogrande: the file of answers beside the questions")
    parser.add_argument("--force", action="store_true", help="replaces the output")
    options = parser.parse_args(arguments)
    options.join = options.join.replace("\\n", "\n").replace("\\t", "\t")
    if options.rows < 0:
        parser.error("--rows is negative, expected a number from 1 on, or 0 for all")
    if options.labels and options.form not in ("piqa", "winogrande"):
        parser.error("--labels belongs to piqa and winogrande")
    return options


def main(arguments=None):
    options = parse(arguments)
    try:
        make = questions if options.form in TASKS else alpaca if options.form == "alpaca" else json_lines if options.form == "jsonl" else joined
        text, rows = make(options)
        write(options, text)
    except Refused as refused:
        print(f"convert.py: {refused}", file=sys.stderr)
        return refused.code
    except OSError as error:
        print(f"convert.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return INPUT if isinstance(error, (FileNotFoundError, IsADirectoryError)) else SYSTEM
    print(f"{options.out}: {rows} rows, {len(text.encode('utf-8'))} bytes; {setting(options)}")
    if options.form in TASKS and not options.rows and rows != TASKS[options.form][2]:
        print(f"convert.py: {rows} rows, the {TASKS[options.form][3]} split, which figures are published for, has {TASKS[options.form][2]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
