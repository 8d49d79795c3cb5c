#!/usr/bin/env python3
"""scaling-report.py [--kind KIND] [--out PREFIX] REPORT.json...: a scaling study from the reports of olica_mpi's runs.

KIND: strong; weak (of the same calibration tokens per rank); weak-layers (of the same layers per rank); io and binding: the same
work by cases with a label, which stands behind @ in the report's name, as jobs/scaling.sh writes them.
Runs with equal ranks, threads, nodes and label are repetitions of one case: medians, and for three runs or more 95 % confidence
intervals: Student's t of the mean of the runs' logarithms; of ratios Welch's. The case of fewest cores (ranks x threads)
is the base; its seconds stand beside every speed-up. All reports must be of the same work, model, precision and kernel, and each a whole
run with a survey of its own or all with a saved one. Where ranks outnumbered the cores of a node the tables show the times in brackets
and derive nothing from them, and the plots have hollow points and dotted lines; calls and bytes hold.

Prints tables, and a paragraph of methods to paste; writes PREFIX.csv (a line for each case and phase) and, where gnuplot is installed, PREFIX-time, -speedup,
-communication, -calls and -volume (io: PREFIX-read and -write; binding: PREFIX-job), each as .png, .svg and .pdf. Needs nothing but Python."""
import argparse, csv, json, math, os, re, shutil, subprocess, sys
from collections import defaultdict
from statistics import median

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from scaling_methods import NAMES, interval, methods, ratio_interval

CROWDED = "ranks x threads on a node are more than its cores"
MIB = 2.0**20


def stop(message):
    sys.exit(f"scaling-report.py: {message}")


def load(path):
    try:
        with open(path, encoding="utf8") as file:
            report = json.load(file)
        if report["status"] != "ok":
            stop(f"{path}: the run's status is {report['status']}, expected ok")
        report["phases"][0]["comm_s"]
        if "restart" in report:
            stop(f"{path}: the run went on with an interrupted one, expected a whole run")
    except (OSError, ValueError) as error:
        stop(f"{path}: {error}")
    except (KeyError, IndexError, TypeError) as error:
        stop(f"{path}: no report of olica_mpi with communication times ({error!r})")
    return report


def work(report, kind):
    """What has to be equal in all reports, by name."""
    settings, run, weak = report["settings"], report["run"], kind == "weak"
    model = dict(report["model"])
    if kind == "weak-layers":
        model["layers"] /= run["ranks"]
    tokens = settings["calibration"]["samples"] * settings["calibration"]["length"]
    evaluated = report.get("perplexity", {}).get("tokens", 0)
    return {"model": json.dumps(model, sort_keys=True), "precision": run["precision"], "kernel": run["kernel"],
            "calibration tokens" + (" of a rank" if weak else ""): tokens / run["ranks"] if weak else tokens,
            "evaluation tokens" + (" of a rank" if weak else ""): round(evaluated / run["ranks"], -1) if weak else evaluated,
            "survey": report.get("survey", "none").split()[0],
            **{"prune." + key: settings["prune"][key] for key in ("method", "sparsity", "mlp_num")}}


def check_same_work(paths, reports, kind):
    first = work(reports[0], kind)
    for path, report in zip(paths, reports):
        for name, value in work(report, kind).items():
            if value != first[name]:
                stop(f"{path}: {name} is {value}, expected {first[name]} as in {paths[0]}")


def job_row(report):
    """The whole job in the form of a phase. The finer timers lie inside phases and do not count again."""
    phases = [p for p in report["phases"] if "." not in p["name"]]
    total = {key: sum(p[key] for p in phases) for key in ("bytes", "comm_s", "comm_calls", "comm_bytes")}
    wall = report["run"]["wall_s"]
    return {"name": "job", "mean_s": wall, "max_s": wall, "comm_max_s": max(p["comm_max_s"] for p in phases), **total}


KEYS = ("mean_s", "max_s", "bytes", "comm_s", "comm_max_s", "comm_calls", "comm_bytes")


def rows_by_phase(reports):
    """{phase: its row in each run of one case}; "job" comes first."""
    rows = defaultdict(list)
    for report in reports:
        for phase in (job_row(report), *report["phases"]):
            rows[phase["name"]].append(phase)
    return rows


