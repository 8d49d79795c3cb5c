"""The Python package in python/: checkpoints as h5py reads them by hand, damaged and foreign files refused; reports as frames, pandas asked for
only then; jobs with their settings, progress, failures, stops and interrupts; what pip installs."""
import importlib.util, json, re, shutil, subprocess, sys, types

import h5py
import numpy as np
import pytest
from helpers import BINARY, HANGS, ROOT, environment, run_job
from tiny_model import make_ids, make_model

sys.path.insert(0, str(ROOT / "python" / "src"))
import olica  # noqa: E402

ROOT_ENV = {key: "1" for key in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMP_NUM_THREADS", "OMPI_MCA_mpi_yield_when_idle")}
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]


def run(config, ranks=None, **more):
    return olica.run(config, ranks, program=BINARY, mpirun=MPIRUN, env=ROOT_ENV, **({"progress": False} | more))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    at = tmp_path_factory.mktemp("python")
    make_model(at / "model", layers=3)
    make_ids(at / "ids.npy", rows=8)
    sections = {"model": {"path": at / "model"}, "calibration": {"tokens": at / "ids.npy", "samples": 8, "length": 8},
                "prune": {"method": "olica", "sparsity": 0.2, "mlp_num": 1, "ratio": 0.2}, "evaluate": {"tokens": at / "ids.npy", "length": 8}}
    return types.SimpleNamespace(at=at, sections=sections, report=run_job(at, 1, sections | {"output": {"dtype": "bf16"}}, name="pruned"))


def by_hand(path, name):
    with h5py.File(path) as file:
        x = file[name]
        return (x[()].astype("<u4") << 16).view("<f4") if x.attrs["dtype"] == b"bf16" else x[()]


def test_a_checkpoint(place):
    path = place.at / "pruned.h5"
    with olica.open(path) as model:
        assert model.dtype == "bf16" and not model.tied and model.parameters == place.report["parameters"]["pruned"]
        assert model.config == json.loads((place.at / "model" / "config.json").read_text())
        assert model.settings["prune"]["sparsity"] == 0.2 and model.provenance["program"] == "olica_mpi" and model.text("tokenizer_json") is None
        for layer, told in zip(model.layers, place.report["layers"]):
            for name in ("q_rank", "k_rank", "vo_width", "ffn_width", "branch_rank"):
                assert getattr(layer, name) == told[name]
            assert (layer.heads, layer.kv_heads) == (2, 1) and layer.shapes["ffn_kept"] == (layer.ffn_width,)
            b, a = (by_hand(path, f"model/layers/{layer.index:03d}/q_proj/{part}").astype("f8") for part in "ba")
            assert np.array_equal(layer.matrix("q_proj"), (b @ a).astype("f4"))
        count = 0
        for name, x in model.tensors.items():
            assert np.array_equal(x, by_hand(path, f"model/{name}")) and x.dtype == (np.int32 if "kept" in name else np.float32), name
            count += 1
        assert count == len(model.tensors) == model.verify() > 40
        assert np.array_equal(model.layers[2]["down_proj/weight"], model.tensors["layers/002/down_proj/weight"])
        with pytest.raises(KeyError, match="no tensor model/layers/000/nothing; there are .*q_proj/b"):
            model.layers[0]["nothing"]
        assert f"{model.parameters:,}" in repr(model) and str(model.layers[0].q_rank) in repr(model.layers[0])


def change(what):
    def make(path):
        with h5py.File(path, "r+") as file:
            what(file)
    return make


@pytest.mark.parametrize("damage, error, words", [
    (change(lambda f: f.attrs.__setitem__("format", np.bytes_("olica-statistics"))), olica.FormatError, 'format "olica-statistics", expected "olica-checkpoint"'),
    (change(lambda f: f.attrs.__setitem__("schema", 2)), olica.FormatError, "schema 2, expected 1"),
    (change(lambda f: f.attrs.__setitem__("complete", 0)), olica.FormatError, "not complete"),
    (lambda path: path.write_text("text"), olica.FormatError, "not an HDF5 file"),
    (lambda path: path.unlink(), FileNotFoundError, "no such file, expected a checkpoint"),
    (change(lambda f: f["model/norm"].__setitem__(0, 1)), olica.ChecksumError, "model/norm has checksum"),
    (change(lambda f: f["model/norm"].attrs.__setitem__("dtype", np.bytes_("fp32"))), olica.FormatError, "fp32 stored as <u2")])
