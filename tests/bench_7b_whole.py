#!/usr/bin/env python3
"""bench_7b_whole.py: the whole job on a model of LLaMA-7B's shape, in shards as hubs ship it, with random weights (large_model.py).

By method: `--check` for the plan; an uninterrupted run (stage `whole`); a run whose ranks and mpirun are all killed by SIGKILL in the middle of sweep 2
and that is started again (`killed`); then `--verify`, an evaluation of the checkpoint, `--export hf`, `--verify` of the export against
the checkpoint, and `--inspect` (`after`). Of a run that is over the script keeps the report and the SHA-256 of every
dataset, by which it compares the two runs, and deletes the file before the next. It prints time, memory and bytes beside the plan's; what is off by more than a
tenth is marked. Stages that are done are not done again (their results lie in build/bench/SHAPE-LAYERS): a bench can be run in parts.
`make bench-7b-whole BENCH='--layers 4'` runs both stages of both methods in minutes; 32 layers need 42 GB of disk."""
import argparse, hashlib, json, os, re, shutil, signal, subprocess, sys, threading, time
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_7b import CALIBRATED, sparsity_of
from helpers import BINARY, environment, mpirun, write_config
from large_model import BENCH, SHAPES, SHARD, make_ids, make_model, model_bytes
from test_restart import children

STAGES, SETTINGS = ("whole", "killed", "after"), {"olica": {"mlp_num": CALIBRATED}, "refit": {"shape": "uniform"}}
TENTH, PATIENCE = 0.1, 6 * 3600
WRITER = ("meta/settings_json", "meta/provenance_json")  # datasets that tell who wrote the file and how
MIB, GIB = 2**20, 2**30


