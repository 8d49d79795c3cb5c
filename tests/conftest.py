import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Files that take minutes. They start first, so that no worker is left alone with one at the end.
LONG = ["test_programs.py", "test_wrong_input.py", "test_restart.py", "test_conformance.py", "test_variants.py", "test_text.py"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
