"""SmolLM2-135M at full size on 2 ranks: the published code's own figures and tensors, ours, and how the work and
the memory are shared. Takes minutes: `make check-full`."""
import json, re, subprocess, sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from helpers import mpirun, run_job, shared, write_config

COMPARE = Path(__file__).resolve().parent.parent / "conformance" / "compare.py"


def make_model(directory, *options):
    subprocess.run([sys.executable, shared("models", "SmolLM2-135M", "make_hf.py"), directory, *options], check=True)
    return directory


def sections(model, samples=256, windows=64, dtype="fp32", precision="fp32"):
    return {"model": {"path": model},
            "calibration": {"tokens": shared("conformance", "SmolLM2-135M.calibration.npy"), "samples": samples},
            "compute": {"precision": precision},
            "evaluate": {"tokens": shared("conformance", "SmolLM2-135M.evaluation.npy"), "windows": windows},
            "output": {"dtype": dtype}}


def judge(golden, report, *checkpoint, tolerance="2e-3"):
    done = subprocess.run([sys.executable, COMPARE, shared("conformance", golden), report, *checkpoint, "--tolerance", tolerance],
                          capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def check_shared_work(report, ranks, samples, model, sweeps=2):
    assert all(r["sequences"] <= -(-samples // ranks) for r in report["ranks"])
    assert sum(r["bytes_read"] for r in report["ranks"]) <= 1.1 * sweeps * (model / "model.safetensors").stat().st_size
    written = [r["bytes_written"] for r in report["ranks"]]
    assert max(written) <= 2 / ranks * sum(written)
    if ranks > 1:
        assert sum(r["eigenproblems"] > 0 for r in report["ranks"]) > 1
    phases = sum(p["mean_s"] for p in report["phases"] if "." not in p["name"])
    assert abs(phases / report["run"]["wall_s"] - 1) <= 0.05
    counted, estimate = report["memory"]["counted"]["max"], report["memory"]["estimate"]
    assert abs(estimate / counted - 1) <= 0.1, (estimate, counted)
    return counted


def test_published(tmp_path):
    """The variant that the published code can read, against what that code printed and wrote."""
    model = make_model(tmp_path / "model", "--published")
    report = run_job(tmp_path, 2, sections(model), timeout=3600)
    print("perplexity", report["perplexity"], "parameters", report["parameters"], "wall", report["run"]["wall_s"])
    judge("SmolLM2-135M.published.json", tmp_path / "job.json", tmp_path / "job.h5")
    assert report["parameters"]["pruned"] == 118492992
    counted, resident = (report["memory"][kind]["max"] for kind in ("counted", "resident"))
    print(f"counted {counted / 2**20:.1f} MiB, resident {resident / 2**20:.1f}")
    assert resident <= 1.25 * counted  # libraries take some MiB of their own, which count for more in small jobs


def test_native(tmp_path):
    model = make_model(tmp_path / "model")
    report = run_job(tmp_path, 2, sections(model), timeout=3600)
    print("perplexity", report["perplexity"], "parameters", report["parameters"], "wall", report["run"]["wall_s"])
    judge("SmolLM2-135M.native.json", tmp_path / "job.json")
    fp32_model = 4 * report["parameters"]["dense"]
    assert check_shared_work(report, 2, 256, model) < fp32_model / 2


def test_native_in_bf16(tmp_path):
    """Products in bf16: the golden's numbers at the tolerance of bf16, both perplexities within 1 % of it, the same layers."""
    model = make_model(tmp_path / "model")
    report = run_job(tmp_path, 2, sections(model, precision="bf16"), timeout=3600)
    print("perplexity", report["perplexity"], "by", report["run"]["kernel"], "wall", report["run"]["wall_s"])
    judge("SmolLM2-135M.native.json", tmp_path / "job.json", tolerance="3e-2")
    golden = json.loads(shared("conformance", "SmolLM2-135M.native.json").read_text())
    for which in "dense", "pruned":
        assert report["perplexity"][which] == pytest.approx(golden[which]["perplexity"], rel=1e-2)
    assert report["calibrated_layers"] == golden["calibrated_layers"]


def test_text(tmp_path):
    """WikiText-2 as text is its ids: their number, and the perplexity of the first 256 windows of 128, as published. The
    sample of Alpaca and C4 is the same at 1, 2 and 3 ranks, and its prompts begin as the template does."""
    model, dumps = make_model(tmp_path / "model"), []
    text = {"model": {"path": model},
            "calibration": {"text": f"alpaca:{shared('data', 'calib', 'alpaca_1k.json')}, jsonl:{shared('data', 'calib', 'c4_300.jsonl')}"},
            "evaluate": {"text": shared("data", "wikitext2", "test.txt")},
            "output": {"checkpoint": tmp_path / "c.h5", "report": ""}}
    for ranks in (1, 2, 3):
        done = mpirun(ranks, "--check", "--dump-tokens", tmp_path / f"{ranks}.npy", write_config(tmp_path / "check.ini", text))
        assert done.returncode == 0 and "2382 windows of 128 tokens, of 304978 in" in done.stdout, done.stdout + done.stderr
        dumps.append(np.load(tmp_path / f"{ranks}.npy"))
    assert dumps[0].shape == (256, 128) and all(np.array_equal(d, dumps[0]) for d in dumps)
    (tmp_path / "line").write_text(" ".join(map(str, dumps[0][5])))
    prompt = mpirun(1, "--detokenize", model, tmp_path / "line").stdout
    assert prompt.startswith("Below is an instruction that describes a task")
    evaluate = {"text": shared("data", "wikitext2", "test.txt"), "windows": 256}
    report = run_job(tmp_path, 2, {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": evaluate}, timeout=3600)
    assert abs(report["perplexity"]["model"] - 56.34) < 0.005 and report["perplexity"]["windows"] == 256


def test_tasks(tmp_path):
    """200 questions of each task: every log-likelihood to 1e-3 and every accuracy as PyTorch has them. At 1, 2 and 3 ranks
    the same bytes (of fewer questions)."""
    model = make_model(tmp_path / "model")
    golden = json.loads(Path(__file__).with_name("smollm2_tasks.json").read_text())
    files = {"boolq": "boolq_val", "piqa": "piqa_valid", "hellaswag": "hellaswag_val", "winogrande": "winogrande_dev",
             "arc_easy": "arc_easy_test", "arc_challenge": "arc_challenge_test", "openbookqa": "openbookqa_test"}
    tasks = ", ".join(f"{task}:{shared('data', 'zeroshot', name + '.jsonl')}" for task, name in files.items())

    def evaluate(ranks, limit):
        out = tmp_path / f"{ranks}.{limit}.jsonl"
        report = run_job(tmp_path, ranks, {"model": {"path": model}, "prune": {"method": "none"},
                                           "evaluate": {"tasks": tasks, "limit": limit}}, "--predictions", out, timeout=3600)
        return report, out.read_bytes()
    report, lines = evaluate(2, 200)
    found = [json.loads(line) for line in lines.splitlines()]
    expected = [ll for task in files for ll in golden[task]["log_likelihoods"]]
    worst = max(abs(a - b) for f, e in zip(found, expected, strict=True)
                for a, b in zip(f["dense"]["log_likelihoods"], e, strict=True))
    print("largest difference", worst, "questions a second", report["questions_per_s"]["model"], "mean", report["tasks"]["mean"]["model"])
    assert worst < 1e-3
    for task in files:
        assert report["tasks"][task]["n"] == 200
        for kind in ("acc", "acc_norm"):
            assert abs(report["tasks"][task]["model"][kind] - golden[task][kind]) < 1e-9
    assert len({evaluate(ranks, 8)[1] for ranks in (1, 2, 3)}) == 1


def test_memory_falls_with_ranks(tmp_path):
    """Counted memory of the rank that needs most, against --check's prediction; resident memory beside it."""
    model, peaks = make_model(tmp_path / "model"), []
    for ranks in (1, 2, 4):
        report = run_job(tmp_path, ranks, sections(model, 32, 16, "as-input"), timeout=3600)
        peaks.append(check_shared_work(report, ranks, 32, model))
        config = write_config(tmp_path / "check.ini", dict(sections(model, 32, 16), output={"checkpoint": tmp_path / "c.h5"}))
        done = mpirun(1, "--check", "--ranks", ranks, config)
        assert done.returncode == 0, done.stderr
        predicted = float(re.search(r"^memory +([0-9.]+) MiB a rank", done.stdout, re.M).group(1)) * 2**20
        print(f"{ranks} ranks: counted {peaks[-1] / 2**20:.1f} MiB, predicted {predicted / 2**20:.1f}, resident {report['memory']['resident']['max'] / 2**20:.1f}")
        assert abs(predicted / peaks[-1] - 1) <= 0.1
    assert peaks[0] > peaks[1] > peaks[2]
