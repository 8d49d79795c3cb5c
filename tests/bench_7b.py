#!/usr/bin/env python3
"""bench_7b.py: seconds and memory of single layers of LLaMA-7B's, 13B's and 70B's shape, with random weights (large_model.py).

Writes a model of a few such layers to build/bench (kept for the next time), prunes it by the real program on random ids,
and prints, from the reports' layer_times, the mean seconds of a layer by phase, and the memory of a rank. What is said of all
layers and of more tokens is extrapolated, and marked so. The sparsity is such that a layer loses as many parameters as
it would in the whole model at 0.2. No evaluation. `make bench-7b BENCH='--help'` lists the settings."""
import argparse, json, re, shutil, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import mpirun, write_config
from large_model import BENCH, SHAPES, make_ids, make_model, parameters

SPARSITY, CALIBRATED = 0.2, 6
WITH_TOKENS = ("survey", "collect", "advance")  # what grows with the calibration tokens; all else stays


def sparsity_of(name, layers):
    """What takes as many parameters of a layer as SPARSITY takes in the whole model, where tables are a smaller share."""
    shape = SHAPES[name]
    return round(SPARSITY * parameters(shape, shape["whole"]) / shape["whole"] / (parameters(shape, layers) / layers), 6)


def job(name, layers, options, model, output):
    """The config of a job on a model of so many layers."""
    ids = make_ids(model / f"ids-{options.samples[name]}x{options.length}.npy", options.samples[name], options.length)
    branches = {"mlp_num": min(CALIBRATED, layers - 1)} if options.method == "olica" else {}
    return write_config(model / f"{output}.ini", {
        "model": {"path": model}, "calibration": {"tokens": ids, "samples": options.samples[name], "length": options.length},
        "prune": {"method": options.method, "sparsity": sparsity_of(name, layers), **branches, **({"shape": "uniform"} if options.method == "refit" else {})},
        "compute": {"precision": options.precision, "threads": options.threads},
        "output": {"checkpoint": model / "pruned.h5", "report": model / f"{output}.json", "overwrite": "yes"}})


def run(name, layers, ranks, options):
    """The report; None and why, where the program finds that it does not fit."""
    model = make_model(name, layers)
    done = mpirun(ranks, "--quiet", job(name, layers, options, model, ranks), timeout=7200)
    (model / "pruned.h5").unlink(missing_ok=True)
    if done.returncode == 6:
        return None, done.stderr.splitlines()[0]
    assert done.returncode == 0, done.stderr
    return json.loads((model / f"{ranks}.json").read_text()), None


def planned(name, ranks, options):
    """Bytes of a rank that `--check` plans for the whole model, of which only the files' headers are there."""
    whole = SHAPES[name]["whole"]
    model = make_model(name, whole, hollow=True)
    done = mpirun(1, "--check", "--ranks", ranks, job(name, whole, options, model, ranks))
    shutil.rmtree(model)
    found = re.search(r"^memory +([\d.]+) MiB a rank", done.stdout, re.M)
    assert found, done.stderr
    return float(found.group(1)) * 2**20


def split(report):
    """By phase: (seconds of a plain layer, what calibration adds to one). The survey's fits are booked where they are
    solved, so that sweep counts by its mean; the last layer has no advance."""
    layers, calibrated = report["model"]["layers"], set(report["calibrated_layers"])
    times = [t for t in report["layer_times"]]
    phases = [p["name"] for p in report["phases"] if any(p["name"] + "_s" in t for t in times)]
    result = {}
    for phase in phases:
        key = phase + "_s"
        survey = sum(t.get(key, 0) for t in times if t["sweep"] == "survey") / layers
        cut = [t for t in times if t["sweep"] == "prune" and (phase != "advance" or key in t)]
        mean = lambda chosen: sum(t.get(key, 0) for t in chosen) / len(chosen) if chosen else 0
        with_branch, plain = [t for t in cut if t["layer"] in calibrated], [t for t in cut if t["layer"] not in calibrated]
        if phase == "advance" or not plain or not with_branch:
            result[phase] = survey + mean(cut), 0
        else:
            result[phase] = survey + mean(plain), max(0, mean(with_branch) - mean(plain))
    return result


