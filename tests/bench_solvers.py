#!/usr/bin/env python3
"""bench_solvers.py [LARGEST]: times the solvers' operations up to that order on one rank and on two, fits the model of
src/la/placement.c to them and prints its table and how well it holds; then the two forms of the orthogonal neuron
decomposition over the number of heads. --fit FILE ...: fits to saved lines instead of measuring."""
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import OBJECTS, mpirun

PROGRAM = OBJECTS / "tests" / "bench" / "solvers"
TERMS = ("cubic", "wanted", "square", "latency")
# What is fitted, in terms of these. A Gram's products and a ridge's Cholesky and substitution have a known share of each.
UNKNOWNS = {"eigen": np.eye(4), "gram": np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "ridge": np.array([[1 / 3, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])}


def measure(ranks, *arguments):
    done = mpirun(ranks, *arguments, program=PROGRAM, timeout=3600)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def terms(n, w, p):
    return np.array([n**3 / p, n**2 * w / p, n**2 / np.sqrt(p), n * np.log2(p)])


def fit(operation, points):
    """Coefficients that are not negative, of least relative squares: the most negative one is left out until none is."""
    unknowns = UNKNOWNS[operation]
    rows = np.array([unknowns @ terms(n, w, p) / s for n, w, p, s in points])
    used = [i for i in range(len(unknowns)) if rows[:, i].any()]
    while True:
        solution = np.linalg.lstsq(rows[:, used], np.ones(len(rows)), rcond=None)[0]
        if (solution >= 0).all():
            return solution @ unknowns[used]
        used.pop(int(np.argmin(solution * rows[:, used].max(axis=0))))


def print_fit(lines):
    points = {}
    for backend, operation, n, w, p, s in lines:
        points.setdefault((backend, operation), []).append((int(n), int(w), int(p), float(s)))
    for (backend, operation), these in points.items():
        if backend == "slepc":
            continue
        c = fit(operation, these)
        ratio = [terms(n, w, p) @ c / s for n, w, p, s in these]
        print(f"{backend:9} [{operation.upper()}] = {{{', '.join(f'{x:.2e}' if x else '0' for x in c)}}},  model / measured {min(ratio):.2f} to {max(ratio):.2f}")


def main():
    if sys.argv[1:2] == ["--fit"]:
        return print_fit([line.split() for f in sys.argv[2:] for line in Path(f).read_text().splitlines()])
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 3072
    lines = measure(1, "fit", largest) + measure(2, "fit", largest)
    print("backend operation n wanted ranks seconds", *(" ".join(line) for line in lines), sep="\n")
    print(f"model: {', '.join(TERMS)}")
    print_fit(lines)
    print("subspaces: back-end precision n wanted ranks seconds cpu again",
          *(" ".join(line) for ranks in (1, 2) for line in measure(ranks, "subspaces", largest)), sep="\n")
    print("ond, hidden 512, one rank: heads, fast s, standard s, ratio, difference of the products")
    for heads, fast, standard, off in measure(1, "ond", 512):
        print(heads, fast, standard, f"{float(standard) / float(fast):.1f}", off)


if __name__ == "__main__":
    main()
