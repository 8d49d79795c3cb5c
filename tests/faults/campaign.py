"""`make check-faults`: hundreds of jobs of a few kilobytes, each with a fault, and a table of how they ended. Every job
must end in seconds on all ranks, with one message and its exit code, and leave no checkpoint that is not the right one.

    campaign.py [DIRECTORY]     the directory is made, and kept"""
import random, shutil, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from damage import mounted, put, shell
from faults import inject

OK, INPUT, IO, MEMORY, STALLED = {0}, {3}, {4}, {6}, {70}
KILLS = 100
LAST = 8  # allocations of a run that come when all is written: they remove restart files, locks, an older report
STRUCTURE = "HDF5's structure: the watchdog ends it (stall = 1)"
# Calls on the checkpoint by rank 0 and 1, which of them (an nth that no run reaches would test nothing), the faults.
# HDF5 writes its structure in calls that the others wait for inside of it: those of rank 0 are the first and the last.
CHECKPOINT = [
    ("writing the checkpoint: I/O error", "write", "out/pruned", {0: [2, 7, 20], 1: [2, 7, 15]}, "EIO", IO, None),
    ("writing the checkpoint: quota", "write", "out/pruned", {0: [2, 7, 20], 1: [2, 7, 15]}, "EDQUOT", IO, None),
    ("writing the checkpoint: disk full from then on", "write", "out/pruned", {0: ["2+", "9+"], 1: ["2+", "9+"]}, "ENOSPC", IO, None),
    ("writing the checkpoint: short", "write", "out/pruned", {0: [2, 7, 20], 1: [2, 7, 15]}, "short", IO, None),
    ("writing the checkpoint: EINTR", "write", "out/pruned", {0: [2, 7], 1: [2, 7]}, "EINTR", OK | IO, None),
    ("writing " + STRUCTURE, "write", "out/pruned", {0: [1], 1: [1, 22]}, "EIO", STALLED, put("run", stall=1)),
    ("fsync of the checkpoint", "sync", "out/pruned", {0: [1, 2, 3, 4], 1: [1, 2, 3]}, "EIO", IO, None),
    ("truncating the checkpoint", "truncate", "out/pruned", {0: [1]}, "EIO", IO, None),
    ("reserving its blocks", "allocate", "out/pruned", {0: [1]}, "ENOSPC", IO, None),
    ("opening the checkpoint", "open", "out/pruned", {0: [1, 2, 4, 5, 6], 1: [1]}, "EACCES", IO, None),
    ("opening the checkpoint", "open", "out/pruned", {1: [4]}, "EACCES", OK, None),  # Open MPI's: no harm
    ("renaming the checkpoint", "rename", "pruned.h5", {0: [1]}, "EIO", IO, None),
    ("fsync of its directory", "sync", "/out", {0: ["6+"]}, "EIO", IO, None),
    ("reading it back: I/O error", "read", "out/pruned", {0: [1, 5, 20, 60], 1: [1, 5, 12]}, "EIO", IO, None),
    ("reading it back: the file ends", "read", "out/pruned", {0: [1, 20, 60], 1: [1, 5, 12]}, "end", IO, None),
    ("reading it back: a wrong bit", "read", "out/pruned", {0: [1, 20, 60], 1: [1, 5, 12]}, "flip", IO, None),
    ("reading it back: short", "read", "out/pruned", {0: ["1+"], 1: ["1+"]}, "short", OK, None),
    ("report: full disk", "write", "report.json", {0: [2]}, "ENOSPC", IO, None),
    ("report: fsync, rename", "sync", "report.json", {0: [2]}, "EIO", IO, None),
    ("report: fsync, rename", "rename", "report.json", {0: [2]}, "EIO", IO, None),
    ("/dev/shm and disk: nothing is free", "statvfs", "", {0: ["1+"]}, "none", MEMORY, None),
]
INPUTS = [
    ("reading weights: I/O error", "read", "model.safetensors", {0: [1, 2, 3, 9, 14], 1: [1, 2, 9, 14], 2: [1]}, "EIO", IO, None),
    ("reading weights: the file ends", "read", "model.safetensors", {0: [1, 2, 3, 9], 1: [1, 2, 9]}, "end", INPUT, None),
    ("reading weights: short, EINTR", "read", "model.safetensors", {0: ["1+"], 1: ["1+"]}, "short", OK, None),
    ("reading weights: short, EINTR", "read", "model.safetensors", {0: [2], 1: [2]}, "EINTR", OK, None),
    ("opening weights", "open", "model.safetensors", {0: ["1+"], 1: ["1+"], 2: ["1+"]}, "EACCES", IO, None),
    ("reading config.json, ids, config.ini", "read", "config.json", {0: [1]}, "EIO", IO, None),
    ("reading config.json, ids, config.ini", "read", "calibration.npy", {0: [1, 2], 1: [1]}, "EIO", IO, None),
    ("reading config.json, ids, config.ini", "read", "evaluation.npy", {0: [1], 2: [1]}, "EIO", IO, None),
    ("reading config.json, ids, config.ini", "read", "config.ini", {0: [1]}, "EIO", IO, None),
]


