"""The C tests: cmocka programs for what is serial, MPI programs at several rank counts."""
import re

import pytest
from helpers import HANGS, OBJECTS, ROOT, mpirun

UNIT = sorted(p.stem for p in (ROOT / "tests" / "unit").glob("test_*.c"))
FUZZ = sorted(p.stem[len("fuzz_"):] for p in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))
MPI = sorted(p.stem for p in (ROOT / "tests" / "mpi").glob("test_*.c"))


@pytest.mark.parametrize("name", UNIT)
def test_unit(name):
    done = mpirun(1, program=OBJECTS / "tests" / "unit" / name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"\[  PASSED  \] (\d+) test", done.stdout + done.stderr).group(1)) > 0


@pytest.mark.parametrize("name", FUZZ)
def test_fuzz_seeds(name):
    """Each fuzz target over its seeds and a fixed set of changed ones; `make fuzz` goes on from there."""
    seeds = sorted((ROOT / "tests" / "fuzz" / "seeds" / name).iterdir())
    done = mpirun(1, *seeds, program=OBJECTS / "tests" / "fuzz" / f"replay_{name}", timeout=HANGS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert int(re.search(r"(\d+) passed, 0 failed", done.stdout).group(1)) > 100 * len(seeds)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", MPI)
def test_mpi(name, ranks, tmp_path):
    done = mpirun(ranks, program=OBJECTS / "tests" / "mpi" / name, cwd=tmp_path, timeout=HANGS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    passed, failed = map(int, re.findall(r"(\d+) passed, (\d+) failed", done.stdout)[-1])
    assert passed > 0 and failed == 0
