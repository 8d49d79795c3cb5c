"""`make memcheck`: the whole job on a model of a few kilobytes at 2 ranks, with every solver, under valgrind and with
the address and undefined-behaviour sanitizers. Both must find nothing in our code.

    memcheck.py VALGRIND_BINARY SANITIZER_BINARY"""
import re, subprocess, sys, tempfile
from pathlib import Path

from damage import Job, put
from helpers import ROOT, environment, write_config

VALGRIND = ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
            "--num-callers=40", "--error-exitcode=99", f"--suppressions={ROOT / 'tests' / 'valgrind.supp'}"]
# valgrind 3.19 does not know AVX-512. The sanitizer's leak check would see what MPI keeps, and is off in the program (src/main.c): valgrind looks for leaks.
SETTINGS = {"OPENBLAS_CORETYPE": "Haswell", "UBSAN_OPTIONS": "print_stacktrace=1"}


def run(binary, tool, job, *arguments):
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", *tool, str(binary), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, cwd=job.dir,
                          env=environment(OMPI_MCA_mpi_yield_when_idle=1, **SETTINGS))
    found = re.findall(r"==\d+== \S.*|.*ERROR: AddressSanitizer.*|.*runtime error:.*", done.stdout + done.stderr)
    return done.returncode, found


def check(binary, tool, name, directory):
    """A run with each solver, one that fails in the middle, and what reads a checkpoint."""
    directory.mkdir()
    job = Job(directory)
    put("output", overwrite="yes")(job)
    write_config(job.dir / "config.ini", job.sections)
    failures = 0
    trials = [(eigen, 0, ("--set", f"solver.eigen={eigen}", "--set", "solver.block=4", "config.ini"))
              for eigen in ("auto", "lapack", "scalapack", "slepc")]
    trials += [("bf16", 0, ("--set", "output.dtype=bf16", "config.ini")), ("--verify", 0, ("--verify", "out/pruned.h5")),
               ("--check", 0, ("--check", "config.ini")),
               ("evaluates a checkpoint", 0, ("--set", "model.path=out/pruned.h5", "--set", "prune.method=none", "config.ini")),
               ("impossible budget", 2, ("--set", "prune.sparsity=0.99", "config.ini"))]
    for trial, expected, arguments in trials:
        code, found = run(binary, tool, job, *arguments)
        good = code == expected and not found
        failures += not good
        print(f"{name}, {trial}: {'clean' if good else f'exit code {code}'}", *found[:40], sep="\n  ", flush=True)
    return failures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        failures = check(Path(sys.argv[1]).resolve(), VALGRIND, "valgrind", Path(temporary) / "valgrind")
        failures += check(Path(sys.argv[2]).resolve(), [], "sanitizers", Path(temporary) / "sanitizers")
    print(f"{18 - failures} passed, {failures} failed")
    sys.exit(failures > 0)
