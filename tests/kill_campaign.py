#!/usr/bin/env python3
"""`make check-kill`: kill -9 at random moments, again and again, with restarts at other numbers of ranks and hosts.

    tests/kill_campaign.py [--kills 100] [--seed 1] [--life N] [--kinds NAMES] [--job CONFIG] [--hosts 1|2]

A *life* is a job of kill_lives.py (every method, several at once, saved statistics, exports in the job and by --export
afterwards) in an empty folder, started again until it has ended: on 1 to 4 ranks, on this machine or on two hosts made of network
namespaces (jobs/test-hosts.sh; root). What is killed: one rank, all ranks, or those and mpirun, at a moment spread evenly over
the time that the job takes, or over the lines of its log; or one rank at its n-th change of a file (tests/faults/shim.c). Whatever has a final name after a kill
must be whole; in the end files and figures must be those of a job that was left alone.

Prints three tables of the kills, and how many lives were lost (a start that nobody killed failed), wrong (something differs), torn (a
file was partial under its final name) or left something behind; exit code 1 if any was. A life is drawn by the seed and its number:
--seed and --life repeat one. --job: a job of your own instead ([output] and [restart] are replaced)."""
import argparse, collections, os, random, re, signal, statistics, subprocess, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults.inject import SHIM
from helpers import BINARY, PATIENCE, ROOT, environment
from kill_lives import KINDS, Life, make_inputs

HOSTS = ROOT / "jobs" / "test-hosts.sh"
PATIENT = 600  # seconds; a start that takes longer hangs
HOWS = {"a rank": 40, "all ranks": 20, "all ranks and mpirun": 10, "a rank, at a change of a file": 30}
PHASES = ["start", "survey", "pruning", "ending", "--export"]
SAID = re.compile(r"(survey layer|dense perplexity|survey: saved)|(prune layer)|(pruned perplexity|pruned tasks|eigenproblems:|export \w+:)|(pair \d+ of)")


def phase_of(said):
    """Where a job was, by the last telling line of its log."""
    found = SAID.findall(said)
    survey, prune, _, pair = found[-1] if found else ("",) * 3 + ("none",)
    return "start" if pair else "survey" if survey else "pruning" if prune else "ending"


