#!/usr/bin/env python3
"""quality.py [OPTIONS]: the table of doc/quality.md. Compares the methods at equal parameters, with several seeds of the
calibration's sample, on SmolLM2-135M of ../shared, on a model with biases made of it (make_biased.py), or on models of yours:

    quality.py --biased PYTHON --precision bf16 --seeds 3 --sparsities 0.2,0.33 --methods olica,flap,slimgpt [--model DIR]...

PYTHON is an interpreter with torch and transformers. `refit` is compared in both shapes beside the listed methods. A figure is
the mean over the seeds, with the smallest and the largest in brackets: the perplexity, and the excess perplexity over the dense
model's as a share of Olica's with the same seed. Calibration and second text are the first 200 and the last 100 rows of one file
of C4. Reports stay in build/quality: an interrupted table goes on where it was, a job whose config has changed runs again."""
import argparse, json, statistics, subprocess, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import ROOT, SHARED, mpirun, smollm2, write_config

WORK, BIASED = ROOT / "build" / "quality", Path(__file__).resolve().parent / "make_biased.py"
CALIB, ROWS = SHARED / "data" / "calib", 200  # rows of C4 that calibrate
REFIT = {"refit uniform": {"shape": "uniform"}, "refit layerwise": {"shape": "layerwise"}}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsities", default="0.2, 0.33")
    parser.add_argument("--methods", default="olica, flap, slimgpt", help="besides refit; olica must be among them")
    parser.add_argument("--model", action="append", default=[], type=Path, help="may be said again; default: SmolLM2-135M of ../shared")
    parser.add_argument("--biased", metavar="PYTHON", help="compare on the model with biases as well, made by this interpreter")
    parser.add_argument("--text", default=f"wikitext2:{SHARED}/data/wikitext2/test.txt, c4:{WORK}/c4.txt")
    parser.add_argument("--calibration", default=f"alpaca:{CALIB}/alpaca_1k.json, jsonl:{WORK}/c4.jsonl")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="more settings of every job")
    parser.add_argument("--listed", action="append", default=[], metavar="KEY=VALUE", help="more settings of [prune] for the listed methods")
    parser.add_argument("--refit", action="append", default=[], metavar="KEY=VALUE", help="more settings of [prune] for refit")
    return parser.parse_args()


def split_c4():
    """Rows that calibrate, and the others as a text."""
    rows = (CALIB / "c4_300.jsonl").read_text().splitlines(keepends=True)
    (WORK / "c4.jsonl").write_text("".join(rows[:ROWS]))
    (WORK / "c4.txt").write_text("\n\n".join(json.loads(row)["text"] for row in rows[ROWS:]))


def models(options):
    """The directories to compare on; what is not there is made."""
    plain, biased = WORK / "SmolLM2-135M", WORK / "SmolLM2-biased"
    if (not options.model or options.biased) and not plain.exists():
        smollm2(plain)
    if options.biased and not biased.exists():
        subprocess.run([options.biased, BIASED, plain, biased], check=True)
    return (options.model or [plain]) + [biased] * bool(options.biased)


def pairs_of(settings):
    return dict(setting.split("=", 1) for setting in settings)


def rows(options, model, seed, name, methods, **own):
    """The pairs of one comparison, {(method, sparsity): row}, and the dense model's figures."""
    base = WORK / f"{model.name}.{name.replace(' ', '-')}.{seed}"
    ini, report, checkpoint = (Path(f"{base}.{ending}") for ending in ("ini", "json", "h5"))
    sections = {
        "model": {"path": model.resolve()}, "prune": {"method": methods, "sparsity": options.sparsities, **own},
        "calibration": {"text": options.calibration, "samples": options.samples, "length": 128, "seed": seed},
        "evaluate": {"text": options.text, "length": 128, "windows": options.windows}, "compute": {"precision": options.precision},
        "output": {"checkpoint": checkpoint, "report": report, "overwrite": "yes"}, "restart": {"every": "off"}}
    for key, value in pairs_of(options.set).items():
        sections.setdefault(key.split(".")[0], {})[key.split(".")[1]] = value
    before = ini.read_text() if ini.exists() and report.exists() else None
    config = write_config(ini, sections)
    if before != config.read_text() or json.loads(report.read_text())["status"] != "ok":
        done = mpirun(options.ranks, "--quiet", config, timeout=36000)
        assert done.returncode == 0, done.stderr
    for path in WORK.glob(f"{base.name}.*h5"):
        path.unlink()
    summary = json.loads(report.read_text())
    if "pairs" not in summary:  # one method at one sparsity is a job, and no comparison
        summary = as_comparison(summary, methods.strip(), float(options.sparsities))
    return {(r["method"], r["sparsity"]): r for r in summary["pairs"]}, summary["dense"]


def as_comparison(report, method, sparsity):
    of = lambda which: {"parameters": report["parameters"][which], "perplexity": {text: x[which] for text, x in report["perplexities"].items()}}
    return {"dense": of("dense"), "pairs": [{"method": method, "sparsity": sparsity, "wall_s": report["run"]["wall_s"], **of("pruned")}]}


def measure(options, model):
    """{label: {sparsity: [row of each seed]}} and the dense model's figures."""
    table = {}
    for seed in range(1, options.seeds + 1):
        listed, dense = rows(options, model, seed, "methods", options.methods, **pairs_of(options.listed))
        for label, own in REFIT.items():
            found, _ = rows(options, model, seed, label, "refit", **own, **pairs_of(options.refit))
            listed.update({(label, sparsity): row for (_, sparsity), row in found.items()})
        for (label, sparsity), row in listed.items():
            table.setdefault(label, {}).setdefault(sparsity, []).append(row)
    return table, dense


def show(mean, values):
    return f"{mean:.2f} ({min(values):.2f}–{max(values):.2f})"


def print_table(name, table, dense):
    texts = list(dense["perplexity"])
    print(f"\n{name}, dense: {dense['parameters']} parameters; " + ", ".join(f"{text} {dense['perplexity'][text]:.2f}" for text in texts))
    print("\n| sparsity | method | parameters | " + " | ".join(f"{t} | excess / Olica's" for t in texts) + " | s |")
    print("|---:|---|---:|" + "---:|---:|" * len(texts) + "---:|")
    for sparsity in sorted({s for columns in table.values() for s in columns}):
        for label, columns in table.items():
            cells = []
            for text in texts:
                ours, olicas = ([row["perplexity"][text] for row in t[sparsity]] for t in (columns, table["olica"]))
                over = [(a - dense["perplexity"][text], b - dense["perplexity"][text]) for a, b in zip(ours, olicas)]
                cells += [show(statistics.mean(ours), ours), show(sum(a for a, _ in over) / sum(b for _, b in over), [a / b for a, b in over])]
            seconds = statistics.median(row["wall_s"] for row in columns[sparsity])
            print(f"| {sparsity} | {label} | {columns[sparsity][0]['parameters']} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


def main():
    options = arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    split_c4()
    for model in models(options):
        print_table(model.name, *measure(options, model))


if __name__ == "__main__":
    main()
