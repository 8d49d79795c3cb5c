"""A node has what all its ranks need once, and --check says beforehand what a rank takes: the same bytes whichever way
ranks lie on nodes, one read of every weight, estimates within a tenth, limits that hold or are refused."""
import re, subprocess

import numpy as np
import pytest

from helpers import DEMO, HANGS, mpirun, run_job, write_config
from test_ranks import datasets
from test_variants import SEVEN, build, ids, prune

MIB, USAGE, INPUT, MEMORY = 2**20, 2, 3, 6
# Ranks, how many of them make a node (the last may have fewer), keep_weights.
LAYOUTS = [(2, 1, "no"), (4, 2, "no"), (4, 3, "yes"), (5, 2, "yes")]


def on_nodes(ranks_per_node):
    return {"OLICA_RANKS_PER_NODE": ranks_per_node}


def demo(windows=2, **compute):
    return {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "compute": compute,
            "calibration": {"tokens": DEMO / "calibration.npy", "samples": 8, "length": 128},
            "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": windows}}


def test_any_layout_of_nodes_gives_the_same_bytes(tmp_path):
    """Biases, tied heads, a layer's shares cut anywhere; also with layers that are kept."""
    config = {"head_dim": 10, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_hidden_layers": 5}
    build(tmp_path / "model", config=config, biases=SEVEN)
    prune(tmp_path, 1, name="one")
    expected = datasets(tmp_path / "one.h5")
    for ranks, most, keep in LAYOUTS:
        report = prune(tmp_path, ranks, name="many", env=on_nodes(most), compute={"keep_weights": keep})
        assert report["run"]["nodes"] == -(-ranks // most)
        found = datasets(tmp_path / "many.h5")
        assert found.keys() == expected.keys() and [n for n in found if found[n] != expected[n]] == []


def test_shares_of_many_pieces(tmp_path):
    """Layers of 27 MiB: a share is read, sent and converted in several pieces, ahead of its turn or not."""
    build(tmp_path / "model", config={"hidden_size": 512, "intermediate_size": 4096, "num_hidden_layers": 3})
    ids(tmp_path / "ids.npy", (60,))
    job = {"model": {"path": tmp_path / "model"}, "prune": {"method": "none"},
           "evaluate": {"tokens": tmp_path / "ids.npy", "length": 20}}
    stored = (tmp_path / "model" / "model.safetensors").stat().st_size
    found = []
    for ranks, most in (1, 1), (2, 1), (3, 2):
        report = run_job(tmp_path, ranks, job, env=on_nodes(most))
        found.append(report["perplexity"]["model"])
        assert stored * 0.95 < sum(r["bytes_read"] for r in report["ranks"]) < stored * 1.05
    assert found == pytest.approx(found[:1] * 3, rel=1e-12)


def read(report):
    return sum(r["bytes_read"] for r in report["ranks"])


def test_kept_layers_are_read_once(tmp_path):
    """keep_weights leaves nothing but the tables to sweep 2; auto keeps where a limit has room for it."""
    size = (DEMO / "model.safetensors").stat().st_size
    table = 2 * 2 * size / 100  # 1 % and the ids: whatever is read beside layers
    jobs = {"no": {}, "yes": {"keep_weights": "yes"}, "roomy": {"memory": "1GiB"}, "refused": {"memory": "1GiB", "keep_weights": "no"}}
    reports = {name: run_job(tmp_path, 2, demo(**compute), name=name) for name, compute in jobs.items()}
    layers = read(reports["no"]) - read(reports["yes"])
    assert 0.5 * size < layers < size + table
    for auto, told in ("roomy", "yes"), ("refused", "no"):  # but for the bytes of the settings themselves
        assert read(reports[auto]) == pytest.approx(read(reports[told]), abs=100)
    assert datasets(tmp_path / "no.h5") == datasets(tmp_path / "yes.h5")


@pytest.mark.parametrize("ranks, most", [(1, 1), (2, 2), (4, 4), (4, 2)])
def test_check_foresees_memory(tmp_path, ranks, most):
    """The estimate bounds what is counted and is at most a tenth above; less than a rank's own where ranks share."""
    report = run_job(tmp_path, ranks, demo(), env=on_nodes(most))
    config = write_config(tmp_path / "check.ini", {**demo(), "output": {"checkpoint": tmp_path / "none.h5"}})
    layout = () if most == ranks else ("--ranks-per-node", most)  # without it: all on one node
    checked = mpirun(1, "--check", "--ranks", ranks, *layout, config)
    foreseen = float(re.search(r"^memory +([0-9.]+) MiB a rank", checked.stdout, re.M)[1]) * MIB
    counted = report["memory"]["counted"]["max"]
    assert counted <= report["memory"]["estimate"] <= 1.1 * counted
    assert foreseen == pytest.approx(report["memory"]["estimate"], rel=0.02)


# A model, how it is pruned, ranks, how many of them make a node, [compute] and [solver].
SHAPES = {
    "nodes in bf16": (dict(hidden_size=608, num_attention_heads=3, num_key_value_heads=1, head_dim=16, intermediate_size=426),
                      dict(sparsity=0.3, k=0.5, ratio=0), 2, 1, dict(precision="bf16"), {}),
    "threads": (dict(hidden_size=64, num_attention_heads=2, num_key_value_heads=1, intermediate_size=20001, num_hidden_layers=2),
                dict(sparsity=0.1), 1, 1, dict(threads=16), {}),
    "wide heads": (dict(hidden_size=256, num_attention_heads=32, num_key_value_heads=8, head_dim=64, intermediate_size=600),
                   dict(sparsity=0.1), 1, 1, {}, {}),
    "many pairs": (dict(hidden_size=1024, num_attention_heads=16, num_key_value_heads=16, intermediate_size=1500, num_hidden_layers=2),
                   dict(sparsity=0.3), 1, 1, {}, {}),
    "standard": (dict(hidden_size=320, num_attention_heads=20, num_key_value_heads=10, intermediate_size=400, num_hidden_layers=2),
                 dict(sparsity=0.2, ond="standard"), 2, 2, {}, {}),
    "a grid": (dict(hidden_size=320, num_attention_heads=8, num_key_value_heads=4, intermediate_size=400, num_hidden_layers=2),
               dict(sparsity=0.2, ratio=0.3), 2, 2, {}, dict(eigen="scalapack")),
    "a grid in mixed precision": (dict(hidden_size=320, num_attention_heads=8, num_key_value_heads=4, intermediate_size=400, num_hidden_layers=2),
                                  dict(sparsity=0.2, ratio=0.3), 2, 2, {}, dict(eigen="scalapack", precision="mixed")),
    "many pairs in mixed precision": (dict(hidden_size=1024, num_attention_heads=16, num_key_value_heads=16, intermediate_size=1500, num_hidden_layers=2),
                                      dict(sparsity=0.3), 1, 1, {}, dict(precision="mixed")),
    "vocabulary": (dict(hidden_size=96, num_attention_heads=6, num_key_value_heads=3, intermediate_size=300, vocab_size=30011),
                   dict(sparsity=0.02), 2, 2, dict(precision="bf16"), {}),
}


def shaped(directory, name):
    """A job on a model of that shape."""
    config, settings, _, _, compute, solver = SHAPES[name]
    build(directory / "model", config=config)
    ids(directory / "ids.npy", (8, 32))
    return {"model": {"path": directory / "model"}, "prune": {"mlp_num": 1, **settings}, "compute": compute, "solver": solver,
            "calibration": {"tokens": directory / "ids.npy", "samples": 8, "length": 32},
            "evaluate": {"tokens": directory / "ids.npy", "length": 32, "windows": 2}}


@pytest.mark.parametrize("name", SHAPES)
def test_estimate_of_any_shape(tmp_path, name):
    """Where other things than the layers and their streams are large: the estimate bounds them, and by no more than a tenth."""
    memory = run_job(tmp_path, SHAPES[name][2], shaped(tmp_path, name), env=on_nodes(SHAPES[name][3]))["memory"]
    assert memory["counted"]["max"] <= memory["estimate"] <= 1.1 * memory["counted"]["max"]


@pytest.mark.parametrize("name", ["nodes in bf16", "threads"])
def test_least_limit_is_enough(tmp_path, name):
    """The smallest limit that a refusal names is one that the whole job keeps."""
    job, ranks, env = shaped(tmp_path, name), SHAPES[name][2], on_nodes(SHAPES[name][3])
    config = write_config(tmp_path / "refused.ini", {**job, "output": {"checkpoint": tmp_path / "none.h5"}})
    limit = least(mpirun(ranks, "--set", "compute.memory=1MiB", config, env=env))
    report = run_job(tmp_path, ranks, job, "--set", f"compute.memory={int(limit * 1024)}KiB", env=env)
    assert report["memory"]["counted"]["max"] <= limit * MIB


def least(done):
    """What a refusal says would do."""
    assert done.returncode == MEMORY, done.stderr
    return float(re.search(r"expected at least ([0-9.]+) MiB", done.stderr)[1])


def test_limit_is_met_or_refused(tmp_path):
    """The smallest limit that the refusal names is enough; a little less is not. On the way down layers are no longer
    kept, then not fetched ahead."""
    job = {**demo(), "output": {"checkpoint": tmp_path / "job.h5", "report": tmp_path / "job.json"}}
    limit = least(mpirun(2, "--set", "compute.memory=1MiB", write_config(tmp_path / "job.ini", job), env=on_nodes(1)))
    enough, less = f"{int(limit * 1024) + 1}KiB", f"{int(limit * 1024) - 200}KiB"
    assert least(mpirun(2, "--set", f"compute.memory={less}", tmp_path / "job.ini", env=on_nodes(1))) == limit
    tight, wide = (run_job(tmp_path, 2, demo(memory=memory), name=name, env=on_nodes(1))
                   for name, memory in (("tight", enough), ("wide", "1GiB")))
    assert tight["memory"]["counted"]["max"] <= limit * MIB < wide["memory"]["estimate"]
    assert read(tight) > 1.3 * read(wide)
    assert datasets(tmp_path / "tight.h5") == datasets(tmp_path / "wide.h5")


@pytest.mark.parametrize("ranks, most", [(2, 2), (2, 1), (5, 2)])
@pytest.mark.parametrize("layer", [0, 2])
def test_bad_number_on_its_way_ends_all(tmp_path, ranks, most, layer):
    """Also one that is found by another rank, on another node, in the background."""
    name = f"model.layers.{layer}.mlp.down_proj.weight"
    build(tmp_path / "model", config={"num_hidden_layers": 4}, change=lambda w: w[name].fill(np.nan))
    ids(tmp_path / "ids.npy", (60,))
    config = write_config(tmp_path / "job.ini", {"model": {"path": tmp_path / "model"}, "prune": {"method": "none"},
                                                 "evaluate": {"tokens": tmp_path / "ids.npy", "length": 20},
                                                 "output": {"report": tmp_path / "job.json"}})
    done = mpirun(ranks, config, env=on_nodes(most), timeout=HANGS)
    assert done.returncode == INPUT and name in done.stderr and "nan" in done.stderr, done.stderr


def test_failure_while_the_next_layer_comes(tmp_path):
    """What layer 0 becomes does not fit the output's type, though its weights do, while layer 1 is under way between nodes: nobody waits for it."""
    build(tmp_path / "model", config={"num_hidden_layers": 4},
          change=lambda w: w["model.layers.0.self_attn.q_proj.weight"].__imul__(6e4 / np.abs(w["model.layers.0.self_attn.q_proj.weight"]).max()))
    ids(tmp_path / "calibration.npy", (4, 16))
    config = write_config(tmp_path / "job.ini", {
        "model": {"path": tmp_path / "model"}, "calibration": {"tokens": tmp_path / "calibration.npy", "samples": 4, "length": 16},
        "prune": {"mlp_num": 1, "ratio": 0.2}, "output": {"checkpoint": tmp_path / "job.h5", "report": tmp_path / "job.json", "dtype": "fp16"}})
    done = mpirun(4, config, env=on_nodes(2), timeout=HANGS)
    assert done.returncode == USAGE and "layer 0: [output] dtype = fp16: q_proj has" in done.stderr, done.stderr


@pytest.fixture
def small_directory(tmp_path):
    """A file system of 256 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here: no small file system for shared windows")
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_too_little_shared_memory(tmp_path, small_directory):
    """Open MPI's own refusal would hang: the room is asked for first, and a node with one rank needs none."""
    env = {"OMPI_MCA_osc_sm_backing_directory": small_directory}
    config = write_config(tmp_path / "job.ini", {**demo(), "output": {"checkpoint": tmp_path / "job.h5", "report": tmp_path / "job.json"}})
    done = mpirun(2, config, env=env, timeout=HANGS)
    assert done.returncode == MEMORY and str(small_directory) in done.stderr and "shared memory" in done.stderr, done.stderr
    assert run_job(tmp_path, 1, demo(), env=env)["status"] == "ok"