def test_damaged_and_foreign_files(place, tmp_path, damage, error, words):
    path = tmp_path / "copy.h5"
    shutil.copy(place.at / "pruned.h5", path)
    damage(path)
    with pytest.raises(error, match=re.escape(words)) as raised:
        with olica.open(path) as model:
            model.tensors["norm"]
    assert str(path) in str(raised.value)


class Frame:
    """As much of a pandas frame as the package uses."""

    def __init__(self, rows):
        self.rows = [dict(row) for row in rows]
        self.index = None

    @classmethod
    def from_dict(cls, rows, orient):
        assert orient == "index"
        frame = cls(rows.values())
        frame.index = list(rows)
        return frame

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, name):
        values = [row[name] for row in self.rows]
        return types.SimpleNamespace(isin=lambda among: [value in among for value in values])

    def __setitem__(self, name, values):
        for row, value in zip(self.rows, values):
            row[name] = value

    def set_index(self, name):
        self.index = [row.pop(name) for row in self.rows]
        return self


def test_a_report(place, tmp_path, monkeypatch):
    report = olica.report(place.at / "pruned.json")
    assert report.status == "ok" and report["perplexity"] == place.report["perplexity"] and "layers" in report and report.get("nothing") is None
    assert report.settings["prune"]["method"] == "olica" and not report.is_comparison
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(olica.OlicaError, match="pip install pandas"):
        report.layers
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=Frame))
    layers = report.layers
    assert layers.index == [0, 1, 2] and layers.rows[1]["ffn_width"] == place.report["layers"][1]["ffn_width"]
    assert [row["linearity_score"] for row in layers.rows] == place.report["linearity_score"]
    assert [i for i, row in enumerate(layers.rows) if row["calibrated"]] == place.report["calibrated_layers"]
    assert report.phases.index == [phase["name"] for phase in place.report["phases"]] and report.ranks.index == [0]
    assert report.perplexities.index == ["text"] and report.perplexities.rows[0]["pruned"] == place.report["perplexity"]["pruned"]
    assert len(report.layer_times) == len(place.report["layer_times"]) and len(report.tasks) == len(report.pairs) == 0
    for text, words in (("{", "is no JSON"), ("[]", "no member olica_mpi"), ('{"a": 1}', "no member olica_mpi")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(olica.FormatError, match=words):
            olica.report(tmp_path / "bad.json")


def test_a_job(place, tmp_path, capsys):
    """From sections, on two ranks, with settings over them, into a directory; its bytes are those of the same job by hand."""
    seen = []
    done = run(place.sections | {"output": {"checkpoint": "pruned.h5", "dtype": "fp32"}}, ranks=2, to="runs/here", cwd=tmp_path, progress=seen.append,
               output={"dtype": "bf16"}, evaluate={"dense": False})
    assert done.checkpoint_path == str(tmp_path / "runs/here/pruned.h5") and done.report_path == str(tmp_path / "runs/here/report.json")
    assert "--set evaluate.dense=no" in " ".join(done.command) and done.report.status == "ok" and done.report["run"]["ranks"] == 2
    assert "dense" not in done.report["perplexity"] and "phases" not in capsys.readouterr().err
    with done.open() as mine, olica.open(place.at / "pruned.h5") as theirs:
        assert all(np.array_equal(mine.tensors[name], x) for name, x in theirs.tensors.items())
    assert [(now.sweep, now.layer, now.layers) for now in seen if now.layers] == [(sweep, i, 3) for sweep in ("survey", "prune") for i in (1, 2, 3)]
    with pytest.raises(olica.JobError, match="expected none") as raised:  # the same again: nothing is written over
        run(place.sections, to="runs/here", cwd=tmp_path, output={"checkpoint": "pruned.h5"}, progress=True)
    assert raised.value.code == 2 and "ERROR" in raised.value.log and "ERROR: " in capsys.readouterr().err


def test_a_comparison_and_an_evaluation(place, tmp_path):
    done = run(place.sections | {"output": {"checkpoint": "p.h5"}}, cwd=tmp_path, prune={"method": ["magnitude", "olica"]})
    assert done.report.is_comparison and [pair["method"] for pair in done.report["pairs"]] == ["magnitude", "olica"] and done.checkpoint_path is None
    done = run({"model": place.sections["model"], "evaluate": place.sections["evaluate"], "prune": {"method": "none"}}, cwd=tmp_path, output={"report": "e.json"})
    assert done.report["perplexity"]["model"] > 1 and done.checkpoint_path is None
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        done.open()


def test_what_cannot_start(place, tmp_path):
    for wrong, error, words in (({"prune": {"sparsty": 0.2}}, olica.JobError, "sparsty"), ({"prune": {"sparsity": "a\nb"}}, ValueError, "line break"),
                                ({"prune": 3}, TypeError, "expected a section")):
        with pytest.raises(error, match=words):
            run(place.sections | wrong, cwd=tmp_path)
    with pytest.raises(olica.JobError, match="model ; x") as raised:  # a comment in a config file, not here
        run({"model": {"path": place.at / "model ; x"}, "output": {"checkpoint": "p.h5"}, "prune": {"method": "magnitude"}}, cwd=tmp_path)
    assert raised.value.code == 3
    with pytest.raises(FileNotFoundError, match="no such program"):
        olica.run("config.ini", program=tmp_path / "none")
    with pytest.raises(olica.JobError) as raised:
        run(tmp_path / "none.ini")
    assert raised.value.code in (2, 3)
    with pytest.raises(olica.JobError, match="expected a file or directory") as raised:
        olica.inspect(tmp_path / "none", program=BINARY, env=ROOT_ENV)
    assert raised.value.code == 3
    assert olica.inspect(place.at / "pruned.h5", program=BINARY, env=ROOT_ENV)["parameters"]["total"]["numbers"] == place.report["parameters"]["pruned"]
    assert olica.diff(place.at / "pruned.h5", place.at / "pruned.h5", program=BINARY, env=ROOT_ENV)["same_model"]


def test_stops_and_resumes(place, tmp_path):
    """What a progress function raises, and an interrupt, stop the job with a restart file; the same call resumes it."""
    config = place.sections | {"output": {"checkpoint": "p.h5", "overwrite": "yes"}}

    def fall(now):
        if now.layers:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(config, ranks=1, cwd=tmp_path, progress=fall)
    program = f"""import sys; sys.path.insert(0, {str(ROOT / 'python' / 'src')!r}); import olica
try:
    olica.run({{s: {{k: str(v) for k, v in m.items()}} for s, m in {({s: {k: str(v) for k, v in m.items()} for s, m in config.items()})!r}.items()}}, 1, cwd={str(tmp_path)!r}, fresh=True,
              program={str(BINARY)!r}, mpirun={MPIRUN!r}, progress=lambda now: print("layer", flush=True) if now.layers else None)
except KeyboardInterrupt:
    print("interrupted")
except olica.Stopped as stopped:
    print("stopped", stopped.code)
"""
    started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment(OMPI_MCA_mpi_yield_when_idle=1))
    assert started.stdout.readline() == "layer\n"
    started.send_signal(2)
    out, _ = started.communicate(timeout=HANGS)
    assert started.returncode == 0 and ("interrupted" in out or out.count("layer") == 5), out
    done = run(config, ranks=1, cwd=tmp_path, output={"overwrite": True})
    assert done.report.status == "ok"
    with done.open() as model:
        assert model.verify() > 40


