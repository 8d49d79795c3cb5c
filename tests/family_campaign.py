#!/usr/bin/env python3
"""`make check-families`: the tiny model of every family, pruned by 20 % by each method, through a whole life.

    tests/family_campaign.py [--families NAMES] [--methods olica,refit] [--python PYTHON] [--seed N]

A job that is left alone; the same job with kill -9 of a random rank at a random moment, started again at other numbers of ranks, which
must end with the same bytes; the checkpoint evaluated to the printed number; its hf export, verified, and evaluated by the program
again and, with a PYTHON that has transformers 5 and torch, there: all to 1e-4. Prints a line for each, exit code 1 if anything differs.
Where a family's class cannot hold olica's branch (the export says so), olica prunes it once more with mlp_num = 0 for the export."""
import argparse, json, random, signal, subprocess, sys, tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import test_restart
from ecosystem.run import WORKER, last_line, perplexity
from helpers import SHARED, mpirun, write_config

BOUND, KILLS = 1e-4, 2


class Life:
    def __init__(self, place, method, directory, chance, python):
        self.place, self.method, self.dir, self.chance, self.python = place, method, directory, chance, python
        self.text = {"tokens": place / "ids.npy", "length": np.load(place / "ids.npy").shape[1]}

    def job(self, name, **more):
        """A job in a folder of its own; restart files as often as possible."""
        job = test_restart.Job.__new__(test_restart.Job)
        job.dir = self.dir / name
        job.dir.mkdir()
        settings = {"method": self.method, "sparsity": 0.2, **({"mlp_num": 2} if self.method == "olica" else {}), **more}
        job.config = write_config(job.dir / "job.ini", {
            "model": {"path": self.place}, "calibration": {**self.text, "samples": 24}, "prune": settings, "evaluate": self.text,
            "output": {"checkpoint": job.dir / "pruned.h5", "report": job.dir / "report.json", "dtype": "fp32"}, "restart": {"cost": 1}})
        return job

    def whole(self, name, **more):
        job = self.job(name, **more)
        done = mpirun(2, job.config, timeout=1200)
        assert done.returncode == 0, last_line(done)
        self.lines = done.stderr.count("\n")
        return job

    def killed(self, whole):
        """Killed up to KILLS times, then left alone; the number of kills."""
        job, kills = self.job("killed"), 0
        for _ in range(KILLS):
            code, _ = test_restart.interrupt(self.chance.choice([1, 2, 3]), signal.SIGKILL, self.chance.randint(1, self.lines - 1),
                                             self.chance.uniform(0, 0.1), [job.config])
            kills += code != 0
            if (job.dir / "pruned.h5").exists():
                break
        told = code == 0
        if not (job.dir / "pruned.h5").exists():
            done = mpirun(self.chance.choice([1, 2, 3]), job.config, timeout=1200)
            assert done.returncode == 0, last_line(done)
            told = True
        mine, its = job.content(), whole.content()
        assert mine.keys() == its.keys() and all(mine[name] == its[name] for name in its), "the restarted job's checkpoint is another one"
        if told:
            mine, its = (x.report()["perplexity"] for x in (job, whole))
            assert all(abs(mine[name] / its[name] - 1) < 1e-12 for name in ("dense", "pruned")), f"{mine}, expected {its}"
        return kills

    def again(self, name, model):
        report = self.dir / f"{name}.json"
        done = mpirun(1, write_config(self.dir / f"{name}.ini", {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": self.text,
                                                               "output": {"report": report}}), timeout=1200)
        assert done.returncode == 0, last_line(done)
        return json.loads(report.read_text())["perplexity"]["model"]

    def exported(self, job):
        """The directory, and the job that it is of."""
        done = mpirun(2, "--export", f"hf:{self.dir / 'hf'}", job.dir / "pruned.h5")
        if done.returncode == 2 and "branch" in done.stderr and self.method == "olica":
            job = self.whole("without", mlp_num=0)
            done = mpirun(2, "--export", f"hf:{self.dir / 'hf'}", job.dir / "pruned.h5")
        assert done.returncode == 0, last_line(done)
        done = mpirun(1, "--verify", self.dir / "hf")
        assert done.returncode == 0, last_line(done)
        return self.dir / "hf", job

    def theirs(self, model):
        done = subprocess.run([self.python, WORKER, "transformers", model, self.text["tokens"], self.dir / "found.npz", "1"],
                              capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, last_line(done)
        return perplexity(np.load(self.dir / "found.npz")["logits"], np.load(self.text["tokens"]))

    def live(self):
        """What there is to tell; AssertionError: what differs."""
        whole = self.whole("whole")
        figures = whole.report()["perplexity"]
        told = [f"{figures['dense']:.2f} -> {figures['pruned']:.2f}", f"{self.killed(whole)} kills"]

        def close(what, value, expected):
            told.append(f"{what} {abs(value / expected - 1):.0e}")
            assert abs(value / expected - 1) < BOUND, f"{what}: {value}, expected {expected}"
        close("checkpoint", self.again("checkpoint", whole.dir / "pruned.h5"), figures["pruned"])
        model, job = self.exported(whole)
        told += ["without a branch:"] if job is not whole else []
        printed = job.report()["perplexity"]["pruned"]
        close("hf", self.again("again", model), printed)
        if self.python:
            close("transformers", self.theirs(model), printed)
        return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", default="", help="names of ../shared/families with commas; default: all")
    parser.add_argument("--methods", default="olica,refit")
    parser.add_argument("--python", help="with transformers 5 and torch; without it the exports are evaluated here alone")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance, bad, all_of = random.Random(arguments.seed), 0, sorted(path.parent.name for path in SHARED.glob("families/*/golden.json"))
    names = arguments.families.split(",") if arguments.families else all_of
    for name in names:
        for method in arguments.methods.split(","):
            with tempfile.TemporaryDirectory() as directory:
                try:
                    told = Life(SHARED / "families" / name, method, Path(directory), chance, arguments.python).live()
                    print(f"ok      {name}, {method}: {', '.join(told)}", flush=True)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    bad += 1
                    print(f"FAILED  {name}, {method}: {str(error)[:400]}", flush=True)
    print(f"{len(names) * len(arguments.methods.split(',')) - bad} lives of {len(names)} families passed, {bad} failed")
    return bad > 0 or not names


if __name__ == "__main__":
    sys.exit(main())
