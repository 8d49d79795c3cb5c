#!/usr/bin/env python3
"""figure.py [SVG]: draws the figure of the README. Prunes the demo model with every method of METHODS to every sparsity of
SPARSITIES on two ranks, Olica with one saved survey for all, prints a Markdown table of what came out, and has gnuplot
draw perplexity over the sparsity that was reached into doc/perplexity.svg (or SVG, with a PNG of the same beside it)."""
import json, subprocess, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import DEMO, ROOT, mpirun

WORK = ROOT / "build" / "figure"
METHODS = ("olica", "magnitude")
SPARSITIES = (0.1, 0.2, 0.3, 0.4)
# A colour and a point for each method: Okabe and Ito's scheme, which the colour-blind can tell apart.
STYLES = {"olica": ("#0072b2", 7), "magnitude": ("#d55e00", 5)}
PLOT = """set encoding utf8
set title "Demo model (3.2 million parameters): perplexity of 51 689 tokens after pruning"
set xlabel "reached sparsity: share of all parameters that was removed (%)"
set ylabel "perplexity (logarithmic; lower is better)"
set border 3
set tics nomirror out
set grid linecolor rgb "#dddddd" linetype 1
set key inside top left reverse Left spacing 1.3
set xrange [-1:42]
set logscale y
"""


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


def draw(curves, svg):
    lines = [PLOT]
    for method, points in curves.items():
        lines += [f"${method} << EOD", *(f"{x:.6g} {y:.6g}" for x, y in points), "EOD"]
    top = max(y for points in curves.values() for _, y in points)
    bottom = min(y for points in curves.values() for _, y in points)
    ticks = [m * 10**d for d in range(5) for m in (1, 2, 5)]
    lines += [f"set yrange [{bottom * 0.85:.6g}:{top * 1.2:.6g}]", f"set ytics ({', '.join(map(str, ticks))})"]
    plots = [f'${m} using 1:2 with linespoints linecolor rgb "{STYLES[m][0]}" linewidth 2 pointtype {STYLES[m][1]} pointsize 1 title "method = {m}"' for m in curves]
    for terminal, path in (('svg size 720,450 font "DejaVu Sans,14" background "white"', svg),
                           ('pngcairo size 1080,675 font "DejaVu Sans,15"', WORK / "perplexity.png")):
        lines += [f"set terminal {terminal}", f'set output "{path}"', "plot " + ", ".join(plots)]
    subprocess.run(["gnuplot"], input="\n".join([*lines, "unset output"]) + "\n", text=True, check=True)


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    curves = {method: curve([prune(method, sparsity) for sparsity in SPARSITIES]) for method in METHODS}
    print_table(curves)
    draw(curves, Path(sys.argv[1]) if sys.argv[1:] else ROOT / "doc" / "perplexity.svg")


if __name__ == "__main__":
    main()
