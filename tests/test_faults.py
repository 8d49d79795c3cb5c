"""Faults of disk, memory and ranks, a few of each kind; all of them are in `make check-faults` (faults/campaign.py).
Every job ends on all ranks, with one message and its exit code, and leaves no checkpoint that is not the right one."""
import ctypes, os, re, select, signal, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import pytest

from damage import mounted, put, shell
from faults import inject
from faults.campaign import IO, INPUT, MEMORY, OK, STALLED, kills, reference_of
from helpers import BINARY, DEMO, HANGS, mpirun, run_job

# What, fault, exit codes.
INJECTED = [
    ("a write fails", "rank=1 call=write path=out/pruned nth=7 do=EIO", IO),
    ("a disk becomes full", "rank=0 call=write path=out/pruned nth=9+ do=ENOSPC", IO),
    ("a write is short", "rank=1 call=write path=out/pruned nth=7 do=short", IO),
    ("a sync fails", "rank=1 call=sync path=out/pruned nth=2 do=EIO", IO),
    ("a rename fails", "rank=0 call=rename path=pruned.h5 do=EIO", IO),
    ("no blocks", "rank=0 call=allocate path=out/pruned do=ENOSPC", IO),
    ("one rank cannot open it", "rank=2 call=open path=out/pruned nth=1 do=EACCES", IO),
    ("reading back fails", "rank=1 call=read path=out/pruned nth=5 do=EIO", IO),
    ("reading back brings a wrong bit", "rank=0 call=read path=out/pruned nth=60 do=flip", IO),
    ("a read of weights fails", "rank=1 call=read path=model.safetensors nth=9 do=EIO", IO),
    ("weights end", "rank=2 call=read path=model.safetensors nth=1 do=end", INPUT),
    ("reads are short", "call=read path=model.safetensors nth=1+ do=short", OK),
    ("the report's disk is full", "rank=0 call=write path=report.json nth=2 do=ENOSPC", IO)]
INJECTED += [(f"no memory, {nth}", f"rank=0 call=memory nth={nth} do=ENOMEM", MEMORY) for nth in (10, 42, 100, 160, 220, 300, 380)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return reference_of(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def outcomes(reference, tmp_path_factory):
    """All at once, three at a time: most of a job this small is waiting."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda one: inject.trial(tmp_path_factory.mktemp("trial") / "job", 3, one[1], one[2], reference), INJECTED))


@pytest.mark.parametrize("number", range(len(INJECTED)), ids=[what.replace(" ", "_") for what, *_ in INJECTED])
def test_injected(number, outcomes):
    assert not outcomes[number].complaints, (INJECTED[number], outcomes[number])


def test_shim_is_there(tmp_path):
    """A fault that never comes would pass every test above that expects none."""
    assert inject.count(tmp_path / "job", 2, "rank=1 call=memory") > 400


def test_full_disk(reference, tmp_path):
    outcome = inject.trial(tmp_path / "job", 2, None, IO, reference, mounted("size=200k"))
    assert not outcome.complaints, outcome


def test_limits_and_afterwards(reference, tmp_path):
    outcome = inject.trial(tmp_path / "job", 2, None, MEMORY | OK, reference, shell("ulimit -v 640000"), again=True)
    assert not outcome.complaints, outcome


def test_kills(reference, tmp_path):
    for what, home, ranks, delay, luck in kills(tmp_path, reference, 4, seed=7):
        outcome = inject.kill_at(home, ranks, delay, int(luck * ranks), reference)
        assert not outcome.complaints, (ranks, delay, outcome)


def test_a_semaphore_that_a_killed_job_left(tmp_path):
    """Open MPI takes a semaphore called by the file's name while it opens it, and would wait for the dead."""
    name = f"left-{tmp_path.name}"
    library = ctypes.CDLL(None, use_errno=True)
    library.sem_open.restype = ctypes.c_void_p
    assert library.sem_open(f"/OMPIO_{name}.h5.part".encode(), 0o100, 0o644, 0)  # O_CREAT, taken
    left = Path(f"/dev/shm/sem.OMPIO_{name}.h5.part")
    assert left.exists()
    try:
        run_job(tmp_path, 2, {"model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 4},
                              "prune": {"mlp_num": 2}}, name=name, timeout=HANGS)
        assert not left.exists()
    finally:
        left.unlink(missing_ok=True)


# ---- the watchdog ----

def read_until(process, pattern, seconds):
    """What the job says until a line is like that."""
    text, until = "", time.monotonic() + seconds
    while not re.search(pattern, text) and time.monotonic() < until:
        if select.select([process.stderr], [], [], 1)[0]:
            text += os.read(process.stderr.fileno(), 1 << 16).decode(errors="replace")
    return text


def test_a_rank_that_stands_still(reference, tmp_path):
    """One rank is stopped in the middle of reading: the others say where they wait for it; then all goes on."""
    job = inject.make(tmp_path / "job", stall=2)
    process = inject.start(job, 3, "rank=1 call=read path=model.safetensors nth=5 do=stop")
    said = read_until(process, r"(?s)rank 0 .*rank 2 |rank 2 .*rank 0 ", 60)
    stopped = inject.ranks_of(process)[1]
    os.kill(stopped, signal.SIGCONT)
    code, seconds, rest = inject.end(process, time.monotonic())
    assert code == 0, said + rest
    for rank in 0, 2:
        assert re.search(rf"olica_mpi: stall: rank {rank} on \S+ waits: it entered an? .* \(phase read\) 2 s ago", said), said
    assert inject.tensors(job.out / "pruned.h5") == reference


def test_a_rank_that_works_long_says_so(reference, tmp_path):
    job = inject.make(tmp_path / "job", stall=1)
    code, _, err = inject.end(inject.start(job, 3, "rank=1 call=read path=model.safetensors nth=5 do=wait:3"), time.monotonic())
    assert code == 0, err
    assert re.search(r"stall: rank 1 on \S+ is at work: it left an? .* \(phase read\) 1 s ago", err), err


def test_what_nobody_will_join_ends(reference, tmp_path):
    """HDF5 writes its structure where one rank's failure keeps the others waiting inside of it."""
    outcome = inject.trial(tmp_path / "job", 3, "rank=1 call=write path=out/pruned nth=1 do=EIO", STALLED, reference, put("run", stall=1))
    assert not outcome.complaints, outcome
    assert "a flush of HDF5 (phase write)" in outcome.message, outcome


def test_one_byte_of_a_checkpoint(reference, tmp_path):
    """The first byte of datasets, one at a time: --verify names the dataset."""
    job = inject.make(tmp_path / "job")
    assert inject.end(inject.start(job, 2), time.monotonic())[0] == 0
    whole = (job.out / "pruned.h5").read_bytes()
    with h5py.File(job.out / "pruned.h5") as file:
        places = {}
        file.visititems(lambda name, item: places.update({name: item.id.get_offset()}) if isinstance(item, h5py.Dataset) else None)
    for name in sorted(places)[::24]:
        at = places[name]
        (job.out / "hurt.h5").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        done = mpirun(1, "--verify", job.out / "hurt.h5", program=BINARY)
        assert done.returncode == 3 and name in done.stderr, (name, done.stderr)
