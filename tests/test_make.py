"""The Makefile: an unknown BUILD is refused, and what has been compiled is not compiled again for another target."""
import os, subprocess

import pytest
from helpers import HANGS, ROOT

# Stands in for the compiler: an empty file for whatever it is asked to make.
COMPILER = """#!/bin/sh
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then : >"$2"; fi
  shift
done"""


def make(*arguments, **variables):
    return subprocess.run(["make", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=HANGS, env={**os.environ, **variables})


@pytest.mark.parametrize("build", ["relase", "", "release debug", "%"])
def test_an_unknown_build_is_refused(build):
    done = make(f"BUILD={build}", "-n", "all")
    assert done.returncode == 2 and f'BUILD = "{build}", expected one of asan debug fuzz release' in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("build", ["release", "debug", "asan", "fuzz"])
def test_a_known_build_has_flags(build):
    done = make(f"BUILD={build}", "-n", "all")
    assert done.returncode == 0 and " -O" in done.stdout, done.stderr


@pytest.mark.parametrize("targets", [("all", "bench-programs", "test-programs", "all"), ("test-programs", "all"), ("bench-programs", "all")])
def test_nothing_is_compiled_twice(targets, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    compiled = []
    for target in targets:
        done = make(target, f"O={tmp_path}/build", f"CC={compiler}")
        assert done.returncode == 0, done.stdout + done.stderr
        compiled += [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  CC ")]
    assert len(compiled) > 100 and len(compiled) == len(set(compiled))


def test_other_flags_compile_everything_again(tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    first, again, other = (make("all", f"O={tmp_path}/build", f"CC={compiler}", f"CFLAGS={flags}").stdout.count("  CC ") for flags in ("-O1", "-O1", "-O2"))
    assert first == other > 100 and again == 0
