#!/usr/bin/env python3
"""scaling-report.py [--weak] [--out PREFIX] REPORT.json...: a scaling study from the reports of olica_mpi's runs.

Runs with equal ranks, threads and nodes are repetitions of one case: medians. The case of fewest cores (ranks x threads)
is the base; its seconds stand beside every speed-up. All reports must be of the same work (--weak: of the same
calibration tokens per rank), model, precision and kernel. Only what was measured is shown: where ranks outnumbered the
cores of a node the times are shown in brackets and nothing is derived from them; calls and bytes hold.

Prints tables; writes PREFIX.csv (a line for each case and phase) and, where gnuplot is installed, PREFIX-time.png,
PREFIX-speedup.png, PREFIX-communication.png, PREFIX-volume.png. Needs nothing but Python."""
import argparse, csv, json, shutil, subprocess, sys
from collections import defaultdict
from statistics import median

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
    except (OSError, ValueError) as error:
        stop(f"{path}: {error}")
    except (KeyError, IndexError, TypeError) as error:
        stop(f"{path}: no report of olica_mpi with communication times ({error!r})")
    return report


def work(report, weak):
    """What has to be equal in all reports, by name."""
    settings, run = report["settings"], report["run"]
    tokens = settings["calibration"]["samples"] * settings["calibration"]["length"]
    evaluated = report.get("perplexity", {}).get("tokens", 0)
    return {"model": json.dumps(report["model"], sort_keys=True), "precision": run["precision"], "kernel": run["kernel"],
            "calibration tokens" + (" of a rank" if weak else ""): tokens / run["ranks"] if weak else tokens,
            "evaluation tokens" + (" of a rank" if weak else ""): round(evaluated / run["ranks"], -1) if weak else evaluated,
            **{"prune." + key: settings["prune"][key] for key in ("method", "sparsity", "mlp_num")}}


def check_same_work(paths, reports, weak):
    first = work(reports[0], weak)
    for path, report in zip(paths, reports):
        for name, value in work(report, weak).items():
            if value != first[name]:
                stop(f"{path}: {name} is {value}, expected {first[name]} as in {paths[0]}")


def job_row(report):
    """The whole job in the form of a phase. The finer timers lie inside phases and do not count again."""
    phases = [p for p in report["phases"] if "." not in p["name"]]
    total = {key: sum(p[key] for p in phases) for key in ("bytes", "comm_s", "comm_calls", "comm_bytes")}
    wall = report["run"]["wall_s"]
    return {"name": "job", "mean_s": wall, "max_s": wall, "comm_max_s": max(p["comm_max_s"] for p in phases), **total}


def medians(reports):
    """{phase: numbers} of the runs of one case; "job" comes first."""
    rows = defaultdict(list)
    for report in reports:
        for phase in (job_row(report), *report["phases"]):
            rows[phase["name"]].append(phase)
    keys = ("mean_s", "max_s", "bytes", "comm_s", "comm_max_s", "comm_calls", "comm_bytes")
    return {name: {key: median(p[key] for p in phases) for key in keys} for name, phases in rows.items()}


class Case:
    def __init__(self, key, reports):
        self.ranks, self.threads, self.nodes = key
        self.cores, self.runs = self.ranks * self.threads, len(reports)
        self.crowded = any(w["text"] == CROWDED for r in reports for w in r["warnings"])
        self.walls = sorted(r["run"]["wall_s"] for r in reports)
        self.memory = median(r["memory"]["resident"]["max"] for r in reports)
        self.read, self.written = (median(sum(rank[key] for rank in r["ranks"]) for r in reports)
                                   for key in ("bytes_read", "bytes_written"))
        self.phase = medians(reports)

    def compare(self, base, weak, name):
        """(speed-up, efficiency) of a phase against the base case; of none where there is nothing to compare."""
        mine, first = (case.phase.get(name, {}).get("max_s", 0) for case in (self, base))
        if self.crowded or base.crowded or mine <= 0 or first <= 0:
            return None, None
        more = self.cores / base.cores
        return (more * first / mine, first / mine) if weak else (first / mine, first / mine / more)


def make_cases(reports):
    groups = defaultdict(list)
    for report in reports:
        run = report["run"]
        groups[run["ranks"], run["threads"], run["nodes"]].append(report)
    return sorted((Case(key, group) for key, group in groups.items()), key=lambda c: (c.crowded, c.cores, c.ranks))


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


def seconds(case, value):
    return f"({value:.3f})" if case.crowded else f"{value:.3f}"


def print_table(head, rows):
    """In Markdown."""
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
        rows.append((c.ranks, c.threads, c.nodes, c.runs, seconds(c, job["mean_s"]), f"{c.walls[0]:.3f}-{c.walls[-1]:.3f}",
                     f"{base.phase['job']['mean_s']:.3f}", ratio(up), ratio(efficiency), f"{100 * job['comm_s'] / job['mean_s']:.1f}",
                     round(job["comm_calls"]), f"{job['comm_bytes'] / MIB / c.ranks:.1f}", f"{c.read / MIB:.1f}",
                     f"{c.written / MIB:.1f}", f"{c.memory / MIB:.1f}"))
    print_table(("ranks", "threads", "nodes", "runs", "job s", "min-max", "base s", "speed-up", "effic.", "comm %",
                 "calls", "MiB a rank", "MiB read", "written", "memory MiB"), rows)


