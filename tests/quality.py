#!/usr/bin/env python3
"""quality.py [OPTIONS]: the table of doc/quality.md. Compares the methods at equal parameters, with several seeds of the
calibration's sample, on a model and texts of ../shared or of yours:

    quality.py --seeds 3 --sparsities 0.2,0.33 --methods olica,flap,slimgpt [--model DIR] [--text NAME:FILE,...]

`refit` is compared in both shapes beside the listed methods. A figure is the excess perplexity over the dense model's, as
mean and spread (largest less smallest) over the seeds, and its ratio to Olica's. Reports stay in build/quality: an
interrupted table goes on where it was."""
import argparse, json, statistics, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import ROOT, SHARED, mpirun, smollm2, write_config

WORK = ROOT / "build" / "quality"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsities", default="0.2, 0.33")
    parser.add_argument("--methods", default="olica, flap, slimgpt", help="besides refit; olica must be among them")
    parser.add_argument("--model", help="default: SmolLM2-135M of ../shared")
    parser.add_argument("--text", default=f"wikitext2:{SHARED}/data/wikitext2/test.txt, tinystories:{SHARED}/data/calib/tinystories.txt")
    parser.add_argument("--calibration", default=f"alpaca:{SHARED}/data/calib/alpaca_1k.json, jsonl:{SHARED}/data/calib/c4_300.jsonl")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--set", action="append", default=[], help="more settings of every job")
    return parser.parse_args()


def rows(options, model, seed, name, methods, **own):
    """The pairs of one comparison, {(method, sparsity): row}, and the dense model's figures."""
    job = f"{name}.{seed}"
    config = write_config(WORK / f"{job}.ini", {
        "model": {"path": model}, "prune": {"method": methods, "sparsity": options.sparsities, **own},
        "calibration": {"text": options.calibration, "samples": options.samples, "length": 128, "seed": seed},
        "evaluate": {"text": options.text, "length": 128, "windows": options.windows}, "compute": {"precision": options.precision},
        "output": {"checkpoint": WORK / f"{job}.h5", "report": WORK / f"{job}.json"}, "restart": {"every": "off"}})
    if not (WORK / f"{job}.json").exists() or json.loads((WORK / f"{job}.json").read_text())["status"] != "ok":
        done = mpirun(options.ranks, "--quiet", *(f"--set={s}" for s in options.set), config, timeout=36000)
        assert done.returncode == 0, done.stderr
    summary = json.loads((WORK / f"{job}.json").read_text())
    for path in WORK.glob(f"{job}*.h5"):
        path.unlink()
    return {(r["method"], r["sparsity"]): r for r in summary["pairs"]}, summary["dense"]


def measure(options, model):
    """{label: {sparsity: [(row, dense) of each seed]}}"""
    table = {}
    for seed in range(1, options.seeds + 1):
        listed, dense = rows(options, model, seed, "methods", options.methods)
        for name, methods, own in (("uniform", "refit", {"shape": "uniform"}), ("layerwise", "refit", {"shape": "layerwise"})):
            found, _ = rows(options, model, seed, name, methods, **own)
            listed.update({(f"refit {name}", sparsity): row for (_, sparsity), row in found.items()})
        for (label, sparsity), row in listed.items():
            table.setdefault(label, {}).setdefault(sparsity, []).append((row, dense))
    return table


def excess(pairs, text):
    return [row["perplexity"][text] - dense["perplexity"][text] for row, dense in pairs]


def show(values):
    return f"{statistics.mean(values):.2f} ± {(max(values) - min(values)) / 2:.2f}"


def main():
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    model = options.model
    if not model:
        model = WORK / "SmolLM2-135M"
        if not model.exists():
            smollm2(model)
    table = measure(options, model)
    dense = next(iter(next(iter(table.values())).values()))[0][1]
    texts = list(dense["perplexity"])
    print("dense: " + ", ".join(f"{text} {dense['perplexity'][text]:.2f}" for text in texts))
    print("\n| sparsity | method | parameters | " + " | ".join(f"{t} | excess | of Olica's" for t in texts) + " | s |")
    print("|---:|---|---:|" + "---:|---:|---:|" * len(texts) + "---:|")
    for sparsity in sorted({s for columns in table.values() for s in columns}):
        for label, columns in table.items():
            pairs, cells = columns[sparsity], []
            for text in texts:
                ours, olicas = excess(pairs, text), excess(table["olica"][sparsity], text)
                cells += [f"{statistics.mean(row['perplexity'][text] for row, _ in pairs):.2f}", show(ours),
                          f"{statistics.mean(ours) / statistics.mean(olicas):.2f}"]
            seconds = statistics.median(row["wall_s"] for row, _ in pairs)
            print(f"| {sparsity} | {label} | {pairs[0][0]['parameters']} | " + " | ".join(cells) + f" | {seconds:.1f} |")


if __name__ == "__main__":
    main()
