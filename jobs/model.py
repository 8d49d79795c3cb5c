#!/usr/bin/env python3
"""model.py: what a job of olica_mpi should cost, phase by phase, and what it did cost.

    model.py --machine MACHINE.json --fit REPORT.json... [--check REPORT.json...] [--save COEFFICIENTS.json --kind TEXT]
    model.py --coefficients amx --predict CLASS.json --model CONFIG.json --ranks 64,256,1024 --samples 4096

COEFFICIENTS: a file that --save has written, or amx or avx512: coefficients-amx.json or -avx512.json beside this script, where bench_model.py --save puts them.
CONFIG.json: of any model of a family with attention and a gated or plain FFN; or --shape 7b or 70b. A prediction is given with an interval
of 95 %: Student's t of the logarithms measured over predicted of whole jobs that the coefficients were not fitted to (--check, and each
job of --fit by coefficients fitted to the others), which --save keeps. It says how well the model fits jobs like those, on that machine;
what the class of machine assumes is not in it.
MACHINE.json: lines of build/release/tests/bench/machine for each number of ranks, run beside the jobs. Of repeated
jobs the medians count. Every phase is a sum
of terms, each the seconds that its work would take at the machine's own rates; COEFFICIENTS says how many times longer
the program takes (see TERMS). They are fitted to the reports of --fit, by least squares of relative errors, and judged by those
of --check. Formulas: features() and traffic(). doc/performance.md explains them. --fit needs NumPy."""
import argparse, json, math, sys
from pathlib import Path
from statistics import mean, median, stdev

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from scaling_methods import quantile

