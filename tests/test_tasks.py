"""The zero-shot tasks: every choice's log-likelihood against the judge, which runs every pair by itself, at every rank
count; answers, accuracies and standard errors from these; dense, pruned and checkpoint alike. The tokenizer's ids are
the bytes (and one merged pair), so that nothing here depends on tokenizing."""
import json, math, re

import numpy as np
import pytest
from helpers import DEMO, mpirun, run_job, shared, write_config
from judge import load_checkpoint, load_model, rms_norm, run_layer
from tiny_model import byte_ids, make_byte_model, make_ids

CONTEXT = 96
RANKS = [1, 2, 3, 4]
LONGROPE = {"rope_type": "longrope", "original_max_position_embeddings": 40, "short_factor": [1, 1.1, 1.2, 1.3], "long_factor": [2, 3, 4, 5]}
MERGED = 259  # " x": a continuation of one token
BOS = 2


# ---- the prompts and the scoring once more ----

def pairs(task, row):
    """[(context, continuation)] and the right one."""
    if task == "boolq":
        return [(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", c) for c in (" no", " yes")], int(row["answer"])
    if task == "piqa":
        return [(f"Question: {row['goal']}\nAnswer:", " " + row[s]) for s in ("sol1", "sol2")], row["label"]
    if task == "hellaswag":
        return [(row["ctx"], " " + e) for e in row["endings"]], row["label"]
    if task == "winogrande":
        before, behind = row["sentence"].split("_")
        return [(before + row[o], " " + behind.strip()) for o in ("option1", "option2")], int(row["answer"]) - 1
    context = row["question"] if task == "openbookqa" else f"Question: {row['question']}\nAnswer:"
    return [(context, " " + c) for c in row["choices"]], row["gold"]


def ids_of(text, bos):
    ids, merged = [i for i in (bos,) if i] + byte_ids(text, False), []
    for i in ids:
        if merged and merged[-1] == 3 + ord(" ") and i == 3 + ord("x"):
            merged[-1] = MERGED
        else:
            merged.append(i)
    return merged


def log_likelihood(m, context, continuation, bos=None):
    moved = len(context) - len(context.rstrip())
    context, continuation = context[:len(context) - moved], context[len(context) - moved:] + continuation
    ids = ids_of(context + continuation, bos)
    scored = min(len(ids) - len(ids_of(context, bos)), CONTEXT)
    ids = np.array(ids[-(CONTEXT + 1):])  # the last is no input
    x = m.w["embed_tokens"][ids[None, :-1]]
    for i in range(m.L):
        x, _ = run_layer(m, i, x)
    z = (rms_norm(m, x, m.w["norm"]) @ m.w["lm_head"].T)[0, -scored:]
    z = z - z.max(-1, keepdims=True)
    return float((z[np.arange(scored), ids[-scored:]] - np.log(np.exp(z).sum(-1))).sum())


def judged(m, rows, limit=None, bos=None):
    """A prediction of every question, as --predictions should have it."""
    out = []
    for task, questions in rows.items():
        for index, row in enumerate(questions[:limit]):
            choices, gold = pairs(task, row)
            ll = [log_likelihood(m, *pair, bos) for pair in choices]
            norm = [l / len(c[1:]) for l, (_, c) in zip(ll, choices)]
            out.append(dict(task=task, index=index, gold=gold, log_likelihoods=ll, prediction=int(np.argmax(ll)), prediction_norm=int(np.argmax(norm))))
    return out


# ---- tasks and models ----

def words(random, count):
    return " ".join("".join(chr(c) for c in random.choice([*range(97, 121), 0xE4, 0x20AC, 0x1F600], random.integers(1, 5))) for _ in range(count))


def make_rows(random):
    """Rows of the seven. Some pairs are longer than the context; some choices are one token, or the beginning of
    another; two are the same."""
    some = lambda most: words(random, random.integers(1, most))
    lists = lambda n, most: [some(most) for _ in range(n)]
    rows = {"boolq": [{"passage": words(random, n), "question": some(3), "answer": bool(n % 2)} for n in (1, 3, 8, 40)],
            "piqa": [{"goal": some(4), "sol1": some(5), "sol2": some(5) + " ", "label": i % 2} for i in range(5)],
            "hellaswag": [{"ctx": some(6), "endings": lists(4, 5), "label": i % 4} for i in range(7)],
            "winogrande": [{"sentence": f"{some(4)} _ {some(4)}", "option1": some(2), "option2": some(2), "answer": str(1 + i % 2)} for i in range(5)],
            "arc_easy": [{"question": some(4), "choices": lists(3 + i % 3, 3), "gold": i % 3} for i in range(6)],
            "arc_challenge": [{"question": some(4), "choices": ["x", "xx", "x y", some(3)], "gold": i} for i in range(3)],
            "openbookqa": [{"question": some(3) + ("", "  ", " \n\t", "\u00a0\u3000 ")[i], "choices": ["ab", "abc", "ab", some(25)], "gold": i} for i in range(4)]}
    rows["winogrande"][0]["sentence"] = "_ " + some(3)
    rows["hellaswag"][0]["ctx"] = words(random, 30)
    return rows


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks")
    rows = make_rows(np.random.default_rng(11))
    for task, questions in rows.items():
        (path / f"{task}.jsonl").write_text("\n".join(json.dumps(q, ensure_ascii=i % 2 == 0) for i, q in enumerate(questions)) + "\n\n")
    for name, config in ("llama", {}), ("mistral", {"model_type": "mistral", "sliding_window": 11}), ("longrope", {"rope_scaling": LONGROPE}):
        model = make_byte_model(path / name, config={"max_position_embeddings": CONTEXT, "bos_token_id": BOS} | config, bos=False)
        text = json.loads((model / "tokenizer.json").read_text())
        text["model"]["vocab"]["\u0120x"] = MERGED
        text["model"]["merges"] = ["\u0120 x"]
        (model / "tokenizer.json").write_text(json.dumps(text))
    make_ids(path / "calibration.npy", 6, 16, 260)
    return path, rows


def asked(rows, path):
    return ", ".join(f"{task}:{path}/{task}.jsonl" for task in rows)


def evaluate(where, model, ranks, tasks, name, *arguments, **keys):
    """The report and the predictions of an evaluation."""
    out = where / f"{name}.jsonl"
    report = run_job(where, ranks, {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"tasks": tasks, **keys}},
                     "--predictions", out, *arguments, name=name)
    return report, out.read_bytes()


def parsed(lines):
    return [json.loads(line) for line in lines.decode().splitlines()]


def check(found, expected, model="dense"):
    """Log-likelihoods to 1e-4, answers where they are not a tie."""
    assert [(f["task"], f["index"], f["gold"]) for f in found] == [(e["task"], e["index"], e["gold"]) for e in expected]
    for f, e in zip(found, expected):
        ll = f[model]["log_likelihoods"]
        assert ll == pytest.approx(e["log_likelihoods"], abs=1e-4), (f, e)
        assert f[model]["prediction"] == ll.index(max(ll)) and f[model]["prediction"] == e["prediction"]
        assert f[model]["prediction_norm"] == e["prediction_norm"]


# ---- tests ----

@pytest.mark.parametrize("model", ["llama", "mistral", "longrope"])
def test_log_likelihoods(room, model, tmp_path):
    """Equal to the judge's, and every byte the same at every rank count. With longrope the choices of a question may lie
    on both sides of the length from which all positions turn otherwise."""
    path, rows = room
    long = [{len(ids_of(a + b, None)) - 1 > LONGROPE["original_max_position_embeddings"] for a, b in pairs(task, row)[0]}
            for task, questions in rows.items() for row in questions]
    assert {True, False} in long and {True} in long and {False} in long
    expected, files = judged(load_model(path / model), rows), []
    for ranks in RANKS:
        report, lines = evaluate(tmp_path, path / model, ranks, asked(rows, path), f"r{ranks}")
        files.append(lines)
        check(parsed(lines), expected)
        check_report(report, expected, "model")
    assert all(lines == files[0] for lines in files)


def cut(rows, task, bos=None):
    """The pairs of a task that are too long, and the tokens they lose."""
    lost = [len(ids_of(a + b, bos)) - CONTEXT - 1 for row in rows[task] for a, b in pairs(task, row)[0]]
    return {"truncated": sum(n > 0 for n in lost), "tokens_cut": sum(n for n in lost if n > 0)}


def check_report(report, predictions, model):
    tasks, counted = report["tasks"], []
    for task in tasks.keys() - {"mean"}:
        own = [p for p in predictions if p["task"] == task]
        acc, norm = (np.mean([p[k] == p["gold"] for p in own]) for k in ("prediction", "prediction_norm"))
        score = tasks[task][model]
        assert tasks[task]["n"] == len(own) and score["acc"] == pytest.approx(acc) and score["acc_norm"] == pytest.approx(norm)
        assert score["stderr"] == pytest.approx(math.sqrt(acc * (1 - acc) / len(own)))
        assert score["stderr_norm"] == pytest.approx(math.sqrt(norm * (1 - norm) / len(own)))
        counted.append(acc if task in ("boolq", "winogrande") else norm)
    assert tasks["mean"][model] == pytest.approx(np.mean(counted))
    assert report["questions_per_s"][model] > 0


@pytest.mark.parametrize("bos, limit", [("yes", 2), ("no", 3), ("auto", 1)])
def test_bos_and_limit(room, bos, limit, tmp_path):
    """`yes` puts the model's BOS in front of every pair (a tokenizer that has none: config.json's); the first questions
    of every task."""
    path, rows = room
    some = {task: rows[task] for task in ("winogrande", "boolq", "openbookqa")}
    expected = judged(load_model(path / "llama"), some, limit, BOS if bos == "yes" else None)
    report, lines = evaluate(tmp_path, path / "llama", 2, asked(some, path), "some", bos=bos, limit=limit)
    check(parsed(lines), expected)
    assert [report["tasks"][t]["n"] for t in some] == [limit] * 3


def test_pruned_and_checkpoint(room, tmp_path):
    """Both columns of a pruning job: the dense one is the evaluation's, the pruned one that of the checkpoint that it
    wrote, evaluated alone, and the judge's of its tensors. The perplexity beside the tasks is the one without."""
    path, rows = room
    job = {"model": {"path": path / "llama"}, "calibration": {"tokens": path / "calibration.npy", "samples": 6, "length": 16},
           "prune": {"mlp_num": 1, "ratio": 0.25, "sparsity": 0.15}, "evaluate": {"tokens": path / "calibration.npy", "length": 16}}
    plain = run_job(tmp_path, 2, job, name="plain")
    assert "tasks" not in plain
    job["evaluate"]["tasks"] = asked(rows, path)
    report = run_job(tmp_path, 2, job, "--predictions", tmp_path / "both.jsonl", name="both")
    assert report["perplexity"] == plain["perplexity"]
    both = parsed((tmp_path / "both.jsonl").read_bytes())
    for ranks in (1, 3):
        dense, lines = evaluate(tmp_path, path / "llama", ranks, asked(rows, path), "dense")
        assert [p["dense"] for p in parsed(lines)] == [p["dense"] for p in both]
        pruned, lines = evaluate(tmp_path, tmp_path / "both.h5", ranks, asked(rows, path), "alone")
        for p, q in zip(parsed(lines), both):
            assert p["model"]["log_likelihoods"] == pytest.approx(q["pruned"]["log_likelihoods"], abs=1e-5)
        for task in rows:
            assert report["tasks"][task] == cut(rows, task) | {"n": len(rows[task]), "dense": dense["tasks"][task]["model"],
                                             "pruned": pruned["tasks"][task]["model"]}
    check(both, judged(load_checkpoint(tmp_path / "both.h5"), rows), "pruned")
    job["evaluate"]["dense"] = "no"
    only = run_job(tmp_path, 2, job, "--predictions", tmp_path / "only.jsonl", name="only")
    assert only["tasks"]["mean"] == {"pruned": report["tasks"]["mean"]["pruned"]}
    assert [p["pruned"] for p in parsed((tmp_path / "only.jsonl").read_bytes())] == [p["pruned"] for p in both]
    assert not any("dense" in p for p in parsed((tmp_path / "only.jsonl").read_bytes()))


@pytest.mark.parametrize("ranks", RANKS)
def test_what_does_not_fit_is_told(room, ranks, tmp_path):
    """A pair may fill the context and one token more. Longer ones are counted in the report and the table, and told
    once a task, by --check too; a choice that alone is too long is told apart."""
    path, _ = room
    rows = {"openbookqa": [{"question": "q" * n, "choices": ["y" * k, "z" * k], "gold": 0} for n, k in ((90, 6), (90, 5), (91, 6), (99, 20), (3, 96))],
            "arc_easy": [{"question": "q", "choices": ["y" * 80, "z"], "gold": 0}]}
    lost = {"openbookqa": {"truncated": 6, "tokens_cut": 2 * (1 + 23 + 3)}, "arc_easy": {"truncated": 1, "tokens_cut": 3}}
    for task in rows:
        (tmp_path / f"{task}.jsonl").write_text("\n".join(json.dumps(row) for row in rows[task]))
        assert cut(rows, task) == lost[task]
    report, lines = evaluate(tmp_path, path / "llama", ranks, asked(rows, tmp_path), "cut")
    check(parsed(lines), judged(load_model(path / "llama"), rows))
    for task in rows:
        assert report["tasks"][task].items() >= lost[task].items()
    own = [w for w in report["warnings"] if w["text"].startswith(tuple(rows))]
    said = [w["text"] for w in own]
    assert [w["count"] for w in own] == [1] * 3
    assert "openbookqa: 6 pairs are longer than the model's context of 96 tokens and one more: truncated, 54 tokens cut off" in said[0]
    assert "openbookqa: 2 choices alone do not fit" in said[1] and said[2].startswith("arc_easy: 1 pairs")
    config = write_config(tmp_path / "c.ini", {"model": {"path": path / "llama"}, "prune": {"method": "none"},
                                               "evaluate": {"tasks": asked(rows, tmp_path)}, "output": {"report": ""}})
    done = mpirun(ranks, "--check", config)
    assert done.returncode == 0 and done.stderr.count("54 tokens cut off") == 1
    assert re.search(r"^truncated +7 pairs, \d+ tokens cut off$", mpirun(ranks, "--quiet", config).stdout, re.M)


def test_line_ends_and_mark(room, tmp_path):
    """A byte order mark, CRLF and empty lines in a file of questions change nothing."""
    path, _ = room
    text = (path / "piqa.jsonl").read_bytes()
    (tmp_path / "dos.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n\r\n"))
    lines = [evaluate(tmp_path, path / "llama", 2, f"piqa:{file}", name)[1]
             for name, file in (("plain", path / "piqa.jsonl"), ("ended", tmp_path / "dos.jsonl"))]
    assert lines[0] == lines[1] and lines[0]