def print_phases(cases, base, weak):
    rows = []
    for name in base.phase:
        for c in cases if name != "job" else ():
            phase = c.phase.get(name)
            if not phase or phase["max_s"] <= 0:
                continue
            up, efficiency = c.compare(base, weak, name)
            rows.append((name, c.ranks, c.threads, seconds(c, phase["max_s"]), f"{base.phase[name]['max_s']:.3f}", ratio(up),
                         ratio(efficiency), f"{100 * phase['comm_s'] / max(phase['mean_s'], 1e-9):.1f}", f"{phase['mean_s'] / phase['max_s']:.2f}",
                         round(phase["comm_calls"]), f"{phase['comm_bytes'] / MIB / c.ranks:.2f}"))
    print_table(("phase", "ranks", "threads", "slowest s", "base s", "speed-up", "effic.", "comm %", "mean/max", "calls", "MiB a rank"), rows)


def write_csv(path, cases, base, weak):
    with open(path, "w", newline="", encoding="utf8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("phase", "ranks", "threads", "nodes", "runs", "crowded", "mean_s", "max_s", "base_ranks", "base_threads", "base_s",
                      "speedup", "efficiency", "comm_s", "comm_max_s", "comm_calls", "comm_bytes", "bytes", "balance"))
        for c in cases:
            for name, p in c.phase.items():
                up, efficiency = c.compare(base, weak, name)
                out.writerow((name, c.ranks, c.threads, c.nodes, c.runs, int(c.crowded), p["mean_s"], p["max_s"], base.ranks, base.threads,
                              base.phase.get(name, {}).get("max_s", ""), "" if up is None else round(up, 4), "" if efficiency is None else round(efficiency, 4),
                              p["comm_s"], p["comm_max_s"], p["comm_calls"], p["comm_bytes"], p["bytes"],
                              round(p["mean_s"] / p["max_s"], 4) if p["max_s"] > 0 else ""))


def block(name, lines):
    return "\n".join((f"${name} << EOD", *(" ".join(map(str, line)) for line in lines), "EOD"))


def curves(cases, x, values, titles):
    """A datablock for each title and the plot command over them; values(case) gives a number for each title."""
    blocks, plots = [], []
    for i, title in enumerate(titles):
        points = [(x(c), values(c)[i]) for c in cases if values(c)[i] is not None]
        if points:
            blocks.append(block(f"d{i}", points))
            plots.append(f'$d{i} using 1:2 with linespoints title "{title}"')
    return blocks, plots


def plot(out, name, what, blocks, plots, extra=""):
    script = "\n".join([f'set terminal pngcairo size 900,600\nset output "{out}-{name}.png"', "set key outside", "set grid", "set logscale x 2",
                        *what, *blocks, "plot " + ", ".join([*plots, *([extra] if extra else [])])]) + "\n"
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True)
    if done.returncode:
        stop(f"gnuplot: {done.stderr.strip()}")


def make_plots(out, cases, base, weak):
    timed = [c for c in cases if not c.crowded]
    names = [n for n in base.phase if "." not in n]
    cores = lambda c: c.cores
    if timed:
        plot(out, "time", ['set xlabel "ranks x threads"', 'set ylabel "seconds of the slowest rank"', "set logscale y"],
             *curves(timed, cores, lambda c: [c.phase.get(n, {}).get("max_s") or None for n in names], names))
        ideal = f'x/{base.cores} with lines dashtype 2 title "ideal"'
        plot(out, "speedup", ['set xlabel "ranks x threads"', f'set ylabel "{"scaled " if weak else ""}speed-up against {base.ranks} x {base.threads}'
                              f' ({base.phase["job"]["mean_s"]:.2f} s)"'],
             *curves(timed, cores, lambda c: [c.compare(base, weak, n)[0] for n in names], names), ideal)
        plot(out, "communication", ['set xlabel "ranks x threads"', 'set ylabel "share of a phase spent in collectives, %"', "set yrange [0:100]"],
             *curves(timed, cores, lambda c: [100 * c.phase[n]["comm_s"] / c.phase[n]["mean_s"] if c.phase.get(n, {}).get("mean_s") else None for n in names], names))
    several = sorted((c for c in cases if c.ranks > 1), key=lambda c: c.ranks)
    if several:
        plot(out, "volume", ['set xlabel "ranks"', 'set ylabel "of a rank"', "set logscale y"],
             *curves(several, lambda c: c.ranks, lambda c: [c.phase["job"]["comm_calls"], c.phase["job"]["comm_bytes"] / MIB / c.ranks],
                     ["collective calls", "MiB through collectives"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT.json")
    parser.add_argument("--weak", action="store_true", help="the calibration tokens grow with the ranks")
    parser.add_argument("--out", default="scaling", metavar="PREFIX", help="of the files that are written")
    options = parser.parse_args()
    reports = [load(path) for path in options.reports]
    check_same_work(options.reports, reports, options.weak)
    cases = make_cases(reports)
    base = cases[0]
    least = min(c.runs for c in cases)
    model, run = reports[0]["model"], reports[0]["run"]
    print(f"{'weak' if options.weak else 'strong'} scaling: {model['family']}, {model['layers']} layers, hidden {model['hidden']}; {run['precision']} by {run['kernel']}")
    print(f"base: {base.ranks} ranks x {base.threads} threads, {base.phase['job']['mean_s']:.3f} s; medians of {least} or more runs"
          + ("" if least >= 5 else " (fewer than 5: take them as a look, not as a measurement)"))
    print("seconds are the slowest rank's; mean/max over ranks is the load balance")
    print("comm: collectives of the program itself, waiting included, without those of HDF5 and ScaLAPACK; (): ranks outnumber the cores\n")
    print_jobs(cases, base, options.weak)
    print_phases(cases, base, options.weak)
    write_csv(options.out + ".csv", cases, base, options.weak)
    if shutil.which("gnuplot"):
        make_plots(options.out, cases, base, options.weak)
    else:
        print("no gnuplot: no plots", file=sys.stderr)


if __name__ == "__main__":
    main()
