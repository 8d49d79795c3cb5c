"""The models that the benches write: files as hubs ship them, numbers with what trained weights show; and the whole bench on a small shape."""
import json, os, subprocess, sys

import numpy as np
import pytest

import large_model
from helpers import BINARY, ROOT, environment

SHAPE, LAYERS, SHARD = "tiny", 2, 17_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return large_model.make_model(SHAPE, LAYERS, tmp_path_factory.mktemp("large"), SHARD)


def read(model):
    """All tensors as fp32, by the headers; every file's bytes are used once."""
    found = {}
    for path in sorted(model.glob("*.safetensors")):
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        header, at = json.loads(data[8:start]), 0
        assert header.pop("__metadata__") == {"format": "pt"}
        for name, entry in header.items():
            assert entry["data_offsets"][0] == at and name not in found
            at = entry["data_offsets"][1]
            bits = np.frombuffer(data[start + entry["data_offsets"][0]:start + at], "<u2").astype("<u4") << 16
            found[name] = bits.view("<f4").reshape(entry["shape"])
        assert start + at == len(data) and len(data) < SHARD + 10_000
    return found


def test_files(model):
    index = json.loads((model / "model.safetensors.index.json").read_text())
    tensors = read(model)
    assert {name: tuple(x.shape) for name, x in tensors.items()} == dict(large_model.tensors(large_model.SHAPES[SHAPE], LAYERS))
    assert index["weight_map"].keys() == tensors.keys() and index["metadata"]["total_size"] == sum(2 * x.size for x in tensors.values())
    assert sorted(set(index["weight_map"].values())) == [f"model-{i}-of-00003.safetensors" for i in ("00001", "00002", "00003")]


def test_numbers(model):
    """Singular values fall off, no two matrices are alike, a few channels are massive."""
    tensors = read(model)
    matrices = [x for name, x in tensors.items() if "layers" in name and x.ndim == 2]
    for x in matrices:
        values = np.linalg.svd(x, compute_uv=False)
        assert np.isfinite(x).all() and 0.01 < x.std() < 0.05
        assert values[0] > 4 * values[len(values) // 4] and values[len(values) // 4] > 1.5 * values[3 * len(values) // 4]
    assert len({x.tobytes()[:4096] for x in matrices}) == len(matrices)
    massive = large_model.massive(256)
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        rows = np.linalg.norm(tensors[f"model.layers.1.{name}.weight"], axis=1)
        assert min(rows[massive]) > 2 * np.median(rows)


def test_hollow(tmp_path, model):
    """A model without numbers has the same headers and takes no room."""
    hollow = large_model.make_model(SHAPE, LAYERS, tmp_path, SHARD, hollow=True)
    for path in sorted(model.glob("*.safetensors")):
        twin = hollow / path.name
        start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        assert twin.read_bytes()[:start] == path.read_bytes()[:start]
        assert twin.stat().st_size == path.stat().st_size and twin.stat().st_blocks * 512 < 100_000


def test_whole_bench(tmp_path):
    """`make bench-7b-whole` on the small shape: killed and started again, both methods end with the bytes of an uninterrupted run."""
    done = subprocess.run([sys.executable, ROOT / "tests" / "bench_7b_whole.py", "--shape", SHAPE, "--layers", "4", "--shard", str(SHARD), "--windows", "2",
                           "--samples", "4"], capture_output=True, text=True, env=environment(OLICA_MPI=os.path.abspath(BINARY), OLICA_BENCH=tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for method, datasets in (("olica", 62), ("refit", 48)):
        assert f"{method}: {datasets} datasets, 0 differ from the uninterrupted run's []" in done.stdout
    assert list(tmp_path.iterdir()) == []
