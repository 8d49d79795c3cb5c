import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Files that take minutes. They start first, so that no worker is left alone with one at the end.
LONG = ["test_conformance.py", "test_programs.py", "test_wrong_input.py", "test_restart.py", "test_variants.py", "test_methods.py",
        "test_text.py", "test_rot.py", "test_kernels.py", "test_riders.py", "test_outputs.py", "test_kl.py"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