class Case:
    def __init__(self, key, reports):
        self.ranks, self.threads, self.nodes, self.label = key
        self.cores, self.runs = self.ranks * self.threads, len(reports)
        self.crowded = any(w["text"] == CROWDED for r in reports for w in r["warnings"])
        self.walls = sorted(r["run"]["wall_s"] for r in reports)
        self.memory, self.counted = (median(r["memory"][kind]["max"] for r in reports) for kind in ("resident", "counted"))
        self.volume = {name: median(sum(rank[key] for rank in r["ranks"]) for r in reports)
                       for name, key in (("read", "bytes_read"), ("write", "bytes_written"))}
        self.rows = rows_by_phase(reports)
        self.phase = {name: {"name": name, **{key: median(row[key] for row in rows) for key in KEYS}} for name, rows in self.rows.items()}

    def compare(self, base, weak, name):
        """(speed-up, efficiency) of a phase against the base case; of none where there is nothing to compare."""
        mine, first = (case.phase.get(name, {}).get("max_s", 0) for case in (self, base))
        if self.crowded or base.crowded or mine <= 0 or first <= 0:
            return None, None
        more = self.grown(base, weak)
        return (more * first / mine, first / mine) if weak else (first / mine, first / mine / more)

    def grown(self, base, weak):
        """How many times the base's cores it has, or, where the layers grow with them, its ranks."""
        return self.ranks / base.ranks if weak == "weak-layers" else self.cores / base.cores

    def times(self, name):
        return [row["max_s"] for row in self.rows.get(name, ())]

    def efficiency_interval(self, base, weak):
        """Of the job."""
        if self is base or self.compare(base, weak, "job")[0] is None:
            return None
        found = ratio_interval(base.times("job"), self.times("job"))
        return found and tuple(x if weak else x * base.cores / self.cores for x in found)


def label_of(path):
    found = re.search(r"@([^/@]+)\.\d+\.json$", str(path))
    return found[1] if found else ""


def make_cases(paths, reports):
    groups = defaultdict(list)
    for path, report in zip(paths, reports):
        run = report["run"]
        groups[run["ranks"], run["threads"], run["nodes"], label_of(path)].append(report)
    number = lambda label: (0, int(label), "") if label.isdigit() else (1, 0, label)
    return sorted((Case(key, group) for key, group in groups.items()), key=lambda c: (c.crowded, c.cores, c.ranks, number(c.label)))


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


def seconds(case, value):
    return f"({value:.3f})" if case.crowded else f"{value:.3f}"


def between(found, digits=3):
    return f"{found[0]:.{digits}f}-{found[1]:.{digits}f}" if found else "-"


def print_table(head, rows):
    """In Markdown; without columns in which nothing stands."""
    kept = [i for i in range(len(head)) if not rows or any(row[i] != "" for row in rows)]
    head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
    widths = [max(3, *(len(str(row[i])) for row in (head, *rows))) for i in range(len(head))]
    line = lambda cells: print("| " + " | ".join(str(cell).rjust(width) for cell, width in zip(cells, widths)) + " |")
    line(head)
    line(["-" * (width - 1) + ":" for width in widths])
    for row in rows:
        line(row)
    print()


def print_jobs(cases, base, weak):
    rows = []
    for c in cases:
        job, (up, efficiency) = c.phase["job"], c.compare(base, weak, "job")
        rows.append((c.ranks, c.threads, c.nodes, c.label, c.runs, seconds(c, job["mean_s"]), f"{c.walls[0]:.3f}-{c.walls[-1]:.3f}", between(interval(c.walls)),
                     f"{base.phase['job']['mean_s']:.3f}", ratio(up), ratio(efficiency), between(c.efficiency_interval(base, weak), 2), f"{100 * job['comm_s'] / job['mean_s']:.1f}",
                     round(job["comm_calls"]), f"{job['comm_bytes'] / MIB / c.ranks:.1f}", f"{c.volume['read'] / MIB:.1f}",
                     f"{c.volume['write'] / MIB:.1f}", f"{c.memory / MIB:.1f}"))
    print_table(("ranks", "threads", "nodes", "label", "runs", "job s", "min-max", "95 %", "base s", "speed-up", "effic.", "95 %", "comm %",
                 "calls", "MiB a rank", "MiB read", "written", "memory MiB"), rows)


