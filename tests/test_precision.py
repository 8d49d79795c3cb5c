"""[compute] precision = bf16: against fp32 and against goldens at the tolerance of bf16 products, the same at any number
of ranks and threads, within the announced memory, and in fp32 with a word about it where the processor has no bf16."""
import json

import h5py
import pytest
from helpers import DEMO, mpirun, run_job, write_config
from test_conformance import cases, judge  # noqa: F401  (cases is a fixture)

NO_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
SETTINGS = {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "output": {"dtype": "fp32"},
            "calibration": {"tokens": DEMO / "calibration.npy", "samples": 64, "length": 128},
            "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 32}}


def has_bf16():
    flags = open("/proc/cpuinfo").read().split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def run(directory, ranks, precision, threads=1, **sections):
    return run_job(directory, ranks, {**SETTINGS, **sections, "compute": {"precision": precision, "threads": threads}},
                   name=f"{precision}{ranks}{threads}")


def tensors(path):
    found = {}
    with h5py.File(path) as file:
        file["model"].visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Reports of the same job in fp32 and in bf16."""
    directory = tmp_path_factory.mktemp("pair")
    return [run(directory, 2, precision) for precision in ("fp32", "bf16")]


def test_agrees_with_fp32(pair):
    exact, rounded = pair
    assert exact["run"]["precision"] == "fp32" and exact["run"]["kernel"].startswith("oneDNN ") and "bf16" not in exact["run"]["kernel"]
    if has_bf16():
        assert rounded["run"]["precision"] == "bf16" and "bf16" in rounded["run"]["kernel"]
        assert rounded["perplexity"]["dense"] != exact["perplexity"]["dense"], "bf16 leaves a trace"
    assert rounded["calibrated_layers"] == exact["calibrated_layers"]
    for which in "dense", "pruned":
        assert rounded["perplexity"][which] == pytest.approx(exact["perplexity"][which], rel=1e-2)
    for a, b in zip(exact["layers"], rounded["layers"], strict=True):
        assert a["q_rank"] == b["q_rank"] and a["ffn_width"] == b["ffn_width"]
        assert b["q_error"] == pytest.approx(a["q_error"], rel=3e-2)
    assert rounded["linearity_score"] == pytest.approx(exact["linearity_score"], rel=3e-2)


def test_estimate_holds(pair):
    for report in pair:
        memory = report["memory"]
        assert 0.8 < memory["estimate"] / memory["counted"]["max"] < 1.25


@pytest.mark.parametrize("name", ["olica-demo.20", "olica-demo.bias-rotate.30"])
def test_golden(cases, name, tmp_path):  # noqa: F811
    judge(cases, name, 2, tmp_path, tolerance="3e-2", precision="bf16")


def test_same_bytes_on_any_ranks_and_threads(tmp_path):
    """Blocks and panels are cut in fixed places, so bf16 moves nothing between ranks either."""
    small = {"calibration": {**SETTINGS["calibration"], "samples": 24}, "evaluate": {**SETTINGS["evaluate"], "windows": 4}}
    results = []
    for ranks, threads in (1, 1), (1, 2), (2, 1), (3, 1), (4, 1):
        report = run(tmp_path, ranks, "bf16", threads, **small)
        results.append((tensors(tmp_path / f"bf16{ranks}{threads}.h5"), report["perplexity"]["pruned"]))
    first, perplexity = results[0]
    for others, its in results[1:]:
        assert [name for name in first if first[name] != others[name]] == [] and first.keys() == others.keys()
        assert its == pytest.approx(perplexity, rel=1e-9)


def test_falls_back(tmp_path):
    """Where the processor lacks bf16 the job runs in fp32, says so once, and gives what fp32 gives."""
    small = {k: dict(v) for k, v in SETTINGS.items()}
    small["calibration"]["samples"], small["evaluate"]["windows"] = 8, 4
    reports = {}
    for precision in "fp32", "bf16":
        small["output"] = {"dtype": "fp32", "checkpoint": tmp_path / f"{precision}.h5", "report": tmp_path / f"{precision}.json"}
        small["compute"] = {"precision": precision, "threads": 1}
        done = mpirun(2, write_config(tmp_path / "job.ini", small), env=NO_BF16)
        assert done.returncode == 0, done.stderr
        reports[precision] = json.loads((tmp_path / f"{precision}.json").read_text())
    assert done.stderr.count("precision = bf16: a processor of this job has neither AVX512_BF16 nor AMX; products are in fp32") == 1
    assert reports["bf16"]["run"]["precision"] == "fp32" and "bf16" not in reports["bf16"]["run"]["kernel"]
    assert any("products are in fp32" in w["text"] for w in reports["bf16"]["warnings"])
    assert reports["bf16"]["perplexity"] == reports["fp32"]["perplexity"]
    assert tensors(tmp_path / "bf16.h5") == tensors(tmp_path / "fp32.h5")