def extrapolate(report, name, options):
    """Seconds of the whole model, and of 256 x 128 tokens: layers alike, phases with tokens in proportion to them."""
    whole, more = SHAPES[name]["whole"], 256 * 128 / (options.samples[name] * options.length)
    total = report["run"]["wall_s"] - sum(t["wall_s"] for t in report["layer_times"])  # start and tables
    for phase, (plain, branch) in split(report).items():
        if "." not in phase:
            grows = more if phase in WITH_TOKENS else 1
            total += grows * (plain * (whole - (phase == "advance")) + branch * CALIBRATED)
    return total


def print_line(*cells):
    print("| " + " | ".join([f"{cells[0]:34}"] + [f"{c:>12}" for c in cells[1:]]) + " |")


def show(name, layers, options):
    reports = {}
    for ranks in options.ranks[name]:
        report, why = run(name, layers, ranks, options)
        if report:
            reports[ranks] = report
        else:
            print(f"{name}-shape, {ranks} rank(s): {why}")
    if not reports:
        return
    first = next(iter(reports.values()))
    columns, parts = list(reports.values()), {r: split(report) for r, report in reports.items()}
    print(f"\n{name}-shape, {layers} layer(s), {options.method}, {options.samples[name]} x {options.length} tokens, {first['run']['precision']} by {first['run']['kernel']}, "
          f"{options.threads} thread(s) a rank\n")
    print_line("", *(f"{r} rank(s)" for r in reports))
    print_line("---", *("---:" for _ in reports))
    for phase in dict.fromkeys(p for part in parts.values() for p in part):
        print_line(f"{phase}, s a layer", *(f"{parts[r].get(phase, (0, 0))[0]:.2f}" for r in reports))
    phases = lambda r, i: sum(v[i] for p, v in parts[r].items() if "." not in p)
    print_line("all phases, s a layer", *(f"{phases(r, 0):.2f}" for r in reports))
    print_line("a calibrated layer: s more", *(f"{phases(r, 1):.2f}" if r_["calibrated_layers"] else "none ran" for r, r_ in reports.items()))
    print_line("job, s", *(f"{c['run']['wall_s']:.1f}" for c in columns))
    base = columns[0]["run"]["wall_s"] if options.ranks[name][0] in reports else None
    print_line(f"speed-up against {next(iter(reports))} rank(s)", *(f"{base / c['run']['wall_s']:.2f}" if base else "-" for c in columns))
    for key in ("counted", "resident"):
        print_line(f"memory of a rank, {key}, GiB", *(f"{c['memory'][key]['max'] / 2**30:.2f}" for c in columns))
    print_line("memory of a rank, estimate, GiB", *(f"{c['memory']['estimate'] / 2**30:.2f}" for c in columns))
    print_line(f"memory, plan of {SHAPES[name]['whole']} layers, GiB", *(f"{planned(name, r, options) / 2**30:.2f}" for r in reports))
    print_line(f"EXTRAPOLATED: {SHAPES[name]['whole']} layers, 256 x 128, s", *(f"{extrapolate(c, name, options):.0f}" for c in columns))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    integers = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("--shapes", default="7b,70b")
    parser.add_argument("--layers", type=int, default=2, help="of the 7B and 13B shapes; the 70B shape has one")
    parser.add_argument("--samples", type=int, default=32, help="calibration sequences of the 7B and 13B shapes; the 70B shape has a quarter")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--ranks", type=integers, default=[1, 2], help="of the 7B shape, as 1,2; the others have the last of them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--method", choices=["olica", "refit"], default="olica", help="refit: shape = uniform")
    parser.add_argument("--keep", action="store_true", help="the models stay in build/bench")
    options = parser.parse_args()
    options.samples = {"7b": options.samples, "13b": options.samples, "70b": max(1, options.samples // 4)}
    options.ranks = {"7b": options.ranks, "13b": options.ranks[-1:], "70b": options.ranks[-1:]}
    for name in options.shapes.split(","):
        layers = 1 if name == "70b" else options.layers
        show(name, layers, options)
        if not options.keep:
            shutil.rmtree(BENCH / f"{name}-{layers}")


if __name__ == "__main__":
    main()