def test_what_pip_installs(tmp_path):
    """Version, licence, typed, nothing compiled; the README's names are the package's; pip installs it, where there is pip."""
    import tomllib
    project = tomllib.loads((ROOT / "python" / "pyproject.toml").read_text())["project"]
    version = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG").read_text(), re.M).group(1)
    assert project["version"] == olica.__version__ == version and project["name"] == "olica" and "pandas" not in project["dependencies"]
    readme = (ROOT / "python" / "README.md").read_text()
    assert set(re.findall(r"olica\.(\w+)", readme)) - {"h5", "md"} <= set(olica.__all__)
    assert all(getattr(olica, name).__doc__ for name in olica.__all__)
    if not all(map(importlib.util.find_spec, ("pip", "setuptools"))):
        pytest.skip("skipped: no pip and setuptools")
    shutil.copytree(ROOT / "python", tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", tmp_path / "site", tmp_path / "python"],
                          capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "site" / "olica").iterdir()} >= {"py.typed", "__init__.py", "job.py", "checkpoint.py", "reports.py", "errors.py"}
    found = subprocess.run([sys.executable, "-c", "import olica; print(olica.__file__)"], capture_output=True, text=True, env=environment(PYTHONPATH=tmp_path / "site"))
    assert found.stdout.strip() == str(tmp_path / "site" / "olica" / "__init__.py"), found.stderr
