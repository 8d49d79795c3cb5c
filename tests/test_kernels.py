"""Kernels of OpenBLAS and of oneDNN: on each that this processor can run, the same bytes on any number of ranks and threads; where
OpenBLAS does not know the processor, the program starts itself again with the right one; ranks that differ are told."""
import json, re, shutil

import pytest

from helpers import BINARY, DEMO, OBJECTS, kernels, mpirun, run_job
from test_ranks import datasets
from test_variants import build, prune

RUNS = [(1, 1), (1, 2), (1, 3), (2, 2)]  # ranks and threads
ONEDNN = {"SSE41": "sse41", "AVX2": "avx2", "AVX512_CORE": "avx512_core"}  # ONEDNN_MAX_CPU_ISA, and the kernel's last word
# OpenBLAS's kernels, each beside oneDNN's for the same processors; more pairs would show nothing more.
BESIDE = {"Prescott": "SSE41", "Haswell": "AVX2", "Zen": "AVX2", "SkylakeX": "AVX512_CORE"}


def kernel_pair(kernel):
    """The environment of a job with a kernel of OpenBLAS and oneDNN's beside it."""
    return {"OPENBLAS_CORETYPE": kernel, "ONEDNN_MAX_CPU_ISA": BESIDE[kernel]}


@pytest.mark.parametrize("kernel", kernels())
def test_products(kernel):
    done = mpirun(1, program=OBJECTS / "tests" / "unit" / "test_product", env={"OPENBLAS_CORETYPE": kernel})
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"\[  PASSED  \] (\d+) test", done.stdout + done.stderr).group(1)) > 0


@pytest.mark.parametrize("kernel", kernels())
def test_same_bytes(kernel, tmp_path):
    results = []
    for ranks, threads in RUNS:
        report = run_job(tmp_path, ranks, {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "output": {"dtype": "bf16"},
                                           "calibration": {"tokens": DEMO / "calibration.npy", "samples": 8, "length": 128},
                                           "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 2},
                                           "compute": {"threads": threads}}, env=kernel_pair(kernel))
        assert report["run"]["blas_kernel"]["name"] == kernel
        assert report["run"]["kernel"].split()[-1] == ONEDNN[BESIDE[kernel]]
        results.append((datasets(tmp_path / "job.h5"), report["perplexity"]))
    for others in results[1:]:
        assert [name for name in results[0][0] if results[0][0][name] != others[0][name]] == []
        assert others == results[0]


@pytest.mark.parametrize("kernel", kernels())
def test_same_bytes_where_heads_are_few(kernel, tmp_path):
    """Attention too small for threads of ours must not get BLAS's; sizes that no kernel's steps divide."""
    build(tmp_path / "model", config={"hidden_size": 74, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 74,
                                      "intermediate_size": 154, "max_position_embeddings": 128})
    results = []
    for ranks, threads in RUNS:
        prune(tmp_path, ranks, shape=(6, 101), compute={"threads": threads}, env=kernel_pair(kernel))
        results.append(datasets(tmp_path / "job.h5"))
    for others in results[1:]:
        assert [name for name in results[0] if results[0][name] != others[name]] == []


# ---- a processor that OpenBLAS does not know -------------------------------------------------------------------------

SHIM = OBJECTS / "tests" / "faults" / "unknown_processor.so"
BEST = "SkylakeX" if "SkylakeX" in kernels() else "Haswell"  # of any maker's processor
AGAIN = f"took its kernel Prescott for this processor; the program started itself again with OPENBLAS_CORETYPE={BEST} "
unknown = pytest.mark.skipif("Haswell" not in kernels(), reason="this processor can run nothing better than Prescott")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in "OPENBLAS_CORETYPE", "OLICA_BLAS_KERNEL":
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kernels")
    build(directory / "model")
    prune(directory, 1)
    return directory / "job.ini"