TERMS = {
    "products": "linear maps and attention, at the rate of a packed product in the job's precision",
    "sums": "AᵀA, AᵀB and the dropped neurons' outputs, at the same rate; adding them in fp64, at that of copying",
    "passes": "what else goes through memory: norms, RoPE, silu, residuals, scores; packing, rounding",
    "weights": "reading, checking and decoding the stored weights, at the rate of copying",
    "solvers": "eigenproblems and Cholesky solves, at the rate of an fp64 product",
    "files": "bytes of the checkpoint, at the rate of writing and syncing files",
    "datasets": "s for each of its datasets: created, written and verified by all ranks together",
    "calls": "s of a collective beyond the network's time: waiting for each other",
    "start": "s until MPI and the libraries have started, once a job",
}
NAMES = list(TERMS)
NETWORK = "network"  # a term of its own, with coefficient 1: calls at the time of the smallest collective, bytes at the rate of a large one
PHASES = ("start", "read", "survey", "solve", "collect", "cut", "advance", "write", "evaluate")
PIECE = 8 << 20  # bytes: tensors and panels come in such pieces
SMALL = 0.02     # phases below this share of the job are not fitted, nor judged
GRID = 2048      # order from which a problem gets a grid of ranks
LLAMA = {"7b": {"layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 32, "head": 128, "ffn": 11008, "vocabulary": 32000, "tied": False},
         "70b": {"layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 8, "head": 128, "ffn": 28672, "vocabulary": 32000, "tied": False}}


PLAIN_FFN = ("arcee", "starcoder2")  # two matrices, not three


def shape_of(path):
    """The sizes in a config.json, or in its text_config."""
    try:
        whole = json.loads(Path(path).read_text(encoding="utf8"))
        text = whole if "hidden_size" in whole else whole["text_config"]
        heads = text["num_attention_heads"]
        return {"layers": text["num_hidden_layers"], "hidden": text["hidden_size"], "heads": heads, "kv_heads": text.get("num_key_value_heads") or heads,
                "head": text.get("head_dim") or text["hidden_size"] // heads, "ffn": text["intermediate_size"], "vocabulary": text["vocab_size"],
                "tied": bool(text.get("tie_word_embeddings", whole.get("tie_word_embeddings", False))), "family": text.get("model_type", "")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"model.py: {path}: no config.json of a model with its sizes ({error!r})")


class Work:
    """Sizes of a job, from its report or for a prediction."""

    def __init__(self, model, settings, run, windows):
        self.__dict__.update(model)
        self.d, self.L, self.f, self.V = self.hidden, self.layers, self.ffn, self.vocabulary
        self.q, self.kv = self.heads * self.head, self.kv_heads * self.head
        self.samples, self.T = settings["calibration"]["samples"], settings["calibration"]["length"]
        self.windows, self.W = windows, settings["evaluate"]["length"]
        self.models = 1 + bool(settings["evaluate"]["dense"])
        self.node_ranks = math.ceil(run["ranks"] / run["nodes"])
        self.P, self.threads, self.nodes, self.bf16 = run["ranks"], run["threads"], run["nodes"], run["precision"] == "bf16"
        self.maps = 2 if model.get("family") in PLAIN_FFN else 3  # of the FFN
        self.numbers = self.q * self.d * 2 + self.kv * self.d * 2 + self.maps * self.d * self.f  # of a layer
        p, k = settings["prune"]["sparsity"], settings["prune"]["k"]
        self.calibrated, self.branch = settings["prune"]["mlp_num"], int(settings["prune"]["ratio"] * self.d)
        total = self.L * self.numbers + self.V * self.d * (1 if self.tied else 2)
        self.kept = 1 - total * p / self.L / self.numbers
        qk = 2 * p if p <= 0.4 else k * 2 * p / (1 + k)
        self.rank = [math.ceil((1 - qk) * self.d * n / (self.d + n)) for n in (self.q, self.kv)]
        self.dropped = (total * p / self.L - self.q * self.d * 2 * 2 * p / (1 + k) - 2 * self.q * self.d * qk) / (self.maps * self.d)

    def share(self, items):
        return math.ceil(items / self.P)


def forward(w, rates, sequences, T, kept=1.0):
    """Terms of so many sequences through one layer on a rank."""
    tokens = sequences * T
    products = tokens * (2 * w.numbers * kept + 2 * T * w.q) / rates["product"]
    passes = tokens * 4 * (8 * w.d + 4 * (w.q + w.kv) + 5 * w.f * kept + 3 * w.heads * T)
    packing = 6 * w.numbers * kept / w.node_ranks if w.bf16 else 0
    return {"products": products, "passes": (passes + packing) / rates["copy"]}


def sums(w, rates, sequences):
    """Of a ridge fit, on a rank."""
    return {"sums": sequences * (w.T * 3 * w.d**2 / rates["product"] + 1.5 * w.d**2 * 20 / rates["copy"])}


def ridge(d):
    return d**3 / 3 + 2 * d**3


def eigen(n, vectors):
    return 4 / 3 * n**3 + 2 * n**2 * vectors


def group(w, problems, n):
    """How many ranks share one of so many problems of order n."""
    return max(1, w.P // problems) if n >= GRID else 1


def solver_flops(w):
    """Of the busiest rank."""
    rotation = w.share(w.kv_heads) * (2 * w.head**2 * w.d * w.heads / w.kv_heads + 9 * w.head**3)
    lowrank = [2 * n * n * w.d + eigen(n, r) + 2 * r * n * w.d for n, r in zip((w.q, w.kv), w.rank)]
    pair = sum(lowrank) if w.P == 1 else max(lowrank) / group(w, 2, w.q)
    survey = math.ceil(w.L / w.P) * ridge(w.d)
    calibration = (ridge(w.d) + w.d**3 + eigen(w.d, w.branch) + 2 * w.d**2 * w.branch) / group(w, 1, w.d)
    return w.L * (rotation + pair) + survey + w.calibrated * calibration


def traffic(w):
    """{phase: (calls, bytes)} of a rank's collectives; nothing at one rank. Weights go from node to node, to every rank its part of them
    (in the background: the program does not book them), and d x d sums are added up over nodes, by one rank of each."""
    if w.P == 1:
        return {}
    between = w.nodes > 1
    stored = (2 * w.L * 2 * w.numbers + 2 * w.V * w.d * (2 + w.models)) / w.node_ranks if between else 0
    panels = max(16, math.ceil(4 * w.V * w.d / PIECE))
    fit = 8 * 1.5 * w.d**2 / w.node_ranks if between else 0
    factors = 4 * (w.rank[0] * (w.d + w.q) + w.rank[1] * (w.d + w.kv))
    energies = 8 * (2 * w.d + w.q + w.f)
    blocks = min(w.P, w.kv_heads)
    return {"read": (34 + 4 * w.L + 2 * (2 + w.models) * panels, stored),
            "survey": (8 + 13 * w.L + 3 * math.ceil(w.L / w.P), w.L * (fit + 8 * 4 * w.d)),
            "solve": (w.L * (14 + blocks) + 16 * w.calibrated,
                      w.L * (4 * w.kv_heads * w.head**2 + factors) + w.calibrated * (fit + 8 * w.d * w.branch)),
            "cut": (10 * w.L, w.L * 4 * w.kept * (w.f + w.kv)),
            "collect": (7 * w.L + 4 * w.calibrated, w.L * energies),
            "advance": ((4 if w.bf16 else 3) * w.L - 1, 4 * w.L),
            "evaluate": (5 + w.models * (w.L + (2 if w.bf16 else 1) * panels), 0)}


def features(w, machine):
    """{phase: {term: seconds at the machine's own rates}} of the busiest rank."""
    rates = {"product": 1e9 * machine["bf16" if w.bf16 else "fp32"], "fp64": 1e9 * machine["fp64"],
             "copy": 1e9 * machine["copy"], "file": 1e9 * machine["file"]}
    own, result = w.share(w.samples), {phase: dict.fromkeys((*NAMES, NETWORK), 0.0) for phase in PHASES}

    def add(phase, terms, times=1.0):
        for term, value in terms.items():
            result[phase][term] += times * value

    layer, head = forward(w, rates, own, w.T), {"products": w.share(w.windows) * w.W * 2 * w.d * w.V / rates["product"]}
    add("start", {"start": 1.0})
    add("read", {"weights": (2 * w.L * w.numbers + 3 * w.V * w.d) * 6 / w.node_ranks / rates["copy"]})
    add("survey", layer, w.L)
    add("survey", sums(w, rates, own), w.L)
    add("solve", {"solvers": solver_flops(w) / rates["fp64"]})
    add("collect", forward(w, rates, own, w.T, 1 - w.d * w.f / w.numbers), w.L)  # it stops at the neurons
    dropped = {"sums": own * w.T * 6 * w.d * w.dropped / rates["product"]}
    add("collect", sums(w, rates, own), w.calibrated)
    add("collect", dropped, w.calibrated)
    add("cut", {"passes": w.L * w.numbers * 16 / w.node_ranks / rates["copy"]})
    add("advance", forward(w, rates, own, w.T, w.kept), w.L - 1)
    tables = 1 if w.tied else 2
    add("write", {"files": 2 * (w.L * w.numbers * w.kept + w.V * w.d * tables) / rates["file"], "datasets": 13 * w.L + tables})
    for kept in (1.0, w.kept)[-w.models:]:
        add("evaluate", forward(w, rates, w.share(w.windows), w.W, kept), w.L)
        add("evaluate", head)
    for phase, (calls, volume) in traffic(w).items():
        rate = machine["reduce" if phase in ("survey", "solve") else "bcast"]
        add(phase, {NETWORK: calls * machine["allreduce"]["seconds"] + volume / (1e9 * rate["GB_s"]), "calls": calls})
    return result


def from_report(report):
    return Work(report["model"], report["settings"], report["run"], report.get("perplexity", {}).get("windows", 0))


def measured(report):
    return {p["name"]: p for p in report["phases"] if p["name"] in PHASES}


def load_cases(paths):
    """A report of every case: where there are several of one, with the medians of the phases' and the job's seconds."""
    cases = {}
    for path in paths:
        report = json.load(open(path, encoding="utf8"))
        settings, run = report["settings"], report["run"]
        key = json.dumps([report["model"], settings["calibration"]["samples"], settings["calibration"]["length"], settings["prune"],
                          report.get("perplexity", {}).get("tokens"), run["precision"], run["ranks"], run["threads"], run["nodes"]])
        cases.setdefault(key, []).append(report)
    for first, *more in cases.values():
        first["run"]["wall_s"] = median([first["run"]["wall_s"], *(r["run"]["wall_s"] for r in more)])
        others = [measured(r) for r in more]
        for name, phase in measured(first).items():
            phase["max_s"] = median([phase["max_s"], *(o[name]["max_s"] for o in others)])
    return [reports[0] for reports in cases.values()]


def machine_of(machines, report):
    run = report["run"]
    for machine in machines:
        if (machine["ranks"], machine["threads"]) == (run["ranks"], run["threads"]):
            return machine
    sys.exit(f"model.py: no machine measured with {run['ranks']} ranks x {run['threads']} threads")


def fit(machines, reports):
    """Least squares of relative errors, without negative coefficients: what would be one is 0."""
    try:
        import numpy as np
    except ImportError:
        sys.exit("model.py: --fit needs NumPy, which this Python does not have; --coefficients and --predict do without")
    lines, rest = [], []
    for report in reports:
        terms = features(from_report(report), machine_of(machines, report))
        for name, phase in measured(report).items():
            if phase["max_s"] > SMALL * report["run"]["wall_s"]:
                lines.append([terms[name][n] / phase["max_s"] for n in NAMES])
                rest.append(1 - terms[name][NETWORK] / phase["max_s"])
    lines, rest, used = np.array(lines), np.array(rest), list(range(len(NAMES)))
    while True:
        found = np.linalg.lstsq(lines[:, used], rest, rcond=None)[0]
        if (found >= 0).all():
            break
        del used[int(found.argmin())]
    values = np.zeros(len(NAMES))
    values[used] = found
    return dict(zip(NAMES, map(float, values)))


def errors(machines, fitted, checked, coefficients):
    """The logarithms measured over predicted of whole jobs, each by coefficients that it was not fitted to."""
    found = []
    for i, report in enumerate(fitted):
        others = fitted[:i] + fitted[i + 1:]
        found.append((report, fit(machines, others) if len(others) > 2 else None))
    found += [(report, coefficients) for report in checked]
    total = lambda report, known: sum(predict(features(from_report(report), machine_of(machines, report)), known).values())
    return [math.log(report["run"]["wall_s"] / total(report, known)) for report, known in found if known]


def summary(logs):
    """What --save keeps of the errors."""
    return {"jobs": len(logs), "mean": mean(logs) if logs else 0.0, "sd": stdev(logs) if len(logs) > 1 else None, "largest": max(map(abs, logs), default=None)}


def spread(error):
    """95 % of a new job's measured over predicted time, as factors; None: too few jobs."""
    if not error or error["jobs"] < 3:
        return None
    half = quantile(error["jobs"] - 1) * error["sd"] * math.sqrt(1 + 1 / error["jobs"])
    return math.exp(error["mean"] - half), math.exp(error["mean"] + half)


def tell_errors(error):
    found = spread(error)
    if not found:
        return "fewer than three jobs that the coefficients were not fitted to: no interval"
    return (f"{error['jobs']} jobs that the coefficients were not fitted to took {math.exp(error['mean']):.2f} times the predicted seconds (geometric mean), "
            f"at most {100 * (math.exp(error['largest']) - 1):.0f} % off; 95 % of a new one: {found[0]:.2f} to {found[1]:.2f} times")


def predict(terms, coefficients):
    return {phase: sum(coefficients.get(n, 1) * value for n, value in parts.items()) for phase, parts in terms.items()}


def print_table(head, rows):
    """In Markdown."""
    widths = [max(3, *(len(str(row[i])) for row in (head, *rows))) for i in range(len(head))]
    line = lambda cells: print("| " + " | ".join(str(c).rjust(width) for c, width in zip(cells, widths)) + " |")
    line(head)
    line(["-" * (width - 1) + ":" for width in widths])
    for row in rows:
        line(row)
    print()


def judge(title, machines, reports, coefficients):
    """Measured beside predicted; which phases lie within 25 %."""
    rows, good, count = [], 0, 0
    for report in reports:
        work = from_report(report)
        expected, moved = predict(features(work, machine_of(machines, report)), coefficients), traffic(work)
        wall = report["run"]["wall_s"]
        for name, phase in measured(report).items():
            if phase["max_s"] <= SMALL * wall:
                continue
            off = expected[name] / phase["max_s"] - 1
            count, good = count + 1, good + (abs(off) <= 0.25)
            mib = phase["comm_bytes"] / work.P / 2**20
            there = moved.get(name, (0, 0))
            rows.append((f"{work.d} x {work.L}", f"{work.samples} x {work.T}", report["run"]["precision"], work.P, name, f"{phase['max_s']:.3f}",
                         f"{expected[name]:.3f}", f"{100 * off:+.0f} %", f"{mib:.2f}", f"{there[1] / 2**20:.2f}", phase["comm_calls"], there[0]))
        rows.append((f"{work.d} x {work.L}", f"{work.samples} x {work.T}", report["run"]["precision"], work.P, "job", f"{wall:.3f}",
                     f"{sum(expected.values()):.3f}", f"{100 * (sum(expected.values()) / wall - 1):+.0f} %", "", "", "", ""))
    print(f"{title}: {good} of {count} phases (those above {100 * SMALL:.0f} % of their job) within 25 %\n")
    print_table(("hidden x layers", "tokens", "precision", "ranks", "phase", "measured s", "predicted s", "off", "MiB a rank", "predicted", "calls", "predicted"), rows)


def network(machine, ranks):
    """The class's machine at so many ranks: a tree of messages for small ones; large ones share a node's link."""
    nodes = -(-ranks // machine["ranks_per_node"])
    hops = math.log2(nodes) if nodes > 1 else 0
    small = machine["inside_s"] * math.log2(max(2, min(ranks, machine["ranks_per_node"]))) + machine["latency_s"] * 2 * hops
    large = machine["inside_GB_s"] if nodes == 1 else min(machine["inside_GB_s"], machine["link_GB_s"] / 2)
    return dict(machine, **{name: {"seconds": small, "GB_s": large} for name in ("bcast", "reduce", "allreduce")})


def print_prediction(machine, name, shape, ranks, samples, length, precision, coefficients, error):
    calibrated = min(6, shape["layers"] - 1)
    settings = {"calibration": {"samples": samples, "length": length}, "evaluate": {"length": length, "dense": True},
                "prune": {"sparsity": 0.2, "k": 3, "mlp_num": calibrated, "ratio": 0.03}}
    print(f"PREDICTION, not measured: {name}, {samples} x {length} tokens, {precision}, no evaluation, on {machine['name']}\n")
    factors = spread(error)
    rows, base = [], None
    coefficients = dict(coefficients, files=max(1.0, coefficients["files"]))  # a small file stays in a page cache here; there it is written
    for P in ranks:
        work = Work(shape, settings, {"ranks": P, "threads": machine["threads"], "nodes": -(-P // machine["ranks_per_node"]), "precision": precision}, 0)
        terms = features(work, network(machine, P))
        seconds = predict(terms, coefficients)
        shared = sum(coefficients.get(n, 1) * parts[n] for parts in terms.values() for n in ("calls", NETWORK))
        total = sum(seconds.values())
        base = base or (P, total)
        rows.append((P, -(-P // machine["ranks_per_node"]), *(f"{seconds[p]:.1f}" for p in PHASES if p != "evaluate"), f"{total:.1f}",
                     f"{factors[0] * total:.1f}-{factors[1] * total:.1f}" if factors else "-", f"{base[1]:.1f}",
                     f"{base[1] / total:.2f}", f"{base[1] / total * base[0] / P:.2f}", f"{100 * shared / total:.0f}"))
    print_table(("ranks", "nodes", *(p for p in PHASES if p != "evaluate"), "job s", "95 %", "base s", "speed-up", "effic.", "comm %"), rows)
    print(tell_errors(error) + "\n")


def load_coefficients(name):
    """(coefficients, errors) of a file, or of a kind of processor; a file of coefficients alone has no errors."""
    shipped = Path(__file__).resolve().parent / f"coefficients-{name}.json"
    try:
        found = json.loads((shipped if shipped.exists() else Path(name)).read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        sys.exit(f"model.py: {name}: no coefficients: neither a file that --save has written nor {shipped.name} beside this script, "
                 f"which `make bench-model BENCH='--save'` writes ({error})")
    return (found["coefficients"], found.get("error")) if "coefficients" in found else (found, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--machine", "--fit", "--check"):
        parser.add_argument(option, nargs="+", default=[], metavar="FILE.json")
    for option in ("--save", "--coefficients", "--predict"):
        parser.add_argument(option, metavar="FILE.json")
    parser.add_argument("--kind", default="", help="with --save: where and when it was measured")
    parser.add_argument("--model", metavar="CONFIG.json", help="of --predict, instead of --shape")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of --predict")
    parser.add_argument("--shape", choices=LLAMA, default="7b")
    parser.add_argument("--ranks", default="64,128,256,512,1024,2048,4096")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    load = lambda path: json.load(open(path, encoding="utf8"))
    machines, coefficients, error = [json.loads(line) for path in options.machine for line in open(path)], None, None
    checked = load_cases(options.check)
    if options.fit:
        reports = load_cases(options.fit)
        coefficients = fit(machines, reports)
        print_table(("coefficient", "value", "of"), [(n, f"{v:.3g}", TERMS[n]) for n, v in coefficients.items()])
        judge("fitted to", machines, reports, coefficients)
        error = summary(errors(machines, reports, checked, coefficients))
    elif options.coefficients:
        coefficients, error = load_coefficients(options.coefficients)
    if coefficients is None:
        parser.error("expected --fit or --coefficients")
    if options.check:
        judge("not fitted to", machines, checked, coefficients)
    if options.fit:
        print(tell_errors(error) + "\n")
    if options.save:
        with open(options.save, "w", encoding="utf8") as file:
            json.dump({"kind": options.kind, "machine": machines, "coefficients": coefficients, "error": error}, file, indent=2)
            file.write("\n")
    if options.predict:
        name, shape = (options.model, shape_of(options.model)) if options.model else (options.shape, LLAMA[options.shape])
        print_prediction(load(options.predict), name, shape, [int(r) for r in options.ranks.split(",")], options.samples, options.length, options.precision,
                         coefficients, error)


if __name__ == "__main__":
    main()
