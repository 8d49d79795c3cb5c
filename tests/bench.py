#!/usr/bin/env python3
"""bench.py [RUNS]: times of the demo job on 1 and 2 ranks, run in turn, beside this machine's own fp32 product rate
in the same run; with ../shared SmolLM2-135M, the variant that the published code can read, in bf16 on 2 ranks beside the machine's
bf16 product rate; then tokenizers on WikiText-2, beside the `tokenizers` package where it is installed. Medians; ratios
are what holds on a noisy machine."""
import json, os, statistics, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import DEMO, OBJECTS, SHARED, mpirun, run_job, smollm2

PHASES = ("read", "survey", "collect", "solve", "cut", "advance", "write", "evaluate")


def gemm_rate(ranks):
    """GFLOP/s of a large fp32 product on every rank at once; and what is said of packed products, in fp32 and bf16."""
    done = mpirun(ranks, program=OBJECTS / "tests" / "bench" / "gemm")
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[0]), done.stdout.splitlines()[1:]


def once(ranks, directory, precision):
    report = run_job(directory, ranks, {
        "model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy"}, "prune": {"mlp_num": 2},
        "evaluate": {"tokens": DEMO / "evaluation.npy"}, "compute": {"precision": precision}}, "--quiet")
    phases = {p["name"]: p for p in report["phases"]}
    flops = sum(p["gflops"] * p["max_s"] for n, p in phases.items() if n in PHASES and "gflops" in p)
    return {**{n: phases[n]["mean_s"] for n in PHASES}, "wall": report["run"]["wall_s"], "gflop": flops}


def bf16_rate(ranks, directory):
    """GFLOP/s of a large packed bf16 product on every rank at once, all ranks together; 0: this processor has none."""
    done = mpirun(ranks, directory, program=OBJECTS / "tests" / "bench" / "machine")
    assert done.returncode == 0, done.stderr
    return ranks * json.loads(done.stdout)["bf16"]


def published(directory, model, ranks):
    """{phase: (seconds, GFLOP)} of the job of 256 x 128 tokens and 64 windows; "job" is the whole of it."""
    shared = SHARED / "conformance"
    report = run_job(directory, ranks, {
        "model": {"path": model}, "calibration": {"tokens": shared / "SmolLM2-135M.calibration.npy"}, "compute": {"precision": "bf16"},
        "evaluate": {"tokens": shared / "SmolLM2-135M.evaluation.npy", "windows": 64}}, "--quiet", timeout=1800)
    phases = {p["name"]: (p["max_s"], p.get("gflops", 0) * p["max_s"]) for p in report["phases"] if "." not in p["name"]}
    return {**phases, "job": (report["run"]["wall_s"], sum(flop for _, flop in phases.values()))}, report["perplexity"], report["run"]["kernel"]


def smollm2_in_bf16(runs, ranks=2):
    if not (SHARED / "conformance" / "SmolLM2-135M.calibration.npy").exists():
        print("SmolLM2-135M: no ../shared")
        return
    found, rates = [], []
    with tempfile.TemporaryDirectory() as directory:
        model = smollm2(Path(directory) / "model", "--published")
        for _ in range(runs):
            found.append(published(Path(directory), model, ranks))
            rates.append(bf16_rate(ranks, directory))
    rate, (_, perplexity, kernel) = statistics.median(rates), found[0]
    median = lambda phase: tuple(statistics.median(f[0][phase][i] for f in found) for i in (0, 1))
    print(f"SmolLM2-135M --published, 256 x 128, bf16 by {kernel}, {ranks} ranks, medians of {runs} runs; perplexity {perplexity['dense']:.3f}, "
          f"{perplexity['pruned']:.3f}\na large bf16 product runs at {rate:.0f} GFLOP/s on them\n")
    print("| phase | s | GFLOP/s | of the bf16 product's |\n| --- | ---: | ---: | ---: |")
    rows = [(name, *median(name)) for name in found[0][0]]
    (_, wall, flop), (_, apart, evaluated) = rows[-1], next(row for row in rows if row[0] == "evaluate")
    for name, seconds, done in [*rows, ("job less evaluate", wall - apart, flop - evaluated)]:
        speed = done / seconds if seconds else 0
        print(f"| {name} | {seconds:.2f} | {speed:.0f} | {speed / rate if rate else 0:.2f} |")


def tokenizer_rate(path, text):
    """MB/s of one core, encoding the text as a whole; the file is read once."""
    done = mpirun(1, path, text, program=OBJECTS / "tests" / "bench" / "tokenizer")
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[0])


def package_rate(path, text):
    """The same of the package, on one thread; None where it is not installed."""
    os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
    try:
        import tokenizers
    except ImportError:
        return None
    tokenizer, string = tokenizers.Tokenizer.from_file(str(path)), text.read_text(encoding="utf8")
    since = time.perf_counter()
    tokenizer.encode(string, add_special_tokens=False)
    return text.stat().st_size * 1e-6 / (time.perf_counter() - since)


def tokenizers_in_turn(runs):
    text = SHARED / "data" / "wikitext2" / "test.txt"
    for name in ("smollm2", "llama2"):
        path = SHARED / "data" / "tokenizers" / name / "tokenizer.json"
        if not path.exists() or not text.exists():
            print(f"tokenizer {name}: no ../shared")
            continue
        pairs = [(tokenizer_rate(path, text), package_rate(path, text)) for _ in range(runs)]
        ours = statistics.median(a for a, _ in pairs)
        line = f"tokenizer {name}, WikiText-2: {ours:.1f} MB/s on a core; the tokenizers package: "
        theirs = None if pairs[0][1] is None else statistics.median(b for _, b in pairs)
        print(line + ("not installed" if theirs is None else f"{theirs:.2f} MB/s, {ours / theirs:.1f} times slower"))


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    results, rates = {(ranks, precision): [] for ranks in (1, 2) for precision in ("fp32", "bf16")}, {1: [], 2: []}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(runs):
            for ranks, precision in results:
                results[ranks, precision].append(once(ranks, Path(directory), precision))
            for ranks in rates:
                rate, packed = gemm_rate(ranks)
                rates[ranks].append(rate)
    median = lambda ranks, key, precision="fp32": statistics.median(r[key] for r in results[ranks, precision])
    print(f"demo job, medians of {runs} runs, seconds\n{'phase':10} {'1 rank':>8} {'2 ranks':>8} {'ratio':>6} {'1, bf16':>8} {'2, bf16':>8}")
    for key in (*PHASES, "wall"):
        a, b = median(1, key), median(2, key)
        print(f"{key:10} {a:8.3f} {b:8.3f} {a / b if b else float('nan'):6.2f} {median(1, key, 'bf16'):8.3f} {median(2, key, 'bf16'):8.3f}")
    print("packed products on 2 ranks, the last run:", *packed, sep="\n  ")
    for ranks in rates:
        rate, job = statistics.median(rates[ranks]), median(ranks, "gflop") / median(ranks, "wall")
        print(f"{ranks} rank(s): the job runs at {job:.0f} GFLOP/s, a large fp32 product at {rate:.0f}: {job / rate:.2f} of it")
    smollm2_in_bf16(min(runs, 3))
    tokenizers_in_turn(min(runs, 3))


if __name__ == "__main__":
    main()