def published(task, row):
    """A row as the hubs have it; None: as it is."""
    if task == "hellaswag":
        first, _, rest = row["ctx"].partition(" ")
        return {"ind": 3, "activity_label": first, "ctx_a": f"[header] {rest}", "ctx_b": "", "ctx": rest, "split_type": "zeroshot", "endings":
                [f"  {e} [step]" for e in row["endings"]], "label": str(row["label"])}
    if task in ("arc_easy", "arc_challenge", "openbookqa"):
        letters = "ABCDE"[:len(row["choices"])]
        if task == "arc_challenge":
            return {"question": {"stem": row["question"], "choices": [{"text": c, "label": l} for c, l in zip(row["choices"], letters)]}, "answerKey": letters[row["gold"]]}
        return {"question_stem" if task == "openbookqa" else "question": row["question"], "choices": {"text": row["choices"], "label": list(letters)}, "answerKey": letters[row["gold"]]}
    if task == "boolq":
        return {"title": row["passage"][:3], "passage": row["passage"], "question": row["question"], "answer": row["answer"]}


def test_rows_as_published(room, tmp_path):
    """They score as the rows that lm-evaluation-harness makes of them, at any rank count, and the log says so."""
    path, rows = room
    done, raw = {}, {}
    for task in ("hellaswag", "arc_easy", "arc_challenge", "openbookqa", "boolq"):
        raw[task] = [published(task, row) for row in rows[task]]
        done[task] = [dict(row) for row in rows[task]]
        (tmp_path / f"{task}.jsonl").write_text("\n".join(map(json.dumps, raw[task])))
    for row, before in zip(done["hellaswag"], raw["hellaswag"]):
        row["ctx"] = f"{before['activity_label']}: {row['ctx'].partition(' ')[2]}"
        row["endings"] = [e + " " for e in row["endings"]]
    for row, before in zip(done["boolq"], raw["boolq"]):
        row["passage"] = f"{before['title']} -- {row['passage']}"
    expected = judged(load_model(path / "llama"), done)
    files = [evaluate(tmp_path, path / "llama", ranks, asked(raw, tmp_path), f"r{ranks}")[1] for ranks in (1, 2)]
    check(parsed(files[0]), expected)
    assert files[0] == files[1]
    config = write_config(tmp_path / "c.ini", {"model": {"path": path / "llama"}, "prune": {"method": "none"},
                                               "evaluate": {"tasks": asked(raw, tmp_path)}, "output": {"report": ""}})
    said = mpirun(2, "--check", config).stderr
    assert all(f"{task}.jsonl: {len(raw[task])} rows are as published" in said for task in raw)
    assert "no passage has" not in said
    config = write_config(tmp_path / "d.ini", {"model": {"path": path / "llama"}, "prune": {"method": "none"},
                                               "evaluate": {"tasks": asked(["boolq"], path)}, "output": {"report": ""}})
    assert mpirun(2, "--check", config).stderr.count('boolq: no passage has " -- " in it') == 1