class Watch(threading.Thread):
    """Looks at a job's ranks every second: VmHWM of each, which counts what the ranks of a node share in every one of them, and the highest Pss,
    which counts a rank's part of it; in bytes."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.highest, self.proportional = process, {}, {}
        self.start()

    def run(self):
        while self.process.poll() is None:
            for pid in children(self.process.pid):
                self.look(pid)
            time.sleep(1)

    def look(self, pid):
        try:
            status, maps = (Path(f"/proc/{pid}/{name}").read_text() for name in ("status", "smaps_rollup"))
        except OSError:  # it has ended
            return
        for text, name, most in ((status, "VmHWM", self.highest), (maps, "Pss", self.proportional)):
            if found := re.search(rf"^{name}:\s+(\d+) kB", text, re.M):
                most[pid] = max(most.get(pid, 0), int(found.group(1)) << 10)

    def peaks(self):
        return {"VmHWM": list(self.highest.values()), "Pss": list(self.proportional.values())}


class Bench:
    def __init__(self, options):
        self.options, self.dir = options, BENCH / f"{options.shape}-{options.layers}"

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    # ---- the job and its files ----

    def prepare(self):
        o = self.options
        self.room(self.dir.parent)
        since = time.time()
        make_model(o.shape, o.layers, shard=o.shard)
        self.say(f"model: {model_bytes(o.shape, o.layers) / 1e9:.1f} GB, {time.time() - since:.0f} s")
        self.calibration = make_ids(self.dir / "calibration.npy", o.samples, o.length, 1)
        self.evaluation = make_ids(self.dir / "evaluation.npy", o.windows, o.length, 2)

    def room(self, path):
        """Refuses to begin what the disk cannot hold: the model, a checkpoint of 0.85 of it, an export that is padded, restart files."""
        path.mkdir(parents=True, exist_ok=True)
        model = model_bytes(self.options.shape, self.options.layers)
        there = sum(f.stat().st_size for f in self.dir.iterdir()) if self.dir.exists() else 0
        need, free = 2.9 * model + 10**9 - there, shutil.disk_usage(path).free
        if need > free:
            sys.exit(f"{path}: {free / 1e9:.1f} GB are free, expected at least {need / 1e9:.1f} GB; --layers N takes less")

    def memory(self, plan):
        available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) << 10
        need = plan["memory"] * self.options.ranks
        if need > available:
            sys.exit(f"memory: {available / GIB:.1f} GiB are available, expected at least {need / GIB:.1f} GiB for {self.options.ranks} ranks")

    def path(self, method, name):
        return self.dir / f"{method}.{name}"

    def config(self, method):
        o, settings = self.options, dict(SETTINGS[method])
        if "mlp_num" in settings:
            settings["mlp_num"] = min(settings["mlp_num"], o.layers - 1)
        return write_config(self.path(method, "ini"), {
            "model": {"path": self.dir}, "calibration": {"tokens": self.calibration, "samples": o.samples, "length": o.length},
            "prune": {"method": method, "sparsity": sparsity_of(o.shape, o.layers), **settings}, "compute": {"precision": o.precision, "threads": o.threads},
            "evaluate": {"tokens": self.evaluation, "length": o.length},
            "output": {"checkpoint": self.path(method, "h5"), "report": self.path(method, "json"), "overwrite": "yes"}})

    # ---- the plan ----

    def plan(self, method):
        done = mpirun(1, "--check", "--ranks", self.options.ranks, self.config(method), timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        self.path(method, "check.txt").write_text(done.stdout)
        mib = lambda pattern: float(re.search(pattern, done.stdout).group(1)) * MIB
        return {"memory": mib(r"memory +([\d.]+) MiB a rank"), "checkpoint": mib(r"checkpoint .*, ([\d.]+) MiB of"),
                "restart": mib(r"restart .* of ([\d.]+) MiB"), "time": re.search(r"time +about (\S+ \S+)", done.stdout).group(1)}

    # ---- runs ----

    def start(self, method, log, options):
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(self.options.ranks), BINARY, *options, str(self.config(method))]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment(OMPI_MCA_mpi_yield_when_idle=1))

    def watched(self, method, stage, *options, until=None):
        """One start. `until`: kills all of it when the log has said so. Returns (exit code, seconds, Watch)."""
        path, since = self.path(method, f"{stage}.log"), time.time()
        with open(path, "w") as log:
            process = self.start(method, log, options)
            watch = Watch(process)
            while process.poll() is None:
                time.sleep(0.2)
                if until and re.search(until, path.read_text()):
                    for pid in [process.pid, *children(process.pid)]:
                        os.kill(pid, signal.SIGKILL)
                    break
            code = process.wait()
        watch.join()
        if code != 0 and not until:
            sys.exit(f"{method}, {stage}: exit code {code}\n{path.read_text()[-3000:]}")
        return code, time.time() - since, watch

    def account(self, method, stage, seconds, watch):
        """Keeps what is known of a run that has ended: report, times, memory, hashes."""
        report = json.loads(self.path(method, "json").read_text())
        self.say(f"{method}, {stage}: {seconds:.0f} s; hashes")
        found = {"seconds": seconds, "peaks": watch.peaks(), "report": report,
                 "hashes": hashes(self.path(method, "h5"))}
        self.path(method, f"{stage}.result.json").write_text(json.dumps(found))
        return found

    def whole(self, method):
        self.say(f"{method}: uninterrupted")
        _, seconds, watch = self.watched(method, "whole", "--fresh")
        self.account(method, "whole", seconds, watch)
        self.remove(method, "h5")

    def first(self, method):
        """The start that is killed. Returns what is known of it; it is not repeated if the bench itself was stopped after it."""
        path, middle = self.path(method, "first.result.json"), self.options.layers // 2
        if not path.exists():
            self.say(f"{method}: to be killed after layer {middle} of sweep 2")
            code, seconds, watch = self.watched(method, "first", "--fresh", until=rf"prune layer {middle} ")
            assert code != 0, "it ended before it was killed"
            path.write_text(json.dumps({"before": seconds, "first_peaks": watch.peaks()}))
        return json.loads(path.read_text())

    def killed(self, method):
        first = self.first(method)
        self.say(f"{method}: killed after {first['before']:.0f} s; started again")
        _, seconds, watch = self.watched(method, "killed")
        found = self.account(method, "killed", seconds, watch) | first
        self.path(method, "killed.result.json").write_text(json.dumps(found))

    # ---- what is done with a checkpoint ----

    def step(self, name, *arguments, ranks=None):
        since = time.time()
        done = mpirun(ranks or self.options.ranks, *arguments, timeout=PATIENCE)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        self.say(f"{name}: {time.time() - since:.0f} s")
        return {"name": name, "seconds": time.time() - since}, done.stdout

    def after(self, method):
        file, export, report = self.path(method, "h5"), self.path(method, "hf"), self.path(method, "evaluate.json")
        steps = [self.step("verify", "--verify", file)[0],
                 self.step("evaluate", "--quiet", "--set", f"model.path={file}", "--set", "prune.method=none", "--set",
                           f"output.report={report}", self.config(method))[0],
                 self.step("export", "--export", f"hf:{export}", file)[0], self.step("verify export", "--verify", export, "--against", file)[0]]
        inspect, text = self.step("inspect", "--inspect", file, ranks=1)
        self.path(method, "inspect.txt").write_text(text)
        size = sum(f.stat().st_size for f in export.iterdir())
        found = {"steps": [*steps, inspect], "perplexity": json.loads(report.read_text())["perplexity"], "export": size}
        self.path(method, "after.result.json").write_text(json.dumps(found))
        if not self.options.keep:
            self.remove(method, "hf")
            self.remove(method, "h5")

    def remove(self, method, name):
        path = self.path(method, name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def method(self, method):
        plan = self.plan(method)
        self.memory(plan)
        self.say(f"{method}: plan {plan['memory'] / GIB:.2f} GiB a rank, {plan['time']}")
        for stage in self.options.stages:
            if not self.path(method, f"{stage}.result.json").exists():
                getattr(self, stage)(method)
        found = {stage: json.loads(path.read_text()) for stage in STAGES if (path := self.path(method, f"{stage}.result.json")).exists()}
        show(self.options, method, plan, found)
        return found


def hashes(path):
    """SHA-256 of every dataset but the writer's own, in pieces."""
    found = {}
    with h5py.File(path) as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            if name not in WRITER:
                found[name] = digest(file[name])
    return found