def start(config, *arguments, ranks=1, shim=SHIM, **env):
    """A job whose OpenBLAS does not know the processor: its log, who chose which kernel, all warnings."""
    env = {"LD_PRELOAD": shim, "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **env}
    done = mpirun(ranks, *arguments, config, options=[word for k, v in env.items() for word in ("-x", f"{k}={v}")])
    assert done.returncode == 0, done.stderr
    report = json.loads((config.parent / "job.json").read_text())
    assert {rank["blas_kernel"] for rank in report["ranks"]} == {report["run"]["blas_kernel"]["name"]}
    return done.stderr, report["run"]["blas_kernel"], [w["text"] for w in report["warnings"] if "BLAS" in w["text"]]


@unknown
@pytest.mark.parametrize("ranks", [1, 2])
def test_unknown_processor(ranks, config):
    """With the same arguments, and what another process was marked with does not count."""
    log, kernel, warnings = start(config, "--set", "solver.block=4", ranks=ranks, OLICA_BLAS_STARTED="1 Prescott")
    assert log.count(AGAIN) == 1 and warnings == [], log
    assert kernel == {"name": BEST, "chosen_by": "program"}


@unknown
@pytest.mark.parametrize("env, expected", [
    ({"OPENBLAS_CORETYPE": "Prescott"}, {"name": "Prescott", "chosen_by": "user"}),
    ({"OPENBLAS_CORETYPE": "haswell"}, {"name": "Haswell", "chosen_by": "user"}),
    ({"OLICA_BLAS_KERNEL": "keep"}, {"name": "Prescott", "chosen_by": "library"})], ids=["low", "high", "keep"])
def test_what_the_user_sets_stays(env, expected, config):
    log, kernel, warnings = start(config, **env)
    assert "started itself again" not in log and kernel == expected and warnings == [], log


@unknown
def test_what_cannot_be_had_is_told(config, tmp_path):
    """Another kernel is not there; the program cannot be started; valgrind would lose it; a setting that is none."""
    log, kernel, [warning] = start(config, OLICA_UNKNOWN="deaf")
    assert log.count(AGAIN) == 1 and kernel == {"name": "Prescott", "chosen_by": "library"}
    assert f"OpenBLAS has no kernel OPENBLAS_CORETYPE={BEST}, it runs Prescott" in warning
    log, kernel, [warning] = start(config, OLICA_UNKNOWN="stuck")
    assert "cannot start itself again (Permission denied)" in warning and f"set OPENBLAS_CORETYPE={BEST}" in warning
    assert kernel == {"name": "Prescott", "chosen_by": "library"}
    shutil.copy(SHIM, tmp_path / "vgpreload_core.so")
    log, kernel, [warning] = start(config, shim=tmp_path / "vgpreload_core.so")
    assert "cannot start itself again (Operation not permitted)" in warning
    log, kernel, [warning] = start(config, OLICA_BLAS_KERNEL="SkylakeX")
    assert "OLICA_BLAS_KERNEL=SkylakeX: not known, expected keep" in warning and log.count(AGAIN) == 1


def test_known_processor(config):
    done = mpirun(1, config)
    report = json.loads((config.parent / "job.json").read_text())
    assert done.returncode == 0 and report["run"]["blas_kernel"]["chosen_by"] in ("library", "program"), done.stderr
    assert report["run"]["blas_kernel"]["name"] != "Prescott" or "Haswell" not in kernels()


@unknown
@pytest.mark.parametrize("first, second, common", [("Haswell", "Prescott", "Prescott"), ("Zen", "Haswell", "Haswell"), ("Haswell", "Haswell", None)])
def test_ranks_that_differ(first, second, common, config):
    """Two kinds of node in one job are told once, with the setting that makes them alike."""
    other = (":", "-n", "1", "env", f"OPENBLAS_CORETYPE={second}", BINARY, config)
    done = mpirun(1, f"OPENBLAS_CORETYPE={first}", BINARY, config, *other, program="env")
    report = json.loads((config.parent / "job.json").read_text())
    assert done.returncode == 0 and [rank["blas_kernel"] for rank in report["ranks"]] == [first, second], done.stderr
    said = [line for line in done.stderr.splitlines() if "WARN  BLAS: kernels differ" in line]
    if not common:
        assert said == []
        return
    host = report["ranks"][0]["host"]
    assert f"rank 0 on {host}: {first}, rank 1 on {host}: {second}" in said[0] and len(said) == 1
    assert said[0].endswith(f"mpirun -x OPENBLAS_CORETYPE={common}")
    assert [w["count"] for w in report["warnings"] if "kernels differ" in w["text"]] == [1]


@unknown
def test_products_of_ranks_that_differ(config):
    """So are two kinds of processor for the products of the passes."""
    other = (":", "-n", "1", "env", "ONEDNN_MAX_CPU_ISA=SSE41", BINARY, config)
    done = mpirun(1, "ONEDNN_MAX_CPU_ISA=AVX2", BINARY, config, *other, program="env")
    report = json.loads((config.parent / "job.json").read_text())
    host = report["ranks"][0]["host"]
    [said] = [line for line in done.stderr.splitlines() if "WARN  products: kernels differ" in line]
    assert done.returncode == 0 and re.search(f"rank 0 on {host}: oneDNN [0-9.]+ avx2, rank 1 on {host}: oneDNN [0-9.]+ sse41", said)
    assert said.endswith("mpirun -x ONEDNN_MAX_CPU_ISA=SSE41")
    assert [w["count"] for w in report["warnings"] if "products: kernels differ" in w["text"]] == [1]