def test_table_and_plan(room, tmp_path):
    """What --check says comes true: memory within a tenth. The table has a line a task, the mean, and how fast."""
    path, rows = room
    sections = {"model": {"path": path / "llama"}, "prune": {"method": "none"}, "evaluate": {"tasks": asked(rows, path)},
                "output": {"report": tmp_path / "r.json"}}
    config = write_config(tmp_path / "c.ini", sections)
    planned = mpirun(1, "--check", "--ranks", 2, config)
    assert planned.returncode == 0, planned.stderr
    questions, choices = sum(map(len, rows.values())), sum(len(pairs(t, q)[0]) for t in rows for q in rows[t])
    assert f"tasks        7 with {questions} questions of {choices} choices" in planned.stdout
    done = mpirun(2, "--quiet", config)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    predicted = float(re.search(r"^memory +([0-9.]+) MiB a rank", planned.stdout, re.M)[1]) * 2**20
    counted = report["memory"]["counted"]["max"]
    assert counted <= predicted <= 1.1 * counted + 2**18  # the plan's allowance for what is small
    for task in rows:
        score, norm = report["tasks"][task]["model"], task not in ("boolq", "winogrande")
        value, error = (score["acc_norm"], score["stderr_norm"]) if norm else (score["acc"], score["stderr"])
        assert re.search(rf"^{task} +{value:.4f} \+- {error:.4f} +acc{'_norm' * norm} of {len(rows[task])} questions$", done.stdout, re.M)
    assert re.search(rf"^mean of the 7 +{report['tasks']['mean']['model']:.4f}$", done.stdout, re.M)
    assert re.search(r"^questions a second +[0-9.]+$", done.stdout, re.M)
    done = mpirun(2, "--quiet", "--set", f"evaluate.tasks=piqa:{path}/piqa.jsonl", "--set", "output.overwrite=yes", config)
    assert re.search(r"^mean of only 1 ", done.stdout, re.M)


def test_the_files_themselves(tmp_path):
    """Every row of the seven benchmarks is a question."""
    files = {"boolq": ("boolq_val", 3270, 2), "piqa": ("piqa_valid", 1838, 2), "hellaswag": ("hellaswag_val", 10042, 4),
             "winogrande": ("winogrande_dev", 1267, 2), "arc_easy": ("arc_easy_test", 2376, 4),
             "arc_challenge": ("arc_challenge_test", 1172, 4), "openbookqa": ("openbookqa_test", 500, 4)}
    tasks = ", ".join(f"{task}:{shared('data', 'zeroshot', name + '.jsonl')}" for task, (name, _, _) in files.items())
    config = write_config(tmp_path / "c.ini", {"model": {"path": DEMO}, "prune": {"method": "none"}, "evaluate": {"tasks": tasks},
                                               "output": {"report": ""}})
    done = mpirun(2, "--check", config)
    assert done.returncode == 0, done.stderr
    assert f"7 with {sum(n for _, n, _ in files.values())} questions of 69106 choices" in done.stdout
