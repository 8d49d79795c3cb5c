"""The jobs of kill_campaign.py: every method with what else a job can do, on a model of a few kilobytes; and what must
hold of the files of one that was killed."""
import json, shutil
from pathlib import Path

import h5py, numpy as np
import pytest

from helpers import write_config
from test_methods import numbers, told
from test_variants import build, ids
from tiny_model import BYTE_VOCABULARY, make_tokenizer

LAYERS = 4
OLICA = {"mlp_num": 1, "ratio": 0.1}
# Name: settings of [prune]; whether statistics are saved; exports of the job; exports afterwards by --export.
KINDS = {
    "olica": ({"method": "olica", **OLICA}, True, ["compact", "gguf"], ["hf"]),
    "refit, uniform": ({"method": "refit", "shape": "uniform"}, True, ["hf", "gguf"], ["compact"]),
    "refit, layerwise": ({"method": "refit", "probes": 4}, True, ["compact"], ["gguf"]),
    "refit, olica's shape": ({"method": "refit", "shape": "olica", "select": "obs", "probes": 4}, True, ["compact"], []),
    "magnitude": ({"method": "magnitude"}, False, ["hf"], ["gguf"]),
    "wanda-sp": ({"method": "wanda-sp"}, True, ["gguf"], ["hf"]),
    "flap": ({"method": "flap"}, True, ["compact"], []),
    "slimgpt": ({"method": "slimgpt"}, True, ["hf"], ["compact"]),
    "svd-llm": ({"method": "svd-llm"}, True, ["compact"], []),
    "3 methods x 2 sparsities": ({"method": "olica, magnitude, refit", "sparsity": "0.2, 0.3", "probes": 4, **OLICA}, False, ["compact"], []),
    "4 methods": ({"method": "flap, wanda-sp, slimgpt, svd-llm"}, True, ["compact"], []),
}


def make_inputs(directory):
    """The model, its tokenizer, ids and a task, which all jobs share."""
    build(directory / "model", config={"num_hidden_layers": LAYERS, "tie_word_embeddings": True, "vocab_size": BYTE_VOCABULARY,
                                       "max_position_embeddings": 96})
    make_tokenizer(directory / "model")
    (directory / "boolq.jsonl").write_text("".join(json.dumps(
        {"passage": "no " * (i % 7), "question": f"is {i} {'odd' * i}", "answer": bool(i % 2)}) + "\n" for i in range(9)))
    ids(directory / "calibration.npy", (9, 16))
    ids(directory / "evaluation.npy", (500,))
    return directory


def datasets(path):
    """The bytes of all datasets but what tells who wrote the file, and how; the perplexity in saved statistics, a sum over ranks,
    to eleven digits."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return {k: [f"{x:.10e}" for x in v] if k == "dense/perplexity" else v.tobytes() for k, v in found.items()
            if k not in ("meta/settings_json", "meta/provenance_json", "meta/about_json")}


def exported(path):
    """Bytes by name; the card names the command, which may differ."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name not in ("README.md", "olica_export.json")}


def content(path):
    return datasets(path) if path.suffix == ".h5" else path.read_bytes() if path.suffix == ".jsonl" else exported(path)


