"""libolica as its users have it: installed, found by pkg-config, linked to doc/example.c; and what it does when it fails."""
import hashlib, json, os, re, subprocess

import h5py, numpy as np
import pytest
from helpers import DEMO, ROOT, mpirun, write_config
from tiny_model import make_byte_model, make_ids

PREFIX = "/opt/olica"
SHORT = {"calibration": {"tokens": DEMO / "calibration.npy", "samples": 16, "length": 128},
         "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 4}}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    destination = tmp_path_factory.mktemp("library")
    done = subprocess.run(["make", "-s", "install", f"BUILD={os.environ.get('OLICA_BUILD', 'release')}", f"PREFIX={PREFIX}",
                           f"DESTDIR={destination}"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return destination / PREFIX[1:]


def compiled(installed, source, directory):
    flags = subprocess.run(["pkg-config", f"--define-variable=prefix={installed}", "--cflags", "--libs", "olica"], check=True, text=True,
                           capture_output=True, env=dict(os.environ, PKG_CONFIG_PATH=str(installed / "lib/pkgconfig"))).stdout.split()
    sanitizers = ["-fsanitize=address,undefined"] if os.environ.get("OLICA_BUILD") == "asan" else []
    program = directory / source.stem
    done = subprocess.run(["mpicc", "-std=c11", "-Wall", "-Wextra", "-Werror", *sanitizers, "-o", program, source, *flags],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def declared():
    return set(re.findall(r"^[a-z][^;(]*?\b(olica_\w+)\(", (ROOT / "include/olica.h").read_text(), re.M))


def test_only_the_declared_functions_can_be_seen(installed):
    seen = subprocess.run(["nm", "-g", "--defined-only", installed / "lib/libolica.a"], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r" [A-Z] (\w+)$", seen, re.M)) == declared()
    assert 14 <= len(declared()) <= 16


def test_header_is_c_and_cxx_by_itself(installed, tmp_path):
    for name, compiler in (("a.c", "mpicc"), ("a.cc", "mpicxx")):
        (tmp_path / name).write_text("#include <olica.h>\n")
        if name == "a.cc" and subprocess.run(["which", "g++"], capture_output=True).returncode:
            continue
        done = subprocess.run([compiler, "-Wall", "-Werror", f"-I{installed}/include", "-c", name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_example(installed, tmp_path, ranks):
    """The example finds the numbers that the program finds, and writes the same bytes."""
    program = compiled(installed, ROOT / "doc/example.c", tmp_path)
    (tmp_path / "text.txt").write_text("Once upon a time there was a little dog who liked to play in the garden. " * 200)
    config = write_config(tmp_path / "job.ini", {"model": {"path": DEMO}, "prune": {"sparsity": 0.2, "mlp_num": 1}, **SHORT,
                                                 "output": {"checkpoint": "pruned.h5", "report": "job.json", "overwrite": "yes"}})
    done = mpirun(ranks, DEMO, config, "pruned.h5", "text.txt", program=program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    by_library = hashlib.sha256(datasets(tmp_path / "pruned.h5")).hexdigest()
    perplexities = []
    for model in (DEMO, tmp_path / "pruned.h5"):
        evaluate = write_config(tmp_path / "evaluate.ini", {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"text": "text.txt"},
                                                            "output": {"report": "evaluate.json", "overwrite": "yes"}})
        assert mpirun(1, evaluate, cwd=tmp_path).returncode == 0
        perplexities.append(json.loads((tmp_path / "evaluate.json").read_text())["perplexity"]["model"])
    said = re.search(r"^perplexity: (\S+) before, (\S+) after$", done.stdout, re.M)
    assert list(said.groups()) == [f"{value:.4f}" for value in perplexities], (done.stdout, perplexities)
    assert len(re.findall(r"^model/layers/\d+/\w+/weight: \d+ x \d+$", done.stdout, re.M)) == 7 * 6
    assert mpirun(ranks, config, cwd=tmp_path).returncode == 0
    assert hashlib.sha256(datasets(tmp_path / "pruned.h5")).hexdigest() == by_library


def datasets(path):
    found = []
    with h5py.File(path) as file:
        file["model"].visititems(lambda name, x: found.append(name.encode() + np.asarray(x).tobytes()) if isinstance(x, h5py.Dataset) else None)
    return b"".join(found)


def test_example_says_what_is_wrong(installed, tmp_path):
    program = compiled(installed, ROOT / "doc/example.c", tmp_path)
    done = mpirun(2, "absent", "job.ini", "pruned.h5", "text.txt", program=program, cwd=tmp_path)
    assert done.returncode == 3 and "example: absent" in done.stderr


@pytest.mark.parametrize("ranks", [1, 2])
def test_failures(installed, tmp_path, ranks):
    """A failure has the program's code and a message, and the session goes on; PETSc is started and ended more than once."""
    program = compiled(installed, ROOT / "tests/library/failures.c", tmp_path)
    make_byte_model(tmp_path / "model", layers=3, config={"max_position_embeddings": 256})
    make_ids(tmp_path / "calibration.npy", rows=6, length=16)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog " * 20)
    done = mpirun(ranks, "model", program=program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [(name, int(code), message) for name, code, message in (line.split("|") for line in done.stdout.splitlines())]
    for name, code, words in [("attach", 0, ""), ("no model", 3, "absent"), ("no handle", 1, ""), ("model", 0, ""),
                              ("no such layer", 2, "model: no layer 99, expected 0 to 2"), ("before the first", 2, "no layer -1"),
                              ("last layer", 0, ""), ("first layer", 0, ""), ("tensors", 9, "model/layers/000/"), ("run by slepc", 0, ""),
                              ("report", 1, ""), ("no config", 2, "absent.ini"), ("no report", 1, ""),
                              ("no setting", 2, "did you mean [prune] sparsity"), ("verify", 0, ""), ("checked", 1, ""),
                              ("no checkpoint", 3, "absent.h5"), ("no text", 3, "absent.txt"), ("text", 0, ""), ("perplexity", 1, ""),
                              ("what was open is closed", 0, "")]:
        found = [(c, m) for n, c, m in said if n == name]
        assert found and all(c == code and words in m for c, m in found), (name, found, done.stderr)
    assert [name for name, *_ in said].count("run by slepc") == 2