def print_phases(cases, base, weak):
    rows = []
    for name in base.phase:
        for c in cases if name != "job" else ():
            phase = c.phase.get(name)
            if not phase or phase["max_s"] <= 0:
                continue
            up, efficiency = c.compare(base, weak, name)
            rows.append((name, c.ranks, c.threads, c.label, seconds(c, phase["max_s"]), f"{base.phase[name]['max_s']:.3f}", ratio(up),
                         ratio(efficiency), f"{100 * phase['comm_s'] / max(phase['mean_s'], 1e-9):.1f}", f"{phase['mean_s'] / phase['max_s']:.2f}",
                         round(phase["comm_calls"]), f"{phase['comm_bytes'] / MIB / c.ranks:.2f}"))
    print_table(("phase", "ranks", "threads", "label", "slowest s", "base s", "speed-up", "effic.", "comm %", "mean/max", "calls", "MiB a rank"), rows)


def rates(case, name):
    """MB/s of reading or writing in each run, of all ranks together."""
    return [case.volume[name] / s / 1e6 for s in case.times(name) if s > 0]


def print_files(cases):
    print_table(("ranks", "stripes", "runs", "read s", "95 %", "MB/s", "write s", "95 %", "MB/s", "restart s", "95 %"),
                [(c.ranks, c.label, c.runs, *(x for name in c.volume for found in (rates(c, name),) for x in (
                    seconds(c, c.phase.get(name, {}).get("max_s", 0)), between(interval(c.times(name))), f"{median(found):.1f}" if found else "-")),
                  seconds(c, c.phase.get("restart", {}).get("max_s", 0)), between(interval(c.times("restart")))) for c in cases])


def write_csv(path, cases, base, weak):
    with open(path, "w", newline="", encoding="utf8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("phase", "ranks", "threads", "nodes", "runs", "crowded", "mean_s", "max_s", "base_ranks", "base_threads", "base_s",
                      "speedup", "efficiency", "comm_s", "comm_max_s", "comm_calls", "comm_bytes", "bytes", "balance",
                      "max_s_lowest", "max_s_highest", "memory_resident", "memory_counted", "label", "interval_low", "interval_high", "efficiency_low",
                      "efficiency_high"))
        for c in cases:
            for name, p in c.phase.items():
                up, efficiency = c.compare(base, weak, name)
                times = c.times(name)
                ends = c.efficiency_interval(base, weak) if name == "job" else None
                out.writerow((name, c.ranks, c.threads, c.nodes, c.runs, int(c.crowded), p["mean_s"], p["max_s"], base.ranks, base.threads,
                              base.phase.get(name, {}).get("max_s", ""), "" if up is None else round(up, 4), "" if efficiency is None else round(efficiency, 4),
                              p["comm_s"], p["comm_max_s"], p["comm_calls"], p["comm_bytes"], p["bytes"],
                              round(p["mean_s"] / p["max_s"], 4) if p["max_s"] > 0 else "", min(times), max(times),
                              *((c.memory, c.counted) if name == "job" else ("", "")), c.label, *(interval(times) or ("", "")), *(ends or ("", ""))))


# ---- plots -------------------------------------------------------------------------------------------------------

# A colour and a kind of point for each phase, the same in all plots: Paul Tol's "muted" scheme, which the colour-blind can tell
# apart too. The points are gnuplot's filled ones; one less is the hollow one.
STYLES = {"job": ("#000000", 7), "survey": ("#332288", 5), "evaluate": ("#cc6677", 9), "collect": ("#117733", 11), "advance": ("#88ccee", 13),
          "solve": ("#ddaa33", 15), "read": ("#882255", 7), "write": ("#44aa99", 5), "restart": ("#999933", 9), "start": ("#aa4499", 11), "cut": ("#777777", 13)}
OTHER = ("#bbbbbb", 15)
DASHES = (1, 4, "'_'", 5)  # of lines, by the number of threads; 3 is for crowded cases, 2 for the ideal
LEAST = 0.01  # share of the job below which a phase is left out, if it is in every case
TERMINALS = (("png", 1, 'pngcairo size 1200,800 font "DejaVu Sans,15" linewidth 1.5'),  # with the size of points, in each its own
             ("svg", 0.6, 'svg size 900,600 font "DejaVu Sans,14" background "white"'), ("pdf", 0.5, 'pdfcairo size 6.6in,4.4in font "DejaVu Sans,10"'))


