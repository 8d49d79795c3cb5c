"""Bit rot: a flipped bit in data that a run reads is detected during the read, at any number of ranks and nodes: in a
checkpoint (exit code 3, naming file and dataset), in restart files (another one is used), in saved statistics."""
import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from damage import Job, flip, hurt, model, put, raw, scaled
from helpers import mpirun
from test_restart import Job as Interrupted
from tiny_model import CONFIG, weights

INPUT = 3
LAYOUTS = [(1, None), (2, None), (3, None), (2, 1), (3, 2), (3, 1)]  # ranks, and how many of them share a node


def evaluate(job, layout, path="out/hurt.h5"):
    ranks, node = layout
    put("model", path=path)(job)
    put("prune", method="none")(job)
    job.arguments = ["--quiet"]
    job.shell = f"export OLICA_RANKS_PER_NODE={node}" if node else ""
    return job.run(ranks)


def errors(done):
    return [line for line in done.stderr.splitlines() if " ERROR olica_mpi: " in line]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    job = Job(tmp_path_factory.mktemp("good"))
    put("calibration", save="statistics.h5")(job)
    done = job.run(2)
    assert done.returncode == 0, done.stderr
    return job


def datasets(path):
    """Name, place and bytes of every dataset."""
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, it: found.append((name, it.id.get_offset(), it.id.get_storage_size()))
                        if isinstance(it, h5py.Dataset) else None)
    return found


def test_checkpoint(good, tmp_path):
    """Every dataset, what no sweep reads among them; its first byte, one in the middle, or its last."""
    image = (good.out / "pruned.h5").read_bytes()

    def trial(number, name, size):
        job = Job(tmp_path / str(number), image)
        flip(name, (0, size // 2, size - 1)[number % 3])(job)
        return name, evaluate(job, LAYOUTS[number // 2 % len(LAYOUTS)])

    sets = datasets(good.out / "pruned.h5")
    assert len(sets) > 30
    with ThreadPoolExecutor(3) as pool:
        for name, done in pool.map(lambda n: ((tmp_path / str(n)).mkdir(), trial(n, sets[n][0], sets[n][2]))[1], range(len(sets))):
            said = errors(done)
            assert done.returncode == INPUT and len(said) == 1, done.stderr
            assert f"out/hurt.h5: {name} has " in said[0] and ("checksum" in said[0] or "--verify" in said[0]), said


@pytest.mark.parametrize("settings", [{}, {"keep_weights": "yes"}, {"keep_weights": "no"}])
def test_however_layers_come(good, settings, tmp_path):
    job = Job(tmp_path, (good.out / "pruned.h5").read_bytes())
    put("compute", **settings)(job)
    raw(bytes)(job)
    assert evaluate(job, (3, 1)).returncode == 0
    (job.out / "report.json").unlink()  # a good one is protected
    flip("model/layers/001/down_proj/weight", 700)(job)
    done = evaluate(job, (3, 1))
    assert done.returncode == INPUT and "model/layers/001/down_proj/weight has checksum" in done.stderr, done.stderr


def test_holes(tmp_path):
    """A download that stopped: whole tensors of zeros. A bias may be zero."""
    job = Job(tmp_path)
    names = ["model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "model.layers.0.input_layernorm.weight",
             "model.layers.0.self_attn.q_proj.bias", "model.layers.1.self_attn.q_proj.bias"]
    model(tensors={name: weights(CONFIG)[name] * 0 if name in weights(CONFIG) else np.zeros(16) for name in names})(job)
    done = evaluate(job, (3, 2), "model")
    told = [line for line in done.stderr.splitlines() if "is all zeros" in line]
    assert done.returncode == 0 and len(told) == 3, done.stderr
    assert all(f"model.safetensors: {name} is all zeros: is the file whole?" in "".join(told) for name in names[:3])


def test_what_a_type_loses(tmp_path):
    """Weights below fp16's smallest number: how many have become 0."""
    job = Job(tmp_path)
    scaled("model.layers.0.input_layernorm.weight", 1e-9)(job)
    put("output", dtype="fp16")(job)
    done = job.run(2)
    found = [w for w in json.loads((job.out / "report.json").read_text())["warnings"] if "become 0" in w["text"]]
    assert done.returncode == 0 and [w["count"] for w in found if "input_layernorm" in w["text"]] == [16], done.stderr


def test_structure(good, tmp_path):
    """What HDF5 itself keeps: no crash, no hang, no figures."""
    image = (good.out / "pruned.h5").read_bytes()
    used = np.frombuffer(image, np.uint8) > 0
    for _, offset, size in datasets(good.out / "pruned.h5"):
        used[offset:offset + size] = False
    job = Job(tmp_path, image)
    for number, at in enumerate(np.random.default_rng(2).choice(np.flatnonzero(used), 12, replace=False)):
        flip(int(at))(job)
        done = evaluate(job, LAYOUTS[number % 3])
        assert done.returncode == INPUT and len(errors(done)) == 1 and "perplexity" not in done.stdout, (at, done.stderr)


def test_without_checksums(good, tmp_path):
    """Another writer's file: it serves, with a warning."""
    job = Job(tmp_path, (good.out / "pruned.h5").read_bytes())
    hurt(lambda file: [file[name].attrs.__delitem__("crc32") for name in ("model/norm", "meta/config_json")])(job)
    done = evaluate(job, (2, None))
    assert done.returncode == 0 and "hurt.h5: 2 of 34 datasets have no checksum" in done.stderr, done.stderr


def test_statistics(good, tmp_path):
    path = good.dir / "statistics.h5"
    image = path.read_bytes()
    put("output", overwrite="no", checkpoint="out/other.h5", report="")(good)
    for number, (name, offset, size) in enumerate(datasets(path)):
        at = offset + (0, size // 2, size - 1)[number % 3]
        path.write_bytes(image[:at] + bytes([image[at] ^ 4]) + image[at + 1:])
        done = good.run(number % 3 + 1)
        assert done.returncode == INPUT and f"statistics.h5: {name} has checksum" in errors(done)[0], done.stderr
        assert "--fresh replaces it" in done.stderr and not (good.out / "other.h5").exists()
    path.write_bytes(image)


def test_restart_files(tmp_path):
    """Every section of the newest one: the older one is gone on with."""
    job = Interrupted(tmp_path)
    for _ in range(5):
        job.stop(2)
    before, newest = job.images(), job.restarts()[-1].name
    image = before[newest]
    offset, size = (int.from_bytes(image[at:at + 8], "little") for at in (24, 32))
    sections = json.loads(image[offset:offset + size])["sections"]
    assert {"place", "calibration", "evaluation", "tasks", "progress"} < sections.keys()
    for number, (name, section) in enumerate(sections.items()):
        at = section["offset"] + (0, section["bytes"] // 2, section["bytes"] - 1)[number % 3]
        for old in job.files():
            (job.dir / old).unlink()
        for old, its in before.items():
            (job.dir / old).write_bytes(its)
        (job.dir / newest).write_bytes(image[:at] + bytes([image[at] ^ 1]) + image[at + 1:])
        done = job.stop(number % 3 + 1)
        assert f"{newest}: its section {name} has checksum" in done.stderr, (name, done.stderr)
        assert "going on from layer 1 of sweep 2" in done.stderr, done.stderr
