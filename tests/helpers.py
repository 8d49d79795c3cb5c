"""Helpers of the tests: the program's path, how to start it, the paths of the data."""
import json, os, re, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("OLICA_MPI", str(ROOT / "build" / "olica_mpi"))
OBJECTS = ROOT / "build" / os.environ.get("OLICA_BUILD", "release")
PATIENCE = OBJECTS / "tests" / "faults" / "patience.so"
DEMO = ROOT / "input" / "demo"
SHARED = ROOT.parent / "shared"
HANGS = 600  # seconds after which a run counts as one that hangs: processors, kernels of BLAS and their load differ tenfold


def shared(*parts):
    """A path under ../shared; where it is absent the test is skipped, or fails if REQUIRE_SHARED=1."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        if os.environ.get("REQUIRE_SHARED") == "1":
            pytest.fail(f"no {'/'.join(('../shared',) + parts)}, and REQUIRE_SHARED=1")
        pytest.skip("skipped: no ../shared")
    return path


def environment(**extra):
    # pytest sets and removes PYTEST_CURRENT_TEST while the threads of test_wrong_input.py start programs.
    env = {key: value for key in list(os.environ) if (value := os.environ.get(key)) is not None}
    env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    env.update({k: str(v) for k, v in extra.items()})
    return env


def mpirun(ranks, *arguments, program=BINARY, timeout=HANGS, env=None, cwd=None, options=()):
    """Runs the program on so many ranks; a hang is a failure."""
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", *options, "-n", str(ranks), str(program), *map(str, arguments)]
    # Ranks that outnumber the cores must not spin; the C test programs do not see to it themselves.
    extra = {"OMPI_MCA_mpi_yield_when_idle": 1} if ranks > 1 else {}
    preload = [x for x in ((env or {}).get("LD_PRELOAD"), PATIENCE if ranks > 1 and PATIENCE.exists() else None) if x]
    if preload and OBJECTS.name != "asan":  # the sanitizers want to be loaded first
        extra["LD_PRELOAD"] = ":".join(map(str, preload))
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd,
                          env=environment(**{**(env or {}), **extra}), errors="replace")


def kernels():
    """OpenBLAS's kernels for the processors that are about, as far as this one can run them; none: not of x86-64."""
    needs = {"Prescott": "pni", "Haswell": "avx2 fma", "Zen": "avx2 fma", "SkylakeX": "avx512f avx512cd avx512bw avx512dq avx512vl"}
    flags = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.M)
    has = flags.group(1).split() if flags else []
    return [kernel for kernel, wanted in needs.items() if set(wanted.split()) <= set(has)]


def smollm2(directory, *options):
    """SmolLM2-135M as a Hugging Face directory; `--published`: the variant that the published code can read."""
    subprocess.run([sys.executable, SHARED / "models" / "SmolLM2-135M" / "make_hf.py", directory, *options], check=True, capture_output=True)
    return directory


def write_config(path, sections):
    """{"prune": {"k": 3}} as an INI file."""
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]"] + [f"{k} = {v}" for k, v in keys.items()]
    Path(path).write_text("\n".join(lines) + "\n")
    return Path(path)


def run_job(directory, ranks, sections, *arguments, name="job", timeout=HANGS, env=None):
    """Runs a config that must succeed; returns its report."""
    directory = Path(directory)
    sections = {k: dict(v) for k, v in sections.items()}
    sections.setdefault("output", {})
    sections["output"].setdefault("checkpoint", directory / f"{name}.h5")
    sections["output"].setdefault("report", directory / f"{name}.json")
    sections["output"].setdefault("overwrite", "yes")
    config = write_config(directory / f"{name}.ini", sections)
    done = mpirun(ranks, *arguments, config, timeout=timeout, env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(Path(sections["output"]["report"]).read_text())
