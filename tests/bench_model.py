#!/usr/bin/env python3
"""bench_model.py [--kind amx|avx512] [--runs 3] [--cpu-time] [--save] [REPORT.json...]: fits the performance model (jobs/model.py) to jobs that it runs here, at 1
and 2 ranks and in both precisions, --runs times each, beside the machine's own rates in the same run; judges it by jobs, and the reports given,
that it was not fitted to; and prints what it predicts for the class of machine in jobs/machine-class.json. With ../shared SmolLM2-135M is
among them. --kind avx512: as on a processor without AMX and bf16 (ONEDNN_MAX_CPU_ISA=AVX512_CORE), in fp32 alone. --cpu-time: for
a machine that others use too: small jobs on one rank, on made models as well, timed by the seconds that they have on a processor
(faults/cputime.c), several at once. --save: into
jobs/coefficients-KIND.json. Reports stay in build/bench/model/KIND."""
import argparse, os, shutil, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import DEMO, OBJECTS, ROOT, SHARED, mpirun, run_job, smollm2
from tiny_model import CONFIG, make_ids, make_model, weights

OUT = ROOT / "build" / "bench" / "model"
MODEL = ROOT / "jobs" / "model.py"


CLOCK = OBJECTS / "tests" / "faults" / "cputime.so"
CPU_TIME = {}  # of the environment, with --cpu-time
MADE = {"narrow": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 768, "vocab_size": 2000},
        "wide": {"hidden_size": 448, "num_attention_heads": 7, "num_key_value_heads": 7, "intermediate_size": 1216, "vocab_size": 2000}}


def machine(ranks):
    done = mpirun(ranks, OUT, program=OBJECTS / "tests" / "bench" / "machine", env=CPU_TIME)
    assert done.returncode == 0, done.stderr
    return done.stdout


def repeat(times):
    """A function for the paths of so many reports of one job."""
    return lambda name, *arguments: [job(f"{name}.{i}", *arguments) for i in range(times)]


def job(name, ranks, precision, samples, windows, model=DEMO, ids=(DEMO / "calibration.npy", DEMO / "evaluation.npy"), mlp_num=2):
    """The path of its report."""
    run_job(OUT, ranks, {"model": {"path": model}, "calibration": {"tokens": ids[0], "samples": samples}, "prune": {"mlp_num": mlp_num},
                         "evaluate": {"tokens": ids[1], "windows": windows}, "compute": {"precision": precision}}, "--quiet", name=name, timeout=1800, env=CPU_TIME)
    (OUT / f"{name}.h5").unlink()
    return OUT / f"{name}.json"


def smollm2_jobs(runs, precision):
    """One to fit, one to judge: another model (heads not grouped), more tokens."""
    shared = SHARED / "conformance"
    ids = shared / "SmolLM2-135M.calibration.npy", shared / "SmolLM2-135M.evaluation.npy"
    if not ids[0].exists():
        print("no ../shared: without SmolLM2-135M\n")
        return [], []
    native, published = smollm2(OUT / "native"), smollm2(OUT / "published", "--published")
    return (runs("native", 2, precision, 64, 64, native, ids, 6), runs("published", 2, precision, 128, 32, published, ids, 6))


def made_model(name):
    """A model of random weights, and ids for it."""
    place = OUT / name
    make_model(place, layers=3, config={**MADE[name], "max_position_embeddings": 128}, tensors=weights(CONFIG | {"num_hidden_layers": 3} | MADE[name]))
    return place, (make_ids(place / "calibration.npy", 256, 128, 2000), make_ids(place / "evaluation.npy", 64, 128, 2000))


def jobs_in_cpu_time(times, precisions):
    """(to fit, to judge): reports on one rank."""
    CPU_TIME["LD_PRELOAD"] = str(CLOCK)
    sizes = [("demo", (DEMO, (DEMO / "calibration.npy", DEMO / "evaluation.npy"))), *((name, made_model(name)) for name in MADE)]
    wanted = [(f"{name}-{p}-{samples}.{i}", 1, p, samples, 32, model, ids, 2) for p in precisions for name, (model, ids) in sizes
              for samples in (32, 64, 128) for i in range(times)]
    with ThreadPoolExecutor(3) as pool:
        paths = dict(zip(wanted, pool.map(lambda arguments: job(*arguments), wanted)))
    return tuple([path for arguments, path in paths.items() if (arguments[3] == 64) == judged] for judged in (False, True))


def processor():
    return next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf8") if line.startswith("model name")), "unknown processor")


def jobs_in_wall_time(runs, precisions):
    """(to fit, to judge)"""
    fitted = [path for p in precisions for n in (1, 2) for path in runs(f"demo-{p}-{n}", n, p, 256, 400)]
    judged = [path for p in precisions for n in (1, 2) for path in runs(f"less-{p}-{n}", n, p, 128, 200)]
    more_fitted, more_judged = smollm2_jobs(runs, precisions[-1])
    return fitted + more_fitted, judged + more_judged


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("amx", "avx512"), default="amx")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("reports", nargs="*")
    options = parser.parse_args()
    if options.kind == "avx512":
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"
    precisions = ("fp32",) if options.kind == "avx512" else ("fp32", "bf16")
    global OUT
    OUT = OUT / options.kind
    runs = repeat(options.runs)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    if options.cpu_time:
        fitted, judged = jobs_in_cpu_time(options.runs, precisions)
    (OUT / "machine.json").write_text(machine(1) + ("" if options.cpu_time else machine(2)))
    print("machine:", (OUT / "machine.json").read_text())
    if not options.cpu_time:
        fitted, judged = jobs_in_wall_time(runs, precisions)
    saved = ROOT / "jobs" / f"coefficients-{options.kind}.json" if options.save else OUT / "coefficients.json"
    kind = f"{processor()}, {options.kind}, {time.strftime('%Y-%m-%d')}" + (", ONEDNN_MAX_CPU_ISA=AVX512_CORE" if options.kind == "avx512" else "") + (
        ", CPU seconds of one rank on a shared machine" if options.cpu_time else "")
    common = [sys.executable, MODEL]
    subprocess.run([*common, "--machine", OUT / "machine.json", "--fit", *fitted, "--check", *judged, *options.reports,
                    "--save", saved, "--kind", kind], check=True)
    for shape in ("7b", "70b"):
        for samples in ("256", "4096"):
            subprocess.run([*common, "--coefficients", saved, "--predict", ROOT / "jobs" / "machine-class.json",
                            "--shape", shape, "--samples", samples, "--precision", precisions[-1]], check=True)


if __name__ == "__main__":
    main()
