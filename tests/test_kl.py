"""The mean KL divergence of the pruned model's next-token distribution from the dense one's, against numpy in float64:
with every format, tied and not, several texts, at any number of ranks, after restarts, with products in bf16."""
import json, re

import numpy as np
import pytest

import judge
from helpers import mpirun, write_config
from test_riders import LIST, OK, STOPPED, TEXTS, USAGE, Place
from test_variants import build, ids
from tiny_model import byte_ids

LENGTH = 16


def logits(m, rows):
    x = m.w["embed_tokens"][rows]
    for i in range(m.L):
        x, _ = judge.run_layer(m, i, x)
    return judge.rms_norm(m, x, m.w["norm"]) @ m.w.get("lm_head", m.w["embed_tokens"]).T


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def divergence(dense, pruned, tokens, length=LENGTH, stride=0):
    """Mean over the predicted positions of sum_v p_v (log p_v - log q_v)."""
    tokens, stride = np.asarray(tokens).reshape(-1), stride or length
    rows = np.stack([tokens[s:s + length] for s in range(0, len(tokens) - length + 1, stride)])
    p, q = (log_softmax(logits(m, rows)) for m in (dense, pruned))
    each = (np.exp(p) * (p - q)).sum(-1)[:, :-1]  # the last position predicts nothing
    return (each if stride == length else np.concatenate([each[0], each[1:, -stride:].reshape(-1)])).mean()


class Job:
    """A model of random weights, and ids."""

    def __init__(self, directory, dtype="F32", **config):
        self.dir = directory
        build(directory / "model", config={"max_position_embeddings": 96} | config, dtype=dtype)
        ids(directory / "calibration.npy", (9, 16))
        self.tokens = ids(directory / "ids.npy", (500,), seed=8)
        self.dense = judge.load_model(directory / "model")

    def config(self, name, **sections):
        whole = {"model": {"path": "model"}, "prune": {"sparsity": 0.2, "mlp_num": 1, "ratio": 0.1},
                 "calibration": {"tokens": "calibration.npy", "samples": 9, "length": 16},
                 "evaluate": {"tokens": "ids.npy", "length": LENGTH, "kl": "yes"},
                 "output": {"checkpoint": f"{name}.h5", "report": f"{name}.json"}, "restart": {"cost": 1}}
        for section, keys in sections.items():
            whole[section] = whole.get(section, {}) | keys
        return write_config(self.dir / f"{name}.ini", whole)

    def run(self, name, ranks=1, **sections):
        done = mpirun(ranks, self.config(name, **sections))
        assert done.returncode == OK, done.stderr
        return json.loads((self.dir / f"{name}.json").read_text()), done

    def expected(self, name, **how):
        return divergence(self.dense, judge.load_checkpoint(self.dir / f"{name}.h5"), self.tokens, **how)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("stored, output", [("F32", "fp32"), ("F32", "bf16"), ("F32", "fp16"), ("BF16", "as-input"), ("F16", "bf16")])
def test_against_numpy(tmp_path, tied, stored, output):
    """What numpy gives for the model and the checkpoint as they are stored: the dense model has its unrounded output
    matrix, the pruned one the rounded one. The same at 1, 2 and 3 ranks; nothing else moves."""
    job = Job(tmp_path, stored, tie_word_embeddings=tied)
    found = {}
    for ranks in 1, 2, 3:
        report, done = job.run(f"r{ranks}", ranks, output={"dtype": output})
        found[ranks] = report["perplexity"]["kl"]
        row = re.search(r"^KL to the dense model +(\S+)   nats per token$", done.stdout, re.M)
        assert float(row[1]) == pytest.approx(found[ranks], abs=1e-6) and f"KL to the dense model {found[ranks]:.6f} nats" in done.stderr
    expected = job.expected("r1")
    assert found[1] == pytest.approx(expected, rel=2e-4, abs=1e-8) and expected > 1e-4
    assert found[2] == pytest.approx(found[1], rel=1e-9) and found[3] == pytest.approx(found[1], rel=1e-9)
    without, done = job.run("without", 2, output={"dtype": output}, evaluate={"kl": "no"})
    assert without["perplexity"] == {k: pytest.approx(v, rel=1e-12) for k, v in report["perplexity"].items() if k != "kl"}
    assert "KL to" not in done.stdout and job.expected("without") == expected


def test_windows_that_overlap(tmp_path):
    job = Job(tmp_path)
    for stride in 3, 15:
        report, _ = job.run(f"s{stride}", 3, evaluate={"stride": stride})
        assert report["perplexity"]["kl"] == pytest.approx(job.expected(f"s{stride}", stride=stride), rel=2e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_nothing_cut(tmp_path, tied):
    """Sparsity 0: the same function but for rounding."""
    job = Job(tmp_path, tie_word_embeddings=tied)
    report, _ = job.run("zero", 2, prune={"sparsity": 0.0})
    assert abs(report["perplexity"]["kl"]) < 1e-9


def test_rounding_alone_shows(tmp_path):
    """What the output's format does to an otherwise whole model: numpy sees the same."""
    job = Job(tmp_path)
    report, _ = job.run("rounded", 2, prune={"sparsity": 0.0}, output={"dtype": "bf16"})
    assert 1e-8 < report["perplexity"]["kl"] == pytest.approx(job.expected("rounded"), rel=5e-3)


def test_products_in_bf16(tmp_path):
    """The same at any number of ranks, near to fp32; with the second packed panel in the estimate. (Where the processor has
    no bf16 the products are in fp32, as ever.)"""
    job, found = Job(tmp_path), {}
    for ranks in 1, 3:
        report, _ = job.run(f"b{ranks}", ranks, compute={"precision": "bf16"})
        found[ranks] = report["perplexity"]["kl"]
        assert report["memory"]["counted"]["max"] <= report["memory"]["estimate"]
    assert found[3] == pytest.approx(found[1], rel=1e-9) and found[1] == pytest.approx(job.expected("b1"), rel=0.05)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("kl"))


