"""OpenBLAS's kernels: on each that this processor can run, the same bytes on any number of ranks and threads."""
import re

import pytest

from helpers import DEMO, OBJECTS, kernels, mpirun, run_job
from test_ranks import datasets
from test_variants import build, prune

RUNS = [(1, 1), (1, 2), (1, 3), (2, 2)]  # ranks and threads


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
                                           "compute": {"threads": threads}}, env={"OPENBLAS_CORETYPE": kernel})
        assert kernel in report["run"]["kernel"]
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
        prune(tmp_path, ranks, shape=(6, 101), compute={"threads": threads}, env={"OPENBLAS_CORETYPE": kernel})
        results.append(datasets(tmp_path / "job.h5"))
    for others in results[1:]:
        assert [name for name in results[0] if results[0][name] != others[name]] == []