class Life:
    """A job in a folder of its own, with all its outputs in `out`."""

    def __init__(self, directory, inputs, kind, own=(), scratch=False):
        self.dir, self.kind, self.out = directory, kind, directory / "out"
        prune, saves, self.exports, self.later = KINDS[kind] if kind else ({}, False, [], [])
        self.several = "," in str(prune.get("method", ""))
        self.out.mkdir(parents=True)
        names = {"checkpoint": self.out / "pruned.h5", "report": self.out / "report.json",
                 "export": ", ".join(f"{kind}:{self.out / kind}" for kind in self.exports)}
        self.restart = {"cost": 1, **({"path": directory / "scratch"} if scratch else {})}
        if scratch:
            (directory / "scratch").mkdir()
        if own:  # a config of the user's
            self.arguments = [x for k, v in {**{f"output.{k}": v for k, v in names.items()}, "output.overwrite": "no",
                                             **{f"restart.{k}": v for k, v in self.restart.items()}}.items() for x in ("--set", f"{k}={v}")] + [own]
            return
        config = write_config(directory / "job.ini", {
            "model": {"path": inputs / "model"}, "prune": {"sparsity": 0.3, **prune},
            "calibration": {"tokens": inputs / "calibration.npy", "samples": 9, "length": 16, **({"save": self.out / "stats.h5"} if saves else {})},
            "evaluate": {"tokens": inputs / "evaluation.npy", "length": 16, "tasks": f"boolq:{inputs / 'boolq.jsonl'}"},
            "output": names, "restart": self.restart})
        self.arguments = ["--predictions", self.out / "predictions.jsonl", config]

    def commands(self):
        """The job; then exports of its checkpoint, each a start of its own."""
        yield self.arguments
        for kind in self.later:
            yield ["--export", f"{kind}:{self.out / f'later.{kind}'}", self.out / "pruned.h5"]

    def ended(self, command):
        """Whether a command that was killed has nothing left to do: its last file has its name."""
        if command is self.arguments:
            return self.reported() == "ok"
        return Path(command[1].split(":", 1)[1]).exists()

    def forget_refusals(self):
        """Removes the reports of starts that were refused, as there was nothing left to do."""
        for path in self.out.glob("*.failed.json"):
            path.unlink()

    def reported(self):
        try:
            return json.loads((self.out / "report.json").read_text())["status"]
        except FileNotFoundError:
            return "no report"

    def finished(self):
        """Every output that a whole job leaves, by name; reports are compared by their members."""
        return {path.name: path for path in sorted(self.out.iterdir())}

    def torn(self, whole):
        """What has its final name now, and is not what the whole job has under it."""
        bad, mine = [], self.finished()
        for name, path in mine.items():
            if path.suffix in (".json", ".csv", ".gp"):
                try:
                    assert path.suffix != ".json" or json.loads(path.read_text())["status"] in ("running", "ok")
                except (ValueError, KeyError, AssertionError) as error:
                    bad.append(f"{name}: {error!r}")
            elif name in whole.contents:
                try:
                    bad += [] if content(path) == whole.contents[name] else [f"{name}: other bytes under the final name"]
                except (OSError, KeyError) as error:
                    bad.append(f"{name}: {error!r}")
        return bad

    def remember(self):
        self.contents = {name: content(path) for name, path in self.finished().items() if path.suffix not in (".json", ".csv", ".gp")}
        self.reports = {name: json.loads(path.read_text()) for name, path in self.finished().items() if path.suffix == ".json"}

    def wrong(self, whole):
        """What differs from the job that was left alone."""
        bad, mine = [], self.finished()
        bad += [f"{name}: is missing" for name in whole.finished() if name not in mine]
        bad += [f"{name}: differs" for name, expected in whole.contents.items() if name in mine and content(mine[name]) != expected]
        for name, expected in whole.reports.items():
            if name in mine:
                bad += [f"{name}: {what}" for what in compare_reports(json.loads(mine[name].read_text()), expected)]
        return bad

    def leftovers(self, whole):
        scratch = self.dir / "scratch"
        return sorted(set(self.finished()) - set(whole.finished())) + [path.name for path in (scratch.iterdir() if scratch.exists() else [])]

    def remove(self):
        shutil.rmtree(self.dir)


def compare_reports(mine, its):
    """What two reports of the same job tell of the model; sums over ranks may differ in a last bit."""
    if mine["status"] != "ok":
        return [f"its status is {mine['status']}"]
    if "pairs" in its:
        figures = lambda report: [(pair["method"], pair["sparsity"], pair["parameters"], *pair["perplexity"].values()) for pair in report["pairs"]]
        a, b = figures(mine), figures(its)
        return [] if len(a) == len(b) and all(x == pytest.approx(y, rel=1e-12) for x, y in zip(a, b)) else ["other pairs, or other figures"]
    bad = [] if mine.get("tasks") == its.get("tasks") else ["tasks"]
    bad += [] if mine.get("perplexity") == pytest.approx(its.get("perplexity"), rel=1e-12) else ["perplexity"]
    a, b = numbers(told(mine)), numbers(told(its))
    return bad + ([] if len(a) == len(b) and np.allclose(a, b, rtol=1e-12, atol=0) else ["what the method found"])