def phases_of(cases, key):
    """The job, and the phases that count in some case; then those that do not."""
    names = [n for n in dict.fromkeys(n for c in cases for n in c.phase) if "." not in n and n != "job"]
    counts = lambda n: any(c.phase[n][key] > LEAST * c.phase["job"][key] for c in cases if n in c.phase)
    return ["job", *filter(counts, names)], [n for n in names if not counts(n)]


def block(name, lines):
    return "\n".join((f"${name} << EOD", *(" ".join(f"{x:.6g}" for x in line) for line in lines), "EOD"))


def points_of(case, name, x, value, spread):
    """[(x, median, lowest, highest)] of one phase of one case: nothing where there is nothing to show."""
    if name not in case.phase:
        return []
    middle, ends = value(case, case.phase[name]), [value(case, row) for row in (case.rows[name] if spread else ())]
    if middle is None or middle <= 0 or None in ends:
        return []
    return [(x(case), middle, min(ends, default=middle), max(ends, default=middle))]


def curves(cases, names, x, value):
    """Datablocks and plot commands: a curve for each phase and number of threads, and all points. Points of crowded cases are hollow,
    and lines to them dotted; another number of threads has other dashes. Phases stand a little beside each other, so that their bars do not hide one another."""
    blocks, plots, every = [], [], []
    low, high = x_range([x(c) for c in cases])
    width = high / low
    counts = sorted({c.threads for c in cases}, key=lambda t: -sum(c.threads == t for c in cases))
    spread = max(c.runs for c in cases) > 1
    for i, name in enumerate(names):
        colour, point = STYLES.get(name, OTHER)
        titled = False
        for threads in counts:
            aside = width ** (0.004 * (i - len(names) / 2)) if i else 1
            of = lambda crowded: sorted(p for c in cases if c.threads == threads and c.crowded == crowded
                                        for p in points_of(c, name, lambda c: aside * x(c), value, spread))
            free, crowded = of(False), of(True)
            for data, dash, shape in ((free, DASHES[counts.index(threads) % len(DASHES)], point), (free[-1:] + crowded if crowded else [], 3, None), (crowded, None, point - 1)):
                if not data:
                    continue
                at = f"d{len(blocks)}"
                blocks.append(block(at, data))
                if dash:
                    plots.append(f'${at} using 1:2 with lines linecolor rgb "{colour}" linewidth {2.5 if name == "job" else 1.5} dashtype {dash} notitle')
                if shape:
                    what = "using 1:2:3:4 with yerrorbars" if spread else "using 1:2 with points"
                    title = "notitle" if titled else f'title "{name}" noenhanced'
                    plots.append(f'${at} {what} linecolor rgb "{colour}" pointtype {shape} pointsize {1.3 if name == "job" else 1}*scale {title}')
                    titled = True
            every += free + crowded
    for threads, dash in zip(counts if len(counts) > 1 else (), DASHES):
        plots.append(f'NaN with lines linecolor rgb "#000000" dashtype {dash} title "{threads} thread{"s"[:threads > 1]} a rank"')
    if any(c.crowded for c in cases):
        plots.append('NaN with points linecolor rgb "#000000" pointtype 6 pointsize scale title "more than the cores"')
    return blocks, plots, every


