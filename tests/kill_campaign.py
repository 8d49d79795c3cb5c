#!/usr/bin/env python3
"""`make check-kill`: kill -9 of a random rank at a random moment, again and again, with restarts at other numbers of ranks;
every job must end with the checkpoint of one that was left alone.

    tests/kill_campaign.py KILLS [SEED [CONFIG]]     default: a model of a few kilobytes

CONFIG: a job of your own (its [output] and [restart] are replaced). Prints a table; exit code 1 if anything differs.
"""
import collections, random, re, signal, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import test_restart
from helpers import mpirun


class Campaign:
    def __init__(self, kills, seed, directory, config=None):
        self.kills, self.random, self.dir, self.config = kills, random.Random(seed), directory, config
        self.table = collections.Counter()  # (ranks, where) of the kills
        self.codes, self.jobs, self.differ, self.starts = collections.Counter(), 0, 0, 0

    def job(self, name):
        where = self.dir / name
        where.mkdir()
        if not self.config:
            return test_restart.Job(where)
        job = test_restart.Job.__new__(test_restart.Job)
        job.dir, job.config = where, self.config
        return job

    def arguments(self, job):
        own = [f"output.checkpoint={job.dir}/pruned.h5", f"output.report={job.dir}/report.json", "output.overwrite=no",
               "restart.cost=1"]
        return [x for setting in own for x in ("--set", setting)] + ([job.config] if self.config else job.arguments())

    def whole(self):
        job, since = self.job("whole"), time.time()
        done = mpirun(2, *self.arguments(job), timeout=1200)
        assert done.returncode == 0, done.stderr
        self.lines = done.stderr.count("\n")
        self.step = (time.time() - since) / self.lines
        return job

    def attempt(self, job, kill):
        """One start at a random number of ranks; kill: not to live to its end. Returns (exit code, was killed, output)."""
        ranks = self.random.choice([1, 2] if self.config else [1, 2, 3, 4])
        if kill:
            code, said = test_restart.interrupt(ranks, signal.SIGKILL, self.random.randint(0, self.lines),
                                                self.random.uniform(0, 2 * self.step), self.arguments(job))
        else:
            done = mpirun(ranks, *self.arguments(job), timeout=1200)
            code, said = done.returncode, done.stderr
        killed = kill and code != 0
        self.starts += 1
        if killed:
            told = re.findall(r"(survey|prune) layer|(pruned) perplexity", said)
            word = "".join(told[-1]) if told else "start"
            self.table[ranks, {"survey": "survey", "prune": "pruning", "pruned": "ending"}.get(word, "start")] += 1
        else:
            self.codes[code] += 1
        return code, killed, said

    def run(self):
        self.done = 0
        try:
            self.run_all()
        except KeyboardInterrupt:
            print("stopped before its end")
        self.print()
        return 1 if self.differ else 0

    def run_all(self):
        whole = self.whole()
        while self.done < self.kills:
            job, left = self.job(f"job{self.jobs}"), self.random.randint(1, 8)
            code = 1
            while code != 0 and not (job.dir / "pruned.h5").exists():  # killed after the rename: it is whole
                code, killed, error = self.attempt(job, left > 0 and self.done < self.kills)
                self.done, left = self.done + killed, left - killed
                if code != 0 and not killed and not (job.dir / "pruned.h5").exists():
                    print(error, file=sys.stderr)
                    self.differ += 1
                    break
            self.jobs += 1
            try:
                job.matches(whole, report=code == 0)
            except AssertionError as failure:
                print(f"{job.dir}: {failure}", file=sys.stderr)
                self.differ += 1

    def print(self):
        places = ["start", "survey", "pruning", "ending"]
        print(f"{'ranks':>5} " + " ".join(f"{p:>8}" for p in places) + "    kills")
        for ranks in sorted({r for r, _ in self.table}):
            row = [self.table[ranks, p] for p in places]
            print(f"{ranks:>5} " + " ".join(f"{n:>8}" for n in row) + f" {sum(row):>8}")
        print(f"{self.done} kills in {self.starts} starts of {self.jobs} jobs; all other starts ended with "
              f"{dict(self.codes)}; {self.differ} jobs differ from the one left alone")


def end(number, frame):
    """SIGTERM: the table of what has been done is still printed."""
    raise KeyboardInterrupt


def main(words):
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory() as directory:
        return Campaign(int(words[0]), int(words[1]) if len(words) > 1 else 1, Path(directory),
                        Path(words[2]).resolve() if len(words) > 2 else None).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
