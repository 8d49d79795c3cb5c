"""What a killed job leaves on its node does not stop the next one: Open MPI's MPI-IO takes a named semaphore while it opens
a file (/dev/shm/sem.OMPIO_NAME), and waits forever for one that nobody will ever give back."""
import ctypes
from pathlib import Path

from helpers import DEMO, run_job


def test_semaphore_that_nobody_gives_back(tmp_path):
    name = f"left-{tmp_path.name}"
    library = ctypes.CDLL(None, use_errno=True)
    library.sem_open.restype = ctypes.c_void_p
    assert library.sem_open(f"/OMPIO_{name}.h5.part".encode(), 0o100, 0o644, 0)  # O_CREAT, taken
    left = Path(f"/dev/shm/sem.OMPIO_{name}.h5.part")
    assert left.exists()
    try:
        run_job(tmp_path, 2, {"model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 4},
                              "prune": {"mlp_num": 2}}, name=name, timeout=180)
        assert not left.exists()
    finally:
        left.unlink(missing_ok=True)