def ticks(low, high):
    """1, 2, 5, 10, ... as far as they lie between; in steps of ten where that would be many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [m * 10.0**d for d in decades for m in ((1, 2, 5) if len(decades) <= 4 else (1,))]
    return [v for v in values if low * 0.999 <= v <= high * 1.001]


def axis(name, low, high, base, values):
    return [f"set logscale {name} {base}", f"set {name}range [{low:.6g}:{high:.6g}]", f"set {name}tics ({', '.join(f'{v:g}' for v in values)})"]


def powers(low, high):
    return [2.0**e for e in range(math.ceil(math.log2(low) - 0.01), math.floor(math.log2(high) + 0.01) + 1)]


def x_range(values):
    low, high = min(values), max(values)
    edge = max(1.15, (high / low) ** 0.06)
    return low / edge, high * edge


def x_axis(values, label):
    """Every number of ranks has its tick, unless they stand too close."""
    low, high = x_range(values)
    named = sorted(set(values))
    crowd = any(b / a < (high / low) ** 0.05 for a, b in zip(named, named[1:]))
    return [f'set xlabel "{label}"', *axis("x", low, high, 2, powers(low, high) if crowd else named)]


def plot(out, name, title, axes, blocks, plots):
    lines = ["set encoding utf8", f'set title "{title}" noenhanced', "set key outside right top reverse Left samplen 2 spacing 1.2", "set border 3",
             "set tics nomirror out", 'set grid linecolor rgb "#dddddd" linetype 1', "set errorbars small", *axes, *blocks]
    for i, (kind, scale, terminal) in enumerate(TERMINALS):
        lines += [f"set terminal {terminal}", f"scale = {scale}", f'set output "{out}-{name}.{kind}"', "replot" if i else "plot " + ", ".join(plots)]
    done = subprocess.run(["gnuplot"], input="\n".join([*lines, "unset output"]) + "\n", text=True, capture_output=True)
    if done.returncode:
        stop(f"gnuplot: {done.stderr.strip()}")


def share_of_collectives(case, phase):
    return 100 * phase["comm_s"] / phase["mean_s"] if phase["mean_s"] else None


def make_plots(out, cases, base, weak, work):
    kind, runs = {"": "Strong scaling", "weak": "Weak scaling", "weak-layers": "Weak scaling by layers"}[weak or ""], sorted({c.runs for c in cases})
    first = base.phase["job"]["max_s"]
    cores, ranks = (lambda c: c.cores), (lambda c: c.ranks)

    def title(what, left_out, of="time", timed=True):
        small = f"\\nleft out, below 1 % of the job's {of}: {', '.join(left_out)}" if left_out else ""
        note = (f", medians of {' to '.join(map(str, {runs[0]: 0, runs[-1]: 0}))} runs, bars: min–max" if runs[-1] > 1 else ", one run each") if timed else ""
        return f"{kind}: {what}\\n{work}{note}{small}"

    timed, rest = phases_of(cases, "max_s")
    x = x_axis([c.cores for c in cases], "ranks × threads")
    ideal = 'with lines linecolor rgb "#555555" linewidth 1.5 dashtype 2 title "ideal, job"'
    blocks, plots, points = curves(cases, timed, cores, lambda c, p: p["max_s"])
    low, high = min(p[2] for p in points) / 1.3, max(p[3] for p in points) * 1.3
    plot(out, "time", title("time of the job and of its phases", rest),
         [*x, 'set ylabel "time of the slowest rank (s)"', *axis("y", low, high, 10, ticks(low, high))], blocks,
         [*plots, f"{first:.6g}{'' if weak else f' * {base.cores} / x'} {ideal}"])

    def speedup(case, phase):
        start = base.phase.get(phase["name"], {}).get("max_s", 0)
        return start / phase["max_s"] * (case.grown(base, weak) if weak else 1) if start > 0 and phase["max_s"] > 0 else None

    blocks, plots, points = curves(cases, timed, cores, speedup)
    low, high = min(p[2] for p in points) / 1.2, max(max(p[3] for p in points), max(c.cores for c in cases) / base.cores) * 1.2
    plot(out, "speedup", title("scaled speed-up" if weak else "speed-up", rest),
         [*x, f'set ylabel "{"scaled " if weak else ""}speed-up against {base.ranks} × {base.threads} (job: {first:.2f} s)"',
          *axis("y", low, high, 2, powers(low, high))], blocks, [*plots, f"x / {base.cores} {ideal.replace(', job', '')}"])

    several = [c for c in cases if c.ranks > 1]
    if not several:
        return
    blocks, plots, points = curves(several, timed, cores, share_of_collectives)
    if points:
        plot(out, "communication", title("share of the time that goes into collectives, waiting included", rest),
             [*x_axis([c.cores for c in several], "ranks × threads"), 'set ylabel "share of the mean time of a rank (%)"', "set yrange [0:*]"], blocks, plots)
    for name, key, unit, label, value in (("calls", "comm_calls", "calls", "collective calls of a rank", lambda c, p: p["comm_calls"]),
                                    ("volume", "comm_bytes", "MiB", "MiB of a rank through collectives", lambda c, p: p["comm_bytes"] / MIB / c.ranks)):
        counted, rest = phases_of(several, key)
        blocks, plots, points = curves(several, counted, ranks, value)
        if points:
            plot(out, name, title(label, rest, unit, timed=False), [*x_axis([c.ranks for c in several], "ranks"), f'set ylabel "{label}"', "set yrange [0:*]"], blocks, plots)


def label_plot(out, name, title, label, of_labels, cases, values):
    """Bars of each number of ranks × threads side by side, one for each label: the median, from the least to the most."""
    shapes, labels = (list(dict.fromkeys(of(c) for c in cases)) for of in (lambda c: (c.ranks, c.threads), lambda c: c.label))
    width, blocks, plots = 0.8 / len(labels), [], []
    for i, one in enumerate(labels):
        points = [(shapes.index((c.ranks, c.threads)) + width * (i - (len(labels) - 1) / 2), median(v), min(v), max(v)) for c in cases if c.label == one for v in (values(c),) if v]
        if not points:
            continue
        colour = list(STYLES.values())[1 + i % (len(STYLES) - 1)][0]
        blocks.append(block(f"d{i}", points))
        plots += [f'$d{i} using 1:2:({0.9 * width:.4g}) with boxes fillstyle solid 0.8 noborder linecolor rgb "{colour}" title "{one}" noenhanced',
                  f'$d{i} using 1:2:3:4 with yerrorbars linecolor rgb "#000000" pointtype 0 notitle']
    ticks_at = ", ".join(f'"{r} × {t}" {i}' for i, (r, t) in enumerate(shapes))
    plot(out, name, title, ['set xlabel "ranks × threads"', f"set xtics ({ticks_at})", f"set xrange [-0.6:{len(shapes) - 0.4}]", f'set ylabel "{label}"', "set yrange [0:*]",
                            f'set key title "{of_labels}"'], blocks, plots)


def make_label_plots(out, cases, kind, work):
    """Of io the rates of reading and writing by stripes, of binding the job by binding. Crowded cases tell nothing of either."""
    cases = [c for c in cases if not c.crowded]
    if not cases:
        print("every case has more ranks than cores: no plots", file=sys.stderr)
        return
    least, most = min(c.runs for c in cases), max(c.runs for c in cases)
    note = "one run each" if most == 1 else f"medians of {least if least == most else f'{least} to {most}'} runs, bars: min–max"
    if kind != "io":
        label_plot(out, "job", f"{NAMES[kind]}: time of the job\\n{work}, {note}", "time of the slowest rank (s)", "--bind-to", cases, lambda c: c.times("job"))
        return
    for name, what in (("read", "reading the model"), ("write", "writing the checkpoint")):
        if any(rates(c, name) for c in cases):
            label_plot(out, name, f"{NAMES[kind]}: {what}\\n{work}, {note}", "MB/s of all ranks", "stripes", cases, lambda c, name=name: rates(c, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT.json")
    parser.add_argument("--kind", choices=NAMES, default="strong")
    parser.add_argument("--weak", dest="kind", action="store_const", const="weak", help="as --kind weak")
    parser.add_argument("--out", default="scaling", metavar="PREFIX", help="of the files that are written")
    options = parser.parse_args()
    reports = [load(path) for path in options.reports]
    weak = options.kind if options.kind.startswith("weak") else ""
    check_same_work(options.reports, reports, options.kind)
    cases = make_cases(options.reports, reports)
    base = cases[0]
    least = min(c.runs for c in cases)
    model, run = reports[0]["model"], reports[0]["run"]
    write_csv(options.out + ".csv", cases, base, weak)
    work = f"{model['family']}, {model['layers']} layers, hidden size {model['hidden']}, {run['precision']}"
    if not shutil.which("gnuplot"):
        print("no gnuplot: no plots", file=sys.stderr)
    elif any(c.label for c in cases):
        make_label_plots(options.out, cases, options.kind, work)
    else:
        make_plots(options.out, cases, base, weak, work)
    print(f"{NAMES[options.kind]}: {model['family']}, {model['layers']} layers, hidden {model['hidden']}; {run['precision']} by {run['kernel']}")
    print(f"base: {base.ranks} ranks x {base.threads} threads, {base.phase['job']['mean_s']:.3f} s; medians of {least} or more runs"
          + ("" if least >= 5 else " (fewer than 5: take them as a look, not as a measurement)"))
    print("seconds are the slowest rank's; mean/max over ranks is the load balance")
    print("comm: collectives of the program itself, waiting included, without those of HDF5 and ScaLAPACK; (): ranks outnumber the cores\n")
    print_jobs(cases, base, weak)
    if options.kind == "io":
        print_files(cases)
    print_phases(cases, base, weak)
    print(methods(options.kind, cases, base, reports))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # ... | head: the files are written, and the rest of the tables is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
