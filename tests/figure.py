#!/usr/bin/env python3
"""figure.py [SVG]: draws the figure of the README. Prunes the demo model with every method of METHODS to every sparsity of
SPARSITIES on two ranks, Olica with one saved survey for all, prints a Markdown table of what came out, and has
`olica_mpi --plot` draw it: its picture `perplexity` becomes doc/perplexity.svg (or SVG)."""
import json, shutil, subprocess, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import BINARY, DEMO, ROOT, mpirun

WORK = ROOT / "build" / "figure"
METHODS = ("olica", "magnitude")
SPARSITIES = (0.1, 0.2, 0.3, 0.4)


def config(method):
    """The demo's job; settings of another method would be refused."""
    lines = (DEMO / "config.ini").read_text().splitlines()
    path = WORK / f"{method}.ini"
    path.write_text("\n".join(line for line in lines if method == "olica" or not line.startswith("mlp_num")) + "\n")
    return path


def prune(method, sparsity):
    report = WORK / f"{method}-{sparsity}.json"
    settings = {"model.path": DEMO, "calibration.tokens": DEMO / "calibration.npy", "evaluate.tokens": DEMO / "evaluation.npy",
                "prune.method": method, "prune.sparsity": sparsity, "output.checkpoint": WORK / "pruned.h5", "output.report": report,
                "calibration.save": WORK / "survey.h5" if method == "olica" else "", "restart.every": "off"}
    done = mpirun(2, "--quiet", *(f"--set={name}={value}" for name, value in settings.items()), config(method), timeout=3600)
    assert done.returncode == 0, done.stderr
    return report


def load(report):
    return json.loads(report.read_text())


def curve(reports):
    """(reached sparsity in per cent, perplexity), from the dense model on."""
    return [(0.0, reports[0]["perplexity"]["dense"]), *((100 * r["parameters"]["sparsity_reached"], r["perplexity"]["pruned"]) for r in reports)]


def print_table(curves):
    dense = curves[METHODS[0]][0][1]
    print("| sparsity asked for |" + "".join(f" {m}: reached | perplexity |" for m in METHODS))
    print("|---:|" + "---:|---:|" * len(METHODS))
    print("| dense |" + f" 0 % | {dense:.2f} |" * len(METHODS))
    for i, sparsity in enumerate(SPARSITIES, 1):
        print(f"| {sparsity} |" + "".join(f" {curves[m][i][0]:.1f} % | {curves[m][i][1]:.2f} |" for m in METHODS))


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    reports = {method: [prune(method, sparsity) for sparsity in SPARSITIES] for method in METHODS}
    print_table({method: curve(list(map(load, paths))) for method, paths in reports.items()})
    subprocess.run([BINARY, "--plot", WORK / "pictures", *(path for paths in reports.values() for path in paths)], check=True)
    shutil.copy(WORK / "pictures" / "perplexity.svg", sys.argv[1] if sys.argv[1:] else ROOT / "doc" / "perplexity.svg")


if __name__ == "__main__":
    main()