@pytest.fixture(scope="module")
def whole(place):
    """Of a run that is not interrupted."""
    report, done = place.run("whole", ranks=2, evaluate={"kl": "yes"})
    assert len(re.findall(r"^KL to the dense model .* nats per token of \S+$", done.stdout, re.M)) == len(TEXTS)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    return report


def close(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name] == pytest.approx(expected[name], rel=1e-9), name


def test_several_texts(place, whole):
    """Each has its own; what numpy gives for its ids."""
    dense, pruned = judge.load_model(place.dir / "model"), judge.load_checkpoint(place.dir / "whole.h5")
    for name, file in TEXTS.items():
        expected = divergence(dense, pruned, byte_ids((place.dir / file).read_text()))
        assert whole["perplexities"][name]["kl"] == pytest.approx(expected, rel=2e-4), name
    assert whole["perplexity"]["kl"] == whole["perplexities"]["wikitext2"]["kl"]


@pytest.mark.parametrize("ranks", [1, 3])
def test_interrupted(place, whole, ranks):
    """One layer a start, also in the last sweep, whose restart files keep the dense model's states."""
    name, starts = f"stops-{ranks}", 0
    while (done := mpirun(1 + (ranks + starts) % 3, "--set", "run.walltime=00:00:01", place.config(name, evaluate={"kl": "yes"}))).returncode == STOPPED:
        starts += 1
        assert starts < 13
    assert done.returncode == OK and starts >= 5, done.stderr
    close(json.loads((place.dir / f"{name}.json").read_text())["perplexities"], whole["perplexities"])


def test_restart_file_of_a_run_without(place):
    """It has no dense states: refused by the setting's name."""
    assert mpirun(1, "--set", "run.walltime=00:00:01", place.config("before")).returncode == STOPPED
    done = mpirun(1, place.config("before", evaluate={"kl": "yes"}))
    assert done.returncode == USAGE and "[evaluate] kl was false, is true" in done.stderr


def test_saved_statistics(place, whole):
    """They hold scores, no states: the survey is read, the dense model passes once more, and the log says why."""
    place.run("saves", calibration={"save": "kl.stats.h5"})
    for ranks in 1, 2:
        report, done = place.run(f"reads-{ranks}", ranks=ranks, calibration={"save": "kl.stats.h5"}, evaluate={"kl": "yes"})
        assert "the dense model is evaluated anew: [evaluate] kl needs its hidden states" in done.stderr
        close(report["perplexities"], whole["perplexities"])
    # What such a run saves serves one without.
    place.run("saves-kl", calibration={"save": "more.stats.h5"}, evaluate={"kl": "yes"})
    _, done = place.run("reads-more", calibration={"save": "more.stats.h5"})
    assert "read from" in done.stderr and "evaluated anew" not in done.stderr


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("sections, said", [
    ({"prune": {"method": "none", "mlp_num": 6, "ratio": 0.03}}, "method = none prunes nothing"), ({"evaluate": {"dense": "no", "kl": "yes"}}, "dense = no leaves that out"),
    ({"evaluate": {"text": "", "kl": "yes", "length": 16, "tasks": "boolq:x"}}, "neither text nor tokens")])
def test_refused_with_the_reason(place, ranks, sections, said):
    config = place.config("refused", **{**sections, "evaluate": {"kl": "yes"} | sections.get("evaluate", {})})
    done = mpirun(ranks, "--check", config)
    assert done.returncode == USAGE and "[evaluate] kl = yes" in done.stderr and said in done.stderr, done.stderr


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_memory_is_foreseen(tmp_path, ranks):
    """The dense model's states are in the estimate, and in that of a restart file."""
    place = Place(tmp_path, layers=1)  # which is the last one, and never calibrated
    for n, file in enumerate(TEXTS.values()):
        (tmp_path / file).write_text("words " * (6000 + 9000 * n))
    counted = {}
    for kl in "no", "yes":
        report, _ = place.run(f"memory-{kl}", ranks=ranks, prune={"mlp_num": 0, "sparsity": 0.1}, evaluate={"length": 64, "kl": kl})
        counted[kl], estimate = report["memory"]["counted"]["max"], report["memory"]["estimate"]
        assert counted[kl] <= estimate < 1.1 * counted[kl], (counted, estimate)
    assert counted["yes"] > 1.2 * counted["no"]
    checks = [mpirun(1, "--check", place.config("memory", prune={"mlp_num": 0, "sparsity": 0.1}, evaluate={"length": 64, "kl": kl})).stdout for kl in ("no", "yes")]
    sizes = [float(re.search(r"files of ([\d.]+) MiB", out)[1]) for out in checks]
    assert sizes[1] > 1.5 * sizes[0]