class Start:
    """One mpirun of the program, with all its processes."""

    def __init__(self, ranks, hosts, arguments, fault, mark):
        env = {"OMPI_MCA_mpi_yield_when_idle": 1, "OLICA_LIFE": mark, "OLICA_FAULT": fault or "call=none do=none", "OMP_WAIT_POLICY": "passive"}
        where = ["--host", f"olica-a:{(ranks + 1) // 2},olica-b:{ranks // 2}"] if hosts == 2 else []
        if hosts == 1 and "OLICA_HOSTS" in os.environ:  # on olica-a alone
            env |= {"OMPI_MCA_btl": "self,vader", "OMPI_MCA_oob_tcp_if_include": "lo"}
        passed = [x for name in ("OLICA_FAULT", "OLICA_LIFE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY") for x in ("-x", name)]
        self.mark, self.since, self.said = mark, time.monotonic(), ""
        self.process = subprocess.Popen(
            ["mpirun", "--oversubscribe", "--bind-to", "none", *where, "-x", f"LD_PRELOAD={SHIM}:{PATIENCE}", *passed, "-n", str(ranks), BINARY,
             *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", env=environment(**env))

    def processes(self, everything=False):
        """Ids of its ranks; everything: mpirun's and its daemons' too."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                words = path.read_bytes()
                if f"OLICA_LIFE={self.mark}\0".encode() in words and (everything or b"OMPI_COMM_WORLD_RANK=" in words):
                    found.append(int(path.parent.name))
            except OSError:
                pass  # it has ended
        return found

    def wait(self, lines, seconds):
        """Until it has said so many lines, and then so many seconds, or until it ends."""
        while self.said.count("\n") < lines and (line := self.process.stderr.readline()):
            self.said += line
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def kill(self, ids):
        for i in ids:
            try:
                os.kill(i, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def end(self):
        """Its exit code (None: it hung), what it said, its seconds."""
        try:
            said = self.process.communicate(timeout=PATIENT)[1]
            code = self.process.returncode
        except subprocess.TimeoutExpired:
            self.kill(self.processes(everything=True))
            said, code = self.process.communicate()[1], None
        took = time.monotonic() - self.since
        until = time.monotonic() + 60  # ranks whose mpirun is gone end by themselves; the next start would find their locks
        said = self.said + said
        while self.processes() and time.monotonic() < until:
            time.sleep(0.02)
        return code, said, took


class Campaign:
    def __init__(self, options, directory):
        self.options, self.dir = options, directory
        self.inputs = make_inputs(directory / "inputs")
        self.hosts = [1, 2] if "OLICA_HOSTS" in os.environ and options.hosts != 1 else [1]
        self.whole, self.changes, self.lines, self.seconds = {}, {}, {}, collections.defaultdict(list)
        self.kills, self.tables = 0, [collections.Counter() for _ in range(3)]
        self.starts, self.lives, self.bad = 0, 0, collections.Counter()

    def start(self, ranks, hosts, arguments, plan=None, rank=None):
        """One start, killed by the plan (how, share of the job's time, n-th change). Exit code, words, seconds, was it killed."""
        how, moment, nth = plan or (None, None, None)  # moment: (lines, seconds)
        fault = f"rank={rank} call=change path={self.out} nth={nth} do=kill" if nth else None
        start = Start(ranks, hosts, arguments, fault, f"{os.getpid()}.{self.starts}")
        self.starts += 1
        if moment is not None:
            start.wait(*moment)
            mine = sorted(start.processes(everything=how == "all ranks and mpirun"))
            start.kill([mine[rank % len(mine)]] if mine and how == "a rank" else mine)
        code, said, took = start.end()
        return code, said, took, plan is not None and code not in (0, 2, 3, 4, 5, 6, 70)

    def measure(self, kind):
        """The job left alone, and how many changes of files its first and second rank make."""
        life = Life(self.dir / f"whole{len(self.whole)}", self.inputs, kind, self.options.job)
        self.changes[kind] = []
        for rank in (1, 0):
            life.remove()
            life = Life(life.dir, self.inputs, kind, self.options.job)
            start = Start(2, 1, life.arguments, f"rank={rank} call=change path={life.out} do=count", f"{os.getpid()}.whole")
            code, said, took = start.end()
            assert code == 0, said
            self.changes[kind].insert(0, int(re.search(r"shim: (\d+)", said).group(1)))
            self.lines[kind] = said.count("\n") - 2
        self.seconds[kind, 0].append(took)
        for command in list(life.commands())[1:]:
            code, said, took = Start(2, 1, command, None, f"{os.getpid()}.whole").end()
            assert code == 0, said
            self.seconds[kind, 1].append(took)
        life.remember()
        self.whole[kind] = life

    def plan(self, chance, kind, number, ranks):
        """How, the moment or None, the number of the change or None; and the rank."""
        how, rank = chance.choices(list(HOWS), HOWS.values())[0], chance.randrange(ranks)
        share = chance.random()
        if how == "a rank, at a change of a file":
            most = self.changes[kind][min(rank, 1)] if number == 0 else 30
            return (how, None, 1 + int(share * most)), rank
        took = statistics.median(self.seconds[kind, min(number, 1)][-9:])
        if number == 0 and chance.random() < 0.75:
            lines = chance.randint(1, self.lines[kind])
            return (how, (lines, share * 2 * took / self.lines[kind]), None), rank
        return (how, (0, share * took), None), rank

    def count(self, kind, ranks, hosts, how, phase):
        self.kills += 1
        for table, row in zip(self.tables, (f"{ranks} ranks, {hosts} host{'s' * (hosts > 1)}", kind or "the job given", how)):
            table[row, phase] += 1

    def complain(self, number, what, text):
        self.bad[what] += 1
        print(f"life {number} (--seed {self.options.seed} --life {number}): {what}: {text}", flush=True)

    def command(self, chance, life, kind, number, command, left):
        """Starts one command of a life until it has ended; False: it is lost."""
        story = []
        while True:
            ranks = chance.choice([1, 2] if self.options.job else [1, 2, 3, 4])
            hosts = chance.choice(self.hosts) if ranks > 1 else 1
            plan, rank = self.plan(chance, kind, number, ranks) if left > 0 and self.kills < self.options.kills else (None, None)
            code, said, took, killed = self.start(ranks, hosts, command, plan, rank)
            left -= killed
            phase = phase_of(said) if number == 0 else "--export"
            story.append(f"{ranks} ranks on {hosts}, {plan and plan[0]} {plan and (plan[1] or plan[2])}, exit code {code} in {phase}")
            torn = life.torn(self.whole[kind])
            if torn:
                self.complain(self.number, "torn", f"{torn}; {story}")
            if killed:
                self.count(kind, ranks, hosts, plan[0], phase)
                if life.ended(command):  # killed behind its last file: a new start is refused, and clears away
                    code, said, *_ = self.start(1, 1, command)
                    life.forget_refusals()
                    if code != 2:
                        self.complain(self.number, "lost", "; ".join(story) + f"; then exit code {code}, expected 2\n" + said[-3000:])
                    return code == 2
            elif code == 0:
                if not plan and not len(story) > 1:
                    self.seconds[kind, min(number, 1)].append(took)
                return True
            else:
                self.complain(self.number, "lost", "; ".join(story) + "\n" + said[-3000:])
                return False

    def live(self, number):
        chance = random.Random(f"{self.options.seed}.{number}")
        kind = None if self.options.job else self.kinds[number % len(self.kinds)]
        if kind not in self.whole:
            self.measure(kind)
        life = Life(self.dir / f"life{number}", self.inputs, kind, self.options.job, chance.random() < 0.3)
        self.number, self.out, self.lives = number, life.out, self.lives + 1
        for i, command in enumerate(life.commands()):
            if not self.command(chance, life, kind, i, command, chance.randint(3, 12) if i == 0 else chance.randint(0, 1)):
                return life.remove()
        for what, text in (("wrong", life.wrong(self.whole[kind])), ("left over", life.leftovers(self.whole[kind]))):
            if text:
                self.complain(number, what, text)
        life.remove()

    def run(self):
        self.kinds = [name for name in KINDS if not self.options.kinds or any(name.startswith(k) for k in self.options.kinds.split(";"))]
        try:
            if self.options.life is not None:
                self.live(self.options.life)
            number = 0
            while self.kills < self.options.kills and self.options.life is None:
                self.live(number)
                number += 1
                if number % 10 == 0:
                    print(f"{time.strftime('%H:%M:%S')} {self.kills} kills in {self.starts} starts of {self.lives} lives; bad: {dict(self.bad)}", flush=True)
        except KeyboardInterrupt:
            print("stopped before its end")
        self.print()
        return 1 if self.bad else 0

    def print(self):
        for table, head in zip(self.tables, ("ranks", "job", "what was killed")):
            print(f"\n| {head} | {' | '.join(PHASES)} | kills |\n|---|{'---:|' * (len(PHASES) + 1)}")
            for row in sorted({r for r, _ in table}, key=lambda r: (list(KINDS).index(r) if r in KINDS else 0, r)):
                cells = [table[row, p] for p in PHASES]
                print(f"| {row} | {' | '.join(map(str, cells))} | {sum(cells)} |")
        print(f"\n{self.kills} kills in {self.starts} starts of {self.lives} lives, seed {self.options.seed}, "
              f"{'one and two hosts' if len(self.hosts) > 1 else 'one host'}: {self.bad['lost']} lost, {self.bad['wrong']} wrong, {self.bad['torn']} torn, {self.bad['left over']} left something over")


def end(number, frame):
    """SIGTERM: the tables of what has been done are still printed."""
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=int, help="only this one")
    parser.add_argument("--kinds", default="", help="beginnings of jobs' names in kill_lives.py, with ;")
    parser.add_argument("--job", type=lambda path: Path(path).resolve(), help="a config of your own")
    parser.add_argument("--hosts", type=int, choices=(1, 2), help="1: this machine alone; default: two where the kernel lets us")
    options = parser.parse_args()
    if options.hosts != 1 and "OLICA_HOSTS" not in os.environ:
        code = subprocess.run([HOSTS, sys.executable, *sys.argv]).returncode
        if code != 77 or options.hosts == 2:
            return code
        print("one host alone")
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="kill") as directory:
        return Campaign(options, Path(directory)).run()


if __name__ == "__main__":
    sys.exit(main())
