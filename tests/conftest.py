import re, sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Files that take minutes. They start first, so that no worker is left alone with one at the end.
MINUTES = ["test_conformance.py", "test_programs.py", "test_wrong_input.py", "test_restart.py", "test_variants.py", "test_methods.py",
           "test_export.py", "test_text.py", "test_rot.py", "test_kernels.py", "test_riders.py", "test_outputs.py", "test_kl.py"]

# The tests of `make check-long`: what `make check` tests too, at more rank counts, back ends, kernels, methods and files, and
# the full-size model. `-m long` and `-m "not long"` choose.
LONG = [
    r"test_conformance.py::test_(smollm2_short|demo.*)",
    r"test_conformance.py::test_golden\[.*-(2|3|4|8)\]",
    r"test_conformance.py::test_solver\[.*-(lapack-[124]|scalapack-[123]|slepc-[134])\]",
    r"test_conformance.py::test_(solver|mixed_precision)\[olica-demo.*\]",
    r"test_programs.py::test_mpi\[.*-(3|4|8)\]",
    r"test_kernels.py::test_same_bytes\w*\[(Zen|Prescott|SkylakeX)\]",
    r"test_methods.py::test_stopped_and_killed\[(magnitude|wanda-sp|slimgpt|svd-llm|flap|refit, (influence|dense statistics|uniform))\]",
    r"test_(riders|kl).py::test_interrupted\[3\]",
    r"test_kl.py::test_memory_is_foreseen\[(1|2)\]",
    r"test_outputs.py::test_(no_other_file_is_taken_for_a_lock|what_appears_meanwhile_stays|another_lock_stays|two_jobs_with_one_report\[no\])",
    r"test_outputs.py::test_links_that_lead_nowhere\[(--dump-tokens|--predictions|\[output\] report)\]",
    r"test_rot.py::test_(checkpoint|restart_files|structure)",
    r"test_text.py::test_what_is_no_text_is_refused\[2\]",
    r"test_refit.py::test_golden\[.*-(4|8)\]",
    r"test_refit.py::test_estimate_of_wide_layers\[.*bf16.*\]",
    r"test_baselines.py::test_\w+\[.*-2\]",
    r"test_families.py::test_(old_form|defaults)\[.*\]",
    r"test_library.py::test_example\[3\]",
    r"test_variants.py::test_judge_agrees_with_a_golden",
    r"test_large_model.py::test_whole_bench",
]


def pytest_configure(config):
    config.addinivalue_line("markers", "long: a test of `make check-long`")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: MINUTES.index(item.path.name) if item.path.name in MINUTES else len(MINUTES))
    for item in items:
        if any(re.fullmatch(pattern, f"{item.path.name}::{item.name}") for pattern in LONG):
            item.add_marker(pytest.mark.long)
