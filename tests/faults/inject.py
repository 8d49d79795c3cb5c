"""Faults put into a job by shim.c, and what must hold however it ends."""
import collections, os, re, signal, subprocess, sys, time
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from damage import Job, put
from helpers import BINARY, HANGS, OBJECTS, environment, mpirun, write_config

SHIM = OBJECTS / "tests" / "faults" / "shim.so"
KILLED = {137, 1, 143}  # what mpirun may say of a rank that was killed

# How a trial went: exit code (None: it hung), seconds, what rank 0 said, complaints about the end (none is good).
Outcome = collections.namedtuple("Outcome", "code seconds message state complaints")


def tensors(path):
    """Every dataset of the model in a checkpoint; None where it cannot be read."""
    found = {}
    try:
        with h5py.File(path) as file:
            file["model"].visititems(lambda name, item: found.update({name: item[()].tobytes()})
                                     if isinstance(item, h5py.Dataset) else None)
    except (OSError, KeyError):
        return None
    return found


def make(directory, **run):
    """A job of a few kilobytes that works. Without restart files: it is the checkpoint's writing that is disturbed."""
    directory.mkdir(parents=True)
    job = Job(directory)
    put("output", overwrite="yes")(job)
    put("restart", every="off")(job)
    if run:
        put("run", **run)(job)
    return job


def preload(fault):
    return ["-x", f"LD_PRELOAD={SHIM}", "-x", f"OLICA_FAULT={fault}", "-x", "ASAN_OPTIONS=verify_asan_link_order=0"] if fault else []


def command(job, ranks, fault=None):
    write_config(job.dir / "config.ini", job.sections)
    shell = ["/bin/sh", "-c", f'{job.shell or ":"}; exec "$0" "$@"', BINARY, "config.ini"]
    return ["mpirun", "--oversubscribe", "--bind-to", "none", *preload(fault), "-n", str(ranks), *map(str, shell)]


def start(job, ranks, fault=None):
    """The job in the background, in a process group of its own."""
    return subprocess.Popen(command(job, ranks, fault), cwd=job.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            errors="replace", start_new_session=True, env=environment(OMPI_MCA_mpi_yield_when_idle=1))


def end(process, since):
    """Its exit code (None: it hung), seconds, and standard error."""
    try:
        err = process.communicate(timeout=HANGS)[1]
        return process.returncode, time.monotonic() - since, err
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, time.monotonic() - since, process.communicate()[1]


def look(job, code, seconds, err, codes, reference):
    """What is wrong with how it ended."""
    said = [line for line in err.splitlines() if " ERROR olica_mpi: " in line or line.startswith("olica_mpi: stall:")]
    checkpoint, bad = job.out / "pruned.h5", []
    if code is None:
        bad.append("hangs")
    elif code not in codes:
        bad.append(f"exit code {code}, expected one of {sorted(codes)}")
    if code in (2, 3, 4, 5, 6) and len(said) != 1:
        bad.append(f"{len(said)} messages")
    bad += [word for word in ("HDF5-DIAG", "Assertion", "*** Process", "Segmentation") if word in err]
    state = "no file"
    if checkpoint.exists():
        whole = tensors(checkpoint) == reference
        state = "the checkpoint, whole" if whole else "a wrong checkpoint"
        if not whole:
            bad.append(state)
    elif code == 0:
        bad.append("no checkpoint")
    if any(job.out.glob("*.part")):
        state += ", a .part"
        if code in (0, 2, 3, 4, 5, 6):
            bad.append("a .part is left")
    return Outcome(code, seconds, said[0] if said else "", state, bad + ([err[-1500:]] if bad else []))


def trial(directory, ranks, fault, codes, reference, act=None, again=False):
    """A run with a fault; `again`: then one without, which must succeed."""
    job = make(directory)
    try:
        if act:
            act(job)
        since = time.monotonic()
        out = look(job, *end(start(job, ranks, fault), since), codes, reference)
        if not again or out.code is None:
            return out
        job.shell = ""
        later = look(job, *end(start(job, ranks), time.monotonic()), {0}, reference)
        return out._replace(complaints=out.complaints + [f"afterwards: {c}" for c in later.complaints])
    finally:
        job.close()


def count(directory, ranks, fault):
    """How many calls of a kind a run makes, on the rank that the fault names."""
    job = make(directory)
    code, _, err = end(start(job, ranks, fault + " do=count"), time.monotonic())
    assert code == 0, err
    return int(re.search(r"shim: (\d+)", err).group(1))


def ranks_of(process):
    """{rank: process id} of a job that runs."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            if int(re.search(r"PPid:\s+(\d+)", text).group(1)) != process.pid or "Name:\tolica_mpi" not in text:
                continue
            rank = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", status.with_name("environ").read_bytes())
            found[int(rank.group(1))] = int(status.parent.name)
        except (OSError, AttributeError):
            pass  # it has ended
    return found


def kill_at(directory, ranks, delay, victim, reference):
    """kill -9 of one rank so many seconds after the start; then the same job again, which must succeed."""
    job = make(directory)
    process, since = start(job, ranks), time.monotonic()
    time.sleep(delay)
    try:
        os.kill(ranks_of(process)[victim], signal.SIGKILL)
    except (KeyError, ProcessLookupError):
        pass  # not there yet, or not any more
    killed = time.monotonic()
    code, _, err = end(process, since)
    out = look(job, code, time.monotonic() - killed, err, KILLED | {0}, reference)
    later = look(job, *end(start(job, ranks), time.monotonic()), {0}, reference)
    return out._replace(complaints=out.complaints + [f"afterwards: {c}" for c in later.complaints])
