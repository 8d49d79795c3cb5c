#!/usr/bin/env python3
"""bench_model.py [REPORT.json...]: fits the performance model (jobs/model.py) to jobs that it runs here, at 1 and 2 ranks and in both
precisions, three times each, beside the machine's own rates in the same run; judges it by jobs, and the reports given, that it was not fitted
to; and prints what it predicts for the class of machine in jobs/machine-class.json. With ../shared SmolLM2-135M is among them.
Reports stay in build/bench/model."""
import subprocess, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import DEMO, OBJECTS, ROOT, SHARED, mpirun, run_job, smollm2

OUT = ROOT / "build" / "bench" / "model"
RUNS = 3
MODEL = ROOT / "jobs" / "model.py"


def machine(ranks):
    done = mpirun(ranks, OUT, program=OBJECTS / "tests" / "bench" / "machine")
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs(name, *arguments):
    """The paths of RUNS reports of one job."""
    return [job(f"{name}.{i}", *arguments) for i in range(RUNS)]


def job(name, ranks, precision, samples, windows, model=DEMO, ids=(DEMO / "calibration.npy", DEMO / "evaluation.npy"), mlp_num=2):
    """The path of its report."""
    run_job(OUT, ranks, {"model": {"path": model}, "calibration": {"tokens": ids[0], "samples": samples}, "prune": {"mlp_num": mlp_num},
                         "evaluate": {"tokens": ids[1], "windows": windows}, "compute": {"precision": precision}}, "--quiet", name=name, timeout=1800)
    (OUT / f"{name}.h5").unlink()
    return OUT / f"{name}.json"


def smollm2_jobs():
    """One to fit, one to judge: another model (heads not grouped), more tokens."""
    shared = SHARED / "conformance"
    ids = shared / "SmolLM2-135M.calibration.npy", shared / "SmolLM2-135M.evaluation.npy"
    if not ids[0].exists():
        print("no ../shared: without SmolLM2-135M\n")
        return [], []
    native, published = smollm2(OUT / "native"), smollm2(OUT / "published", "--published")
    return (runs("native", 2, "bf16", 64, 64, native, ids, 6), runs("published", 2, "bf16", 128, 32, published, ids, 6))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "machine.json").write_text(machine(1) + machine(2))
    print("machine:", (OUT / "machine.json").read_text())
    fitted = [path for p in ("fp32", "bf16") for n in (1, 2) for path in runs(f"demo-{p}-{n}", n, p, 256, 400)]
    judged = [path for p in ("fp32", "bf16") for path in runs(f"less-{p}-2", 2, p, 128, 200)]
    more_fitted, more_judged = smollm2_jobs()
    common = [sys.executable, MODEL]
    subprocess.run([*common, "--machine", OUT / "machine.json", "--fit", *fitted, *more_fitted, "--check", *judged, *more_judged, *sys.argv[1:],
                    "--save", OUT / "coefficients.json"], check=True)
    for shape in ("7b", "70b"):
        for samples in ("256", "4096"):
            subprocess.run([*common, "--coefficients", OUT / "coefficients.json", "--predict", ROOT / "jobs" / "machine-class.json",
                            "--shape", shape, "--samples", samples], check=True)


if __name__ == "__main__":
    main()