def preloaded():
    """(what, ranks, fault, codes, act, again) of both tables."""
    return [(what, 3, f"rank={rank} call={call} path={path} nth={nth} do={do}".replace("path= ", ""), codes, act, False)
            for what, call, path, turns, do, codes, act in CHECKPOINT + INPUTS for rank, those in turns.items() for nth in those]


def allocations(directory, step):
    """A rank that alone has no memory: at allocations spread over the whole run, and so over all phases."""
    out = []
    for rank in range(3):
        most = inject.count(directory / f"count{rank}", 3, f"rank={rank} call=memory")
        out += [("no memory on one rank, in every phase", 3, f"rank={rank} call=memory nth={nth} do=ENOMEM",
                 MEMORY | OK if rank == 0 and nth > most - LAST else MEMORY, None, False) for nth in range(3 + 5 * rank, most, step)]
    return out


def surroundings():
    """What the system gives too little of."""
    return [(f"address space: ulimit -v {k}", 3, None, MEMORY | OK, shell(f"ulimit -v {k}"), True)
            for k in (560000, 600000, 620000, 640000, 660000, 680000, 700000, 800000)] + \
           [(f"file size: ulimit -f {k}", 3, None, IO, shell(f"ulimit -f {k}"), True) for k in (60, 100, 150)] + \
           [(f"a disk of {k} KiB", 3, None, codes, mounted(f"size={k}k"), False)
            for k, codes in ((64, IO), (100, IO), (200, IO), (280, IO | OK), (1000, OK))]


def lengths(directory, reference):
    """How long a job takes, start to end: kills are spread over it."""
    since = time.monotonic()
    out = inject.trial(directory / "clean", 2, None, OK, reference)
    assert not out.complaints, out
    return time.monotonic() - since


def kills(directory, reference, count, seed=1):
    draw, whole = random.Random(seed), lengths(directory, reference)
    return [("kill -9 of a random rank at a random time, then again", directory / f"kill{i}", 1 + i % 4, draw.uniform(0.1, 1.3 * whole), draw.random())
            for i in range(count)]


def reference_of(directory):
    job = inject.make(directory / "reference")
    code, _, err = inject.end(inject.start(job, 2), time.monotonic())
    assert code == 0, err
    return inject.tensors(job.out / "pruned.h5")


def told(message):
    return message.removeprefix("olica_mpi: ").replace("|", "/")[:110]


def table(rows):
    print("| what | runs | exit codes | longest, s | a message | state after |\n|---|---|---|---|---|---|")
    for what in dict.fromkeys(row[0] for row in rows):
        mine = [outcome for name, outcome in rows if name == what]
        codes = ", ".join(f"{c}: {sum(o.code == c for o in mine)}" for c in sorted({o.code for o in mine}, key=str))
        messages = [told(o.message) for o in mine if o.message]
        states = "; ".join(sorted({o.state for o in mine}))
        print(f"| {what} | {len(mine)} | {codes} | {max(o.seconds for o in mine):.1f} | {messages[0] if messages else ''} | {states} |")


def main(directory):
    reference = reference_of(directory)
    trials = preloaded() + allocations(directory, 13) + surroundings()

    def run(numbered):
        number, (what, ranks, fault, codes, act, again) = numbered
        home = directory / f"trial{number}"
        outcome = inject.trial(home, ranks, fault, codes, reference, act, again)
        shutil.rmtree(home)
        return what, fault or "", outcome

    def kill(one):
        what, home, ranks, delay, luck = one
        outcome = inject.kill_at(home, ranks, delay, int(luck * ranks), reference)
        shutil.rmtree(home)
        return what, f"{ranks} ranks, after {delay:.2f} s", outcome

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, enumerate(trials))) + list(pool.map(kill, kills(directory, reference, KILLS)))
    for what, fault, outcome in done:
        if outcome.complaints:
            print(f"{what} ({fault}):", *outcome.complaints, sep="\n    ", file=sys.stderr)
    table([(what, outcome) for what, _, outcome in done])
    failed = sum(bool(outcome.complaints) for _, _, outcome in done)
    print(f"\n{len(done) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="olica-faults-"))
    where.mkdir(exist_ok=True)
    sys.exit(main(where))