def digest(dataset):
    sum_, rows = hashlib.sha256(), len(dataset) if dataset.shape else 0
    step = max(1, (64 << 20) // max(1, dataset.nbytes // max(1, rows))) if rows else 1
    if not rows:
        sum_.update(dataset[()].tobytes())
    for at in range(0, rows, step):
        sum_.update(dataset[at:at + step].tobytes())
    return sum_.hexdigest()


def beside(name, planned, seen, unit=GIB):
    off = seen / planned - 1 if planned else 0
    print(f"| {name:44} | {planned / unit:10.2f} | {seen / unit:10.2f} | {100 * off:+6.1f} %{' OFF' if abs(off) > TENTH else ''} |")


def show(options, method, plan, found):
    main = found.get("whole") or found.get("killed")
    if not main:
        return
    report, model = main["report"], model_bytes(options.shape, options.layers)
    print(f"\n{method}, {options.layers} layers of {options.shape}'s shape, {options.samples} x {options.length} tokens, {options.ranks} ranks, "
          f"{report['run']['precision']} by {report['run']['kernel']}\n")
    print("| phase, seconds | mean | share | bytes, GiB |\n|---|---:|---:|---:|")
    for p in report["phases"]:
        print(f"| {p['name']} | {p['mean_s']:.1f} | {100 * p['mean_s'] / report['run']['wall_s']:.1f} % | {p['bytes'] / GIB:.2f} |")
    layers = sum(t["wall_s"] for t in report["layer_times"])
    print(f"| job | {report['run']['wall_s']:.1f} | {report['run']['wall_s'] / layers:.3f} times the sum of its layers | |\n")
    print("| of | plan, GiB | seen, GiB | off |\n|---|---:|---:|---:|")
    beside("memory of a rank, counted", plan["memory"], report["memory"]["counted"]["max"])
    seen = {name: max(main["peaks"][name] + main.get("first_peaks", {name: []})[name]) for name in main["peaks"]}
    beside("memory of a rank, Pss with libraries", plan["memory"], seen["Pss"])
    print(f"| {'memory of a rank, resident; VmHWM':44} | {'':10} | {report['memory']['resident']['max'] / GIB:.2f}; {seen['VmHWM'] / GIB:.2f} | |")
    beside("checkpoint", plan["checkpoint"], report["checkpoint"]["bytes"])
    if "whole" in found:
        sweeps = len({t["sweep"] for t in report["layer_times"]})
        beside(f"read by all ranks, {sweeps} sweeps over the model", sweeps * model, sum(r["bytes_read"] for r in report["ranks"]))
        beside("written by all ranks", plan["checkpoint"], sum(r["bytes_written"] for r in report["ranks"]))
    equal(method, found)
    for step in found.get("after", {}).get("steps", []):
        print(f"{step['name']}: {step['seconds']:.0f} s")
    if "after" in found:
        print(f"export: {found['after']['export'] / GIB:.2f} GiB; perplexity of the checkpoint {found['after']['perplexity']['model']}, in its job "
              f"{report['perplexity']['pruned']}")


def equal(method, found):
    if "killed" in found:
        at = found["killed"]["report"]["restart"]
        print(f"\nkilled after {found['killed']['before']:.0f} s, resumed at layer {at['layer']} of sweep {at['sweep']}, {found['killed']['seconds']:.0f} s more")
    if "whole" in found and "killed" in found:
        one, other = found["whole"]["hashes"], found["killed"]["hashes"]
        differ = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
        print(f"{method}: {len(one)} datasets, {len(differ)} differ from the uninterrupted run's {sorted(differ)[:5]}")
        if differ:
            sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")
    parser.add_argument("--shape", choices=list(SHAPES), default="7b")
    parser.add_argument("--layers", type=int, default=0, help="of the model (default: all that the shape has)")
    parser.add_argument("--shard", type=int, default=SHARD, help="bytes of a file of the model, at most")
    parser.add_argument("--methods", type=words, default=list(SETTINGS))
    parser.add_argument("--stages", type=words, default=list(STAGES))
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--windows", type=int, default=16, help="of the evaluation, as long as a sequence")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--keep", action="store_true", help="model, checkpoints, exports and results stay in build/bench")
    options = parser.parse_args()
    options.layers = options.layers or SHAPES[options.shape]["whole"]
    bench = Bench(options)
    bench.prepare()
    for method in options.methods:
        bench.method(method)
    if not options.keep:
        shutil.rmtree(bench.dir)


if __name__ == "__main__":
    main()
