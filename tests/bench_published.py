#!/usr/bin/env python3
"""bench_published.py --code DIR --python PYTHON: this program and Olica's published Python code prune SmolLM2-135M
(../shared, the variant that the published code can read; 256 x 128 tokens, 20 %) on the same two cores in turn, and the ratio of their times.
DIR: a checkout of the published code; PYTHON: an interpreter with torch and the release of transformers that it asks for."""
import argparse, json, statistics, subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import SHARED, run_job, smollm2

CALIBRATION, EVALUATION = (SHARED / "conformance" / f"SmolLM2-135M.{name}.npy" for name in ("calibration", "evaluation"))
PUBLISHED = Path(__file__).resolve().parent / "bench" / "published.py"
CORES = 2


def published(options, model, precision):
    """The published code's own account of one run, on as many threads as we have ranks."""
    done = subprocess.run([options.python, PUBLISHED, options.code, model, CALIBRATION, precision, str(CORES)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{options.python} with {options.code}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(directory, model, precision):
    """Our report of one run, evaluation included, and the seconds of the job without it."""
    report = run_job(directory, CORES, {
        "model": {"path": model}, "calibration": {"tokens": CALIBRATION}, "compute": {"precision": precision},
        "evaluate": {"tokens": EVALUATION, "windows": 64}}, "--quiet", timeout=1800)
    return report, report["run"]["wall_s"] - next(p["max_s"] for p in report["phases"] if p["name"] == "evaluate")


def compare(options, directory, model, precision):
    theirs, mine = [], []
    for _ in range(options.runs):
        theirs.append(published(options, model, precision))
        mine += [ours(directory, model, precision) for _ in range(2)]
    prune, job, report = statistics.median(t["prune_s"] for t in theirs), statistics.median(s for _, s in mine), mine[0][0]
    same = theirs[0]["calibrated_layers"] == report["calibrated_layers"] and theirs[0]["parameters"] == report["parameters"]["pruned"]
    print(f"| {precision} | {prune:.1f} | {job:.1f} | {prune / job:.1f} | {'the same' if same else 'DIFFERENT'} | "
          f"{report['perplexity']['dense']:.2f}, {report['perplexity']['pruned']:.2f} |", flush=True)
    return theirs[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--runs", type=int, default=1, help="of the published code; of ours twice as many (default: 1)")
    options = parser.parse_args()
    if not CALIBRATION.exists():
        sys.exit("SmolLM2-135M: no ../shared")
    print("| precision | published, s | this program, s | ratio | layers and parameters | our perplexity, dense and pruned |\n"
          "| --- | ---: | ---: | ---: | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        model = smollm2(Path(directory) / "model", "--published")
        for precision in options.precisions:
            last = compare(options, Path(directory), model, precision)
    print(f"\npublished: its pruning alone, torch {last['torch']}, transformers {last['transformers']}, {CORES} threads; this program: the whole job less "
          f"evaluation, {CORES} ranks")


if __name__ == "__main__":
    main()
