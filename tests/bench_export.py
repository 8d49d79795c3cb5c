#!/usr/bin/env python3
"""bench_export.py: the rate at which --export writes a model of LLaMA-7B's shape, beside the disk's.

Writes a model of a few such layers with random weights (large_model.py), prunes it by 10 % by magnitude, and exports the checkpoint as
hf and gguf at each number of ranks. In turn with them, round by round: a plain program that writes as many bytes from memory into a new file of
reserved blocks and syncs it, and --verify of the checkpoint, which --export does first. The page cache holds the checkpoint. Prints the medians,
and of every export the bytes over the seconds, with and without the check. `make bench-export BENCH='--layers 4 --rounds 5'`."""
import argparse, os, resource, shutil, statistics, sys, time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import mpirun, write_config
from large_model import BENCH, make_model

PIECE = 16 << 20


def processor():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(work):
    """(seconds, seconds of processors), which other programs on the machine lengthen much less."""
    os.sync()
    start, used = time.perf_counter(), processor()
    work()
    return time.perf_counter() - start, processor() - used


def command(ranks, *arguments):
    done = mpirun(ranks, *arguments, timeout=1800)
    assert done.returncode == 0, done.stderr


def plain(path, size):
    """What the disk does: random bytes, reserved blocks, one writer, synced."""
    piece = np.random.default_rng(1).bytes(PIECE)

    def work():
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.posix_fallocate(file, 0, size)
        for at in range(0, size, PIECE):
            os.pwrite(file, piece[:min(PIECE, size - at)], at)
        os.fsync(file)
        os.close(file)
    seconds = timed(work)
    path.unlink()
    return seconds


def size_of(path):
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.iterdir())


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def measure(place, checkpoint, options):
    """{case: (seconds, of processors)}, and the bytes of a case's output."""
    seconds, sizes = {}, {}
    book = lambda case, s: seconds.setdefault(case, []).append(s)
    for _ in range(options.rounds):
        for ranks in options.ranks:
            book(("verify", ranks), timed(lambda: command(ranks, "--verify", checkpoint)))
            for kind in options.kinds.split(","):
                out = place / f"out.{kind}"
                book((kind, ranks), timed(lambda: command(ranks, "--set", f"output.export_dtype={options.dtype}", "--export", f"{kind}:{out}", checkpoint)))
                sizes[kind] = size_of(out)
                remove(out)
        book(("plain", 1), plain(place / "plain", max(sizes.values())))
    return {case: tuple(map(statistics.median, zip(*times))) for case, times in seconds.items()}, sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--kinds", default="hf,gguf")
    parser.add_argument("--dtype", default="bf16", help="of the exports; the checkpoint is bf16")
    options = parser.parse_args()
    model = make_model("7b", options.layers)
    checkpoint = model / "pruned.h5"
    command(2, "--quiet", write_config(model / "job.ini", {"model": {"path": model}, "prune": {"method": "magnitude", "sparsity": 0.1},
                                                           "output": {"checkpoint": checkpoint, "report": model / "report.json", "overwrite": "yes"}}))
    seconds, sizes = measure(model, checkpoint, options)
    most = max(sizes.values())
    print(f"{options.layers} layers of 7B's shape, {options.dtype}, medians of {options.rounds}; load {os.getloadavg()[0]:.1f}\n")
    print("| | ranks | MB | s | processors, s | MB/s | without the check, MB/s |\n|---|---:|---:|---:|---:|---:|---:|")
    s, used = seconds["plain", 1]
    print(f"| plain write, synced | 1 | {most / 1e6:.0f} | {s:.2f} | {used:.2f} | {most / 1e6 / s:.0f} | |")
    for kind in sizes:
        for ranks in options.ranks:
            (s, used), (check, _), megabytes = seconds[kind, ranks], seconds["verify", ranks], sizes[kind] / 1e6
            print(f"| {kind} | {ranks} | {megabytes:.0f} | {s:.2f} | {used:.2f} | {megabytes / s:.0f} | {megabytes / max(s - check, 1e-9):.0f} |")
    for ranks in options.ranks:
        s, used = seconds["verify", ranks]
        print(f"| --verify of the checkpoint | {ranks} | {checkpoint.stat().st_size / 1e6:.0f} | {s:.2f} | {used:.2f} | | |")
    shutil.rmtree(model)


if __name__ == "__main__":
    main()
