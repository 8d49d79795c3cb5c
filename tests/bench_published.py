#!/usr/bin/env python3
"""bench_published.py --code DIR --python PYTHON [--shape 7b]: this program and Olica's published Python code prune the same model
on the same two cores in turn, and the ratio of their times. The model: SmolLM2-135M (../shared, the variant that the published code can read;
256 x 128 tokens, 20 %), or with --shape two layers of LLaMA's shape with random weights (large_model.py; 16 x 128 tokens; a layer loses as many
parameters as in the whole model at 20 %), where our phases are told too.
DIR: a checkout of the published code; PYTHON: an interpreter with torch and the release of transformers that it asks for."""
import argparse, json, shutil, statistics, subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_7b import CALIBRATED, SPARSITY, sparsity_of
from helpers import SHARED, environment, run_job, smollm2
from large_model import BENCH, SHAPES, make_ids, make_model

PUBLISHED = Path(__file__).resolve().parent / "bench" / "published.py"
CORES = 2


class SmolLM2:
    """The model of 135 million parameters, with an evaluation."""
    sparsity, calibrated = SPARSITY, CALIBRATED

    def __init__(self, directory):
        self.ids, self.evaluation = (SHARED / "conformance" / f"SmolLM2-135M.{name}.npy" for name in ("calibration", "evaluation"))
        if not self.ids.exists():
            sys.exit("SmolLM2-135M: no ../shared")
        self.model = smollm2(directory / "model", "--published")

    def sections(self):
        return {"calibration": {"tokens": self.ids}, "evaluate": {"tokens": self.evaluation, "windows": 64}}


class Layers:
    """Some layers of a larger model's shape, without an evaluation."""

    def __init__(self, options):
        self.model, self.samples, self.length = make_model(options.shape, options.layers), options.samples, options.length
        self.ids = make_ids(self.model / f"ids-{options.samples}x{options.length}.npy", options.samples, options.length)
        self.sparsity, self.calibrated = sparsity_of(options.shape, options.layers), min(CALIBRATED, options.layers - 1)

    def sections(self):
        return {"calibration": {"tokens": self.ids, "samples": self.samples, "length": self.length},
                "prune": {"sparsity": self.sparsity, "mlp_num": self.calibrated}}


def published(options, case, precision):
    """The published code's own account of one run, on as many threads as we have ranks."""
    command = [options.python, PUBLISHED, options.code, case.model, case.ids, precision, CORES, case.sparsity, case.calibrated]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(OMP_NUM_THREADS=CORES, OMP_WAIT_POLICY="passive"))
    if done.returncode:
        sys.exit(f"{options.python} with {options.code}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(directory, case, precision):
    """Our report of one run, evaluation included, and the seconds of the job without it."""
    report = run_job(directory, CORES, {"model": {"path": case.model}, "compute": {"precision": precision}, **case.sections()}, "--quiet", timeout=3600)
    return report, report["run"]["wall_s"] - sum(p["max_s"] for p in report["phases"] if p["name"] == "evaluate")


def compare(options, directory, case, precision):
    """Prints a line of the table. Returns (the published code's account, our report) of the first runs."""
    theirs, mine = [], []
    for _ in range(options.runs):
        theirs.append(published(options, case, precision))
        mine += [ours(directory, case, precision) for _ in range(2)]
    prune, job, report = statistics.median(t["prune_s"] for t in theirs), statistics.median(s for _, s in mine), mine[0][0]
    same = theirs[0]["calibrated_layers"] == report["calibrated_layers"] and theirs[0]["parameters"] == report["parameters"]["pruned"]
    perplexity = "{dense:.2f}, {pruned:.2f}".format(**report["perplexity"]) if "perplexity" in report else "-"
    print(f"| {precision} | {prune:.1f} | {job:.1f} | {prune / job:.2f} | {theirs[0]['cpu_s']:.0f}, {report['run']['cpu_s']:.0f} | "
          f"{'the same' if same else 'DIFFERENT'} | {perplexity} |", flush=True)
    return theirs[0], report


def phases(reports):
    """Our phases beside each other, by precision."""
    names = dict.fromkeys(p["name"] for report in reports.values() for p in report["phases"])
    print("\n| phase of this program, s | " + " | ".join(reports) + " |\n| --- |" + " ---: |" * len(reports))
    for name in names:
        cells = [sum(p["mean_s"] for p in report["phases"] if p["name"] == name) for report in reports.values()]
        print(f"| {name} | " + " | ".join(f"{s:.1f}" for s in cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--runs", type=int, default=1, help="of the published code; of ours twice as many (default: 1)")
    parser.add_argument("--shape", choices=list(SHAPES), help="layers of this shape instead of SmolLM2-135M")
    parser.add_argument("--layers", type=int, default=2, help="of the shape")
    parser.add_argument("--samples", type=int, default=16, help="of the shape's calibration")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--keep", action="store_true", help="the shape's model stays in build/bench")
    options = parser.parse_args()
    BENCH.mkdir(parents=True, exist_ok=True)
    reports = {}
    with tempfile.TemporaryDirectory(dir=BENCH) as directory:
        case = Layers(options) if options.shape else SmolLM2(Path(directory))
        print("| precision | published, s | this program, s | ratio | processors' seconds of both | layers and parameters | our perplexity, dense and pruned |\n"
              "| --- | ---: | ---: | ---: | ---: | --- | --- |", flush=True)
        for precision in options.precisions:
            last, reports[precision] = compare(options, Path(directory), case, precision)
    print(f"\npublished: its pruning alone, torch {last['torch']}, transformers {last['transformers']}, {CORES} threads; this program: the whole job less "
          f"evaluation, {CORES} ranks; processors' seconds of ours are of the whole first job")
    if options.shape:
        print(f"{options.layers} layers of {options.shape}'s shape, {options.samples} x {options.length} tokens, sparsity {case.sparsity}")
        phases(reports)
        if not options.keep:
            shutil.rmtree(case.model)


if __name__ == "__main__":
    main()
