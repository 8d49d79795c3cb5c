#!/usr/bin/env python3
"""test-traffic.py FILE: the table of test-nodes.sh. A line of FILE is a job over two hosts: link (bare or slow), layout (2+2),
report.json, bytes that the one host sent, bytes that the other sent. Seconds, calls and bytes stand beside model.py's; the exit
code says whether the bytes lie within 10 % of it.

model.py knows the phases of its traffic(), not start, write and restart, and not the weights among the bytes that a
report has. A slow link is one of 1 ms and 1.25 GB/s."""
import json, pathlib, sys

sys.dont_write_bytecode = True
import model

HERE = pathlib.Path(__file__).parent
NEAR = 0.1
LATENCY = {"bare": 1e-5, "slow": 1e-3}  # s
COLUMNS = ("link", "ranks", "job s", "collectives s", "in the model's phases", "model's", "calls", "in the model's phases", "model's",
           "MiB of collectives", "model's", "off", "MiB of the link each way", "model's", "off")


def each_way(report, moved):
    """Bytes that a host of two sends, the mean of both: half of the weights, which it has read for the other; its part of the sums
    over tokens, of which each goes to one of the hosts; what is broadcast, by either, over a tree of ranks that crosses
    the link about half as often as there are ranks; and all of what all ranks add up."""
    work = model.from_report(report)
    inside = model.traffic(model.from_report(dict(report, run=dict(report["run"], nodes=1))))
    weights = moved["read"][1] * work.node_ranks
    sums = sum(moved[phase][1] - inside[phase][1] for phase in ("survey", "solve")) * work.node_ranks
    broadcast = (inside["solve"][1] + inside["cut"][1]) * work.P / 2
    return (weights + sums + broadcast) / 2 + inside["survey"][1] + inside["collect"][1]


def network_seconds(work, link):
    machine = json.loads((HERE / "machine-class.json").read_text(encoding="utf8"))
    machine.update(ranks_per_node=work.node_ranks, latency_s=LATENCY[link], link_GB_s=1.25)
    return sum(terms[model.NETWORK] for terms in model.features(work, model.network(machine, work.P)).values())


def row(link, layout, path, *sent):
    report = json.loads(pathlib.Path(path).read_text(encoding="utf8"))
    work, phases = model.from_report(report), {p["name"]: p for p in report["phases"] if "." not in p["name"]}
    moved = model.traffic(work)
    large = [name for name, (_, volume) in moved.items() if volume * work.P > 1 << 15 and name != "read"]
    pairs = ((sum(phases[name]["comm_bytes"] for name in large), work.P * sum(moved[name][1] for name in large)),
             (sum(map(int, sent)) / 2, each_way(report, moved)))
    total = lambda key, names: sum(phases[name][key] for name in names)
    cells = [link, layout, f"{report['run']['wall_s']:.2f}", f"{total('comm_s', phases):.2f}", f"{total('comm_s', moved):.2f}",
             f"{network_seconds(work, link):.2f}", total("comm_calls", phases), total("comm_calls", moved), sum(calls for calls, _ in moved.values())]
    for found, expected in pairs:
        cells += [f"{found / 2**20:.2f}", f"{expected / 2**20:.2f}", f"{100 * (found / expected - 1):+.1f} %"]
    return cells, all(abs(found / expected - 1) <= NEAR for found, expected in pairs)


def main():
    rows = [row(*line.split()) for line in open(sys.argv[1], encoding="utf8")]
    model.print_table(COLUMNS, [cells for cells, _ in rows])
    sys.exit(not rows or not all(good for _, good in rows))


main()
