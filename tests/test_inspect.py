"""`--inspect` and `--diff`: widths, ranks, heads and parameters of checkpoints, model directories, exports, GGUF files, saved
statistics and reports are those that h5py, NumPy and the report tell; differences are NumPy's; hostile GGUF files, and what is of
no known kind, are refused with one message."""
import json, os, shutil, struct, subprocess

import h5py
import numpy as np
import pytest
from gguf_file import info, key, model, pack, string
from helpers import BINARY, environment, mpirun, run_job
from tiny_model import CONFIG, frame, make_ids, make_model, weights
from tiny_model import pack as safetensors

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def run(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment())


def inspect(path):
    done = run("--inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def diff(a, b):
    done = run("--diff", a, b, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A pruned model of four layers with its report and statistics, and another one of it at less."""
    at = tmp_path_factory.mktemp("inspect")
    make_model(at / "model", layers=4)
    make_ids(at / "ids.npy", rows=8)
    sections = {"model": {"path": at / "model"}, "calibration": {"tokens": at / "ids.npy", "samples": 8, "length": 8, "save": at / "saved.h5"},
                "prune": {"method": "olica", "sparsity": 0.2, "mlp_num": 1}}
    report = run_job(at, 1, sections, name="pruned")
    sections["prune"] |= {"sparsity": 0.1}
    run_job(at, 1, sections, name="less")
    return at, report


def test_a_checkpoint_is_what_h5py_reads(job):
    at, report = job
    shown = inspect(at / "pruned.h5")
    with h5py.File(at / "pruned.h5") as file:
        count = {}
        file["model"].visititems(lambda name, x: count.update({name: x.size}) if isinstance(x, h5py.Dataset) and x.attrs["dtype"] == b"fp32" else None)
        config = json.loads(file["meta/config_json"][()].tobytes())
        for i, layer in enumerate(shown["layers"]):
            here = file[f"model/layers/{i:03d}"]
            assert layer["parameters"] == sum(n for name, n in count.items() if name.startswith(f"layers/{i:03d}/"))
            assert layer["q_rank"] == here["q_proj/b"].shape[1] and layer["k_rank"] == here["k_proj/b"].shape[1]
            assert layer["vo_width"] == here["v_proj/weight"].shape[0] and layer["ffn_width"] == here["ffn_kept"].shape[0]
            assert layer.get("branch_rank", 0) == (here["branch/a"].shape[1] if "branch" in here else 0)
            assert (layer["heads"], layer["kv_heads"]) == (2, 1)
    parts = {name: part["numbers"] for name, part in shown["parameters"].items() if isinstance(part, dict)}
    assert parts["total"] == sum(count.values()) == report["parameters"]["pruned"]
    assert parts.pop("total") == sum(parts.values())
    assert parts["embedding"] == count["embed_tokens"] and parts["head"] == count["lm_head"]
    assert parts["norms"] == sum(n for name, n in count.items() if "norm" in name)
    for part, names in (("query_key", ("/q_proj/", "/k_proj/")), ("value_output", ("/v_proj/", "/o_proj/")),
                        ("ffn", ("/gate_proj/", "/up_proj/", "/down_proj/")), ("branch", ("/branch/",))):
        assert parts.get(part, 0) == sum(n for name, n in count.items() if any(word in name for word in names)), part
    assert shown["config"] == config and shown["settings"]["prune"]["sparsity"] == 0.2 and shown["provenance"]["program"] == "olica_mpi"


def test_errors_and_sensitivities_come_from_the_report_of_that_run(job, tmp_path):
    at, report = job
    shown = inspect(at / "pruned.h5")
    assert shown["report"] == str(at / "pruned.json")
    for i, layer in enumerate(shown["layers"]):
        for name in ("q_error", "k_error"):
            assert layer[name] == report["layers"][i][name]
        assert layer["linearity_score"] == report["linearity_score"][i]
    assert shown["parameters"]["dense"] == report["parameters"]["dense"]
    (tmp_path / "other").mkdir()
    shutil.copy(at / "pruned.h5", tmp_path / "other" / "mine.h5")
    assert inspect(tmp_path / "other" / "mine.h5")["layers"] == shown["layers"], "the report is where the run wrote it"
    kept = (at / "pruned.json").read_text()
    for damaged in (json.dumps(report | {"checkpoint": {"bytes": 1}}), "{", json.dumps(report | {"layers": [{"layer": 0, "ffn_width": 1}]})):
        (at / "pruned.json").write_text(damaged)
        alone = inspect(at / "pruned.h5")
        assert "report" not in alone and "q_error" not in alone["layers"][0] and alone["parameters"]["total"] == shown["parameters"]["total"]
    (at / "pruned.json").write_text(kept)


def test_the_report_and_the_statistics_by_themselves(job):
    at, report = job
    shown = inspect(at / "pruned.json")
    assert shown["kind"] == "report" and shown["status"] == "ok" and shown["model"] == report["model"]
    assert [{k: v for k, v in row.items() if k != "linearity_score"} for row in shown["layers"]] == report["layers"]
    assert shown["parameters"]["total"]["numbers"] == report["parameters"]["pruned"]
    saved = inspect(at / "saved.h5")
    assert saved["kind"] == "saved statistics" and "survey" in saved["statistics_of"] and "parameters" not in saved
    assert {"survey/score", "meta/about_json"} <= {tensor["name"] for tensor in saved["tensors"]}


def test_the_text_has_the_same_figures_on_any_ranks(job):
    at, report = job
    text = run("--inspect", at / "pruned.h5").stdout
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["0"])
    first = inspect(at / "pruned.h5")["layers"][0]
    assert {str(first["q_rank"]), str(first["ffn_width"]), f"{first['parameters']:,}", f"{first['q_error']:.4g}"} <= set(row)
    assert f"{report['parameters']['pruned']:,}" in text and "sparsity = 0.2" in text and "olica_mpi" in text
    two = mpirun(2, "--inspect", at / "pruned.h5")
    assert two.returncode == 0 and two.stdout == text
    assert mpirun(2, "--diff", at / "pruned.h5", at / "less.h5").stdout == run("--diff", at / "pruned.h5", at / "less.h5").stdout


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """One model in every form: a directory, one file, GGUF, and with the names of a compact export, query and key fused, and biases."""
    at = tmp_path_factory.mktemp("forms")
    numbers = {name: x.astype("f4") for name, x in weights(CONFIG).items()}
    make_model(at / "hf")
    (at / "tiny.gguf").write_bytes(model(CONFIG, numbers))
    (at / "quantized.gguf").write_bytes(model(dict(CONFIG, hidden_size=32), weights(dict(CONFIG, hidden_size=32)), kind="Q8_0", arch="deci", widths=[32, 32]))
    compact, fused = {}, {}
    for name, x in numbers.items():
        if ".q_proj." in name or ".k_proj." in name:
            compact[name.replace("_proj.", "_proj.a.")], compact[name.replace("_proj.", "_proj.b.")] = x[:3], np.ones((len(x), 3))
        elif ".v_proj." in name or ".o_proj." in name:
            compact[name.replace("_proj.", "_proj.cut.")] = x[:5] if ".v_proj." in name else x[:, :10]
        else:
            compact[name] = x
        if ".q_proj." in name:
            rest = [numbers[name.replace("q_proj", other)] for other in ("k_proj", "v_proj")]
            fused[name.replace("q_proj", "qkv_proj")] = np.concatenate([x, *rest])
        elif ".gate_proj." in name:
            fused[name.replace("gate_proj", "gate_up_proj")] = np.concatenate([x, numbers[name.replace("gate_proj", "up_proj")]])
        elif not any(word in name for word in ("k_proj", "v_proj", "up_proj")):
            fused[name] = x
    compact |= {"model.layers.1.mlp.branch.a.weight": np.ones((4, 16)), "model.layers.1.mlp.branch.b.weight": np.ones((16, 4)),
                "model.layers.0.mlp.gate_proj.bias": np.ones(32)}
    for folder, tensors in (("compact", compact), ("fused", fused)):
        (at / folder).mkdir()
        (at / folder / "model.safetensors").write_bytes(safetensors(tensors))
        (at / folder / "config.json").write_text(json.dumps(dict(CONFIG, model_type=f"{folder}_llama")))
    return at, numbers


def test_a_model_in_other_forms(forms):
    at, numbers = forms
    dense = inspect(at / "hf")
    total = sum(x.size for x in numbers.values())
    assert dense["parameters"]["total"] == {"numbers": total, "bytes": 4 * total} and dense["types"] == {"F32": 21}
    assert [(row["heads"], row["kv_heads"], row["vo_width"], row["ffn_width"]) for row in dense["layers"]] == [(2, 1, 8, 32)] * 2
    for other in ("hf/model.safetensors", "tiny.gguf", "fused"):
        shown = inspect(at / other)
        assert shown["parameters"] == dense["parameters"] and shown["layers"] == dense["layers"], other
    assert inspect(at / "tiny.gguf")["model"] | {"family": ""} == {
        "family": "", "layers": 2, "hidden": 16, "heads": 2, "kv_heads": 1, "head": 8, "ffn": 32, "vocabulary": 64, "context": 32}
    small = inspect(at / "quantized.gguf")
    assert small["model"]["family"] == "deci" and small["model"]["ffn"] == [32, 32] and small["types"] == {"F32": 5, "Q8_0": 16}
    assert {tensor["bytes"] for tensor in small["tensors"] if tensor["name"].endswith("ffn_up.weight")} == {32 * 34}
    compact = inspect(at / "compact")["layers"]
    assert [(row["q_rank"], row["k_rank"], row["vo_width"], row.get("branch_rank"), row.get("biases")) for row in compact] == [
        (3, 3, 5, None, ["gate_proj"]), (3, 3, 5, 4, None)]
    assert (compact[0]["heads"], compact[0]["kv_heads"]) == (2, 1)
    assert "with a bias: gate_proj (1 layers)\n" in run("--inspect", at / "compact").stdout


def test_differences_are_numpys(job, forms, tmp_path):
    at, _ = job
    same = diff(at / "pruned.h5", at / "pruned.h5")
    assert same["same_model"] and same["layers"] == [] and same["tensors"]["compared"] == same["tensors"]["equal"] > 40
    shutil.copy(at / "pruned.h5", tmp_path / "changed.h5")
    with h5py.File(tmp_path / "changed.h5", "r+") as file:
        old = file["model/layers/002/down_proj/weight"][()].astype("f8")
        new = old.astype("f4")
        new[3, 5] += 0.5
        new[1, 2] = np.float32(new[1, 2]) * 2
        file["model/layers/002/down_proj/weight"][...] = new
        file["model/norm"][0] = np.nan
        for path in ("model/layers/002/down_proj/weight", "model/norm"):  # small tensors are compared with their checksum
            del file[path].attrs["crc32"]
    changed = diff(at / "pruned.h5", tmp_path / "changed.h5")
    assert not changed["same_model"] and changed["tensors"]["equal"] == changed["tensors"]["compared"] - 2
    one, norm = changed["tensors"]["differing"]
    gap = new.astype("f8") - old
    assert one["name"] == "layers.2.down_proj" and one["differ"] == 2 and one["numbers"] == old.size
    assert one["largest"] == pytest.approx(np.abs(gap).max(), rel=1e-12)
    assert one["relative"] == pytest.approx(np.linalg.norm(gap) / np.linalg.norm(old), rel=1e-12)
    assert norm == {"name": "norm", "numbers": 16, "differ": 1, "largest": None, "relative": None}
    less = diff(at / "pruned.h5", at / "less.h5")
    assert less["settings"]["prune.sparsity"] == [0.2, 0.1] and "written" not in less["settings"]
    assert {row["layer"] for row in less["layers"]} == {0, 1, 2, 3} and all(row["ffn_width"][0] < row["ffn_width"][1] for row in less["layers"])
    assert less["parameters"]["total"][0] < less["parameters"]["total"][1]
    dense = diff(at / "model", at / "pruned.h5")
    assert dense["layers"][0]["q_rank"][0] is None and dense["tensors"]["equal"] >= 3 and "layers.0.q_proj" in dense["tensors"]["only_a"]
    assert {"name": "layers.0.up_proj", "a": [32, 16], "b": [inspect(at / "pruned.h5")["layers"][0]["ffn_width"], 16]} in dense["tensors"]["other_shape"]


def test_a_checkpoint_against_its_compact_export(tmp_path):
    """All weights are equal, the branch's factors too, which the export has transposed; a changed one is found."""
    make_model(tmp_path / "model", layers=2)
    make_ids(tmp_path / "ids.npy", rows=8)
    run_job(tmp_path, 1, {"model": {"path": tmp_path / "model"}, "calibration": {"tokens": tmp_path / "ids.npy", "samples": 8, "length": 8},
                          "prune": {"method": "olica", "sparsity": 0.2, "mlp_num": 1, "ratio": 0.2}}, name="p")
    done = run("--export", f"compact:{tmp_path}/compact", tmp_path / "p.h5")
    assert done.returncode == 0, done.stderr
    branches = [layer.get("branch_rank", 0) for layer in inspect(tmp_path / "p.h5")["layers"]]
    assert sum(branches) > 0 and [layer.get("branch_rank", 0) for layer in inspect(tmp_path / "compact")["layers"]] == branches
    d = diff(tmp_path / "p.h5", tmp_path / "compact")
    assert d["layers"] == [] and d["parameters"] == {} and d["tensors"]["differing"] == d["tensors"]["other_shape"] == d["tensors"]["only_b"] == []
    assert d["tensors"]["equal"] > 15 and all(name.endswith("kept") or name.startswith("meta.") for name in d["tensors"]["only_a"])
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        a = file[f"model/layers/{branches.index(max(branches)):03d}/branch/a"]
        a[2, 1] += 1
        del a.attrs["crc32"]
    changed = diff(tmp_path / "p.h5", tmp_path / "compact")["tensors"]["differing"]
    assert [(row["name"].split(".", 2)[2], row["differ"]) for row in changed] == [("branch.a", 1)] and changed[0]["largest"] == pytest.approx(1)


def test_directory_against_gguf(forms):
    at, _ = forms
    d = diff(at / "hf", at / "tiny.gguf")["tensors"]
    assert d["differing"] == d["other_shape"] == d["only_a"] == d["only_b"] == [] and d["equal"] == d["compared"] == 17
    assert sorted(row["name"] for row in d["not_compared"]) == [f"layers.{i}.{name}" for i in (0, 1) for name in ("k_proj", "q_proj")]
    assert diff(at / "tiny.gguf", at / "tiny.gguf")["same_model"]
    assert not diff(at / "quantized.gguf", at / "quantized.gguf")["same_model"], "numbers that were not read are not equal"


GOOD = [("general.architecture", "str", "llama"), ("llama.block_count", "u32", 1)]
TENSOR = {"blk.0.attn_norm.weight": ("F32", np.ones(8))}
LONG = struct.pack("<Q", 1 << 62)


def header(tensors=0, keys=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def placed(*infos):
    head = header(len(infos)) + b"".join(infos)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 64


HOSTILE = {
    "version 1": (header(version=1), "GGUF version 1"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big endian"),
    "cut in the head": (b"GGUF\3\0\0", "truncated"),
    "more tensors than bytes": (header(tensors=1 << 60), "the number of tensors is"),
    "more keys than bytes": (header(keys=1 << 60), "the number of keys is"),
    "a long key": (header(keys=1) + LONG + b"x" * 32, "the length of a key is"),
    "an empty key": (header(keys=1) + string("") + struct.pack("<I", 4) + b"\0" * 9, "0 bytes"),
    "a key with a newline": (header(keys=1) + key("a\nb", "u32", 1), "control characters"),
    "a key with a NUL": (header(keys=1) + key("a\0b", "u32", 1), "NUL"),
    "a key twice": (header(keys=2) + key("a", "u32", 1) + key("a", "u32", 2), "key a stands twice"),
    "a value of no type": (header(keys=1) + string("a") + struct.pack("<I", 99) + b"\0" * 9, "type 99"),
    "a long string": (header(keys=1) + string("a") + struct.pack("<I", 8) + LONG + b"\0", "the length of a string is"),
    "a long array": (header(keys=1) + string("a") + struct.pack("<II", 9, 4) + LONG + b"\0", "the length of an array is"),
    "arrays without end": (header(keys=1) + string("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50, "arrays in arrays"),
    "an alignment of 0": (pack([("general.alignment", "u32", 0)], TENSOR), "general.alignment is 0"),
    "an alignment of 48": (pack([("general.alignment", "u32", 48)], TENSOR), "general.alignment is 48"),
    "a tensor's name of gigabytes": (header(tensors=1) + LONG + b"x" * 64, "the length of a tensor's name is"),
    "five dimensions": (placed(info("t", (1,) * 5, 0, 0)), "5 dimensions"),
    "a dimension of 0": (placed(info("t", (4, 0), 0, 0)), "dimension 0 is 0"),
    "dimensions that overflow": (placed(info("t", (1 << 40, 1 << 40), 0, 0)), "fits 63 bits"),
    "no such type": (placed(info("t", (8,), 77, 0)), "type number 77"),
    "a ragged block": (placed(info("t", (40,), 8, 0)), "a multiple of 32"),
    "bytes that overflow": (placed(info("t", (1 << 61,), 28, 0)), "t takes"),
    "off the alignment": (placed(info("t", (4,), 0, 4)), "a multiple of 32"),
    "outside of the file": (placed(info("t", (4,), 0, 1 << 40)), "a range inside the file"),
    "behind the end": (placed(info("t", (16,), 0, 32)), "behind the file's"),
    "overlapping": (placed(info("s", (16,), 0, 0), info("t", (8,), 0, 32)), "overlap"),
    "the same name twice": (placed(info("t", (8,), 0, 0), info("t", (8,), 0, 32)), "lies in"),
    "cut in its data": (pack(GOOD, TENSOR)[:-8], "behind the file's"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_gguf_is_refused(name, tmp_path):
    raw, words = HOSTILE[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(raw)
    done = run("--inspect", path)
    assert done.returncode == 3 and str(path) in done.stderr and words in done.stderr, done.stderr
    assert done.stdout == "" and done.stderr.count("ERROR") == 1


def test_strange_but_whole_gguf(tmp_path):
    """Text that is no UTF-8, NaN, long arrays, another alignment, empty arrays: shown, not trusted."""
    raw = pack([("general.alignment", "u32", 64), ("a.bytes", "str", b"\xff\xfe"), ("a.nan", "f32", float("nan")), ("a.long", "arr",
                ("u16", list(range(5000)))),
                ("a.none", "arr", ("str", [])), ("a.deep", "arr", ("arr", [("u8", [1]), ("u8", [])])), ("a.big", "u64", 2**64 - 1), ("a.low", "i64", -2**63),
                ("a.yes", "bool", 1)], {"t": ("F32", np.ones(1)), "blk.99999999.x.weight": ("F16", np.ones((2, 3)))}, version=2, alignment=64)
    (tmp_path / "strange.gguf").write_bytes(raw)
    shown = inspect(tmp_path / "strange.gguf")
    m = shown["metadata"]
    assert m["a.bytes"] == {"bytes": 2} and m["a.nan"] is None and m["a.long"] == {"array": "uint16", "count": 5000}
    assert m["a.none"] == [] and m["a.deep"] == [[1], []] and m["a.big"] == pytest.approx(2.0**64, rel=1e-14) and m["a.low"] == -2**63 and m["a.yes"] is True
    assert shown["layers"] == [] and shown["parameters"]["other"]["numbers"] == 7
    assert run("--inspect", tmp_path / "strange.gguf").returncode == 0


def test_what_is_refused(job, tmp_path):
    at, _ = job
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    (tmp_path / "torch.bin").write_bytes(b"PK\3\4" + b"\0" * 100)
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "cut.h5").write_bytes((at / "pruned.h5").read_bytes()[:3000])
    (tmp_path / "broken.safetensors").write_bytes(frame(b"{}", b"xx"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, code, words in (("nothing", 3, "expected a file or directory to inspect"), ("text", 3, "of no kind that can be shown"), ("empty", 3, "of no kind"),
                              ("torch.bin", 3, "PyTorch"), ("other.json", 3, "expected a report"), ("cut.h5", 3, "cut.h5"), ("broken.safetensors", 3, "2 bytes"),
                              ("pipe", 3, "pipe"), ("folder", 3, "expected model.safetensors")):
        done = run("--inspect", tmp_path / name)
        assert done.returncode == code and words in done.stderr and done.stdout == "", (name, done.stderr)
        assert run("--diff", at / "pruned.h5", tmp_path / name).returncode == code
    for line, words in ((["--inspect"], "--inspect needs PATH"), (["--inspect", "--json", "x"], "needs PATH behind it, found --json"), (["--diff", "a"], "--diff needs A B"),
                        (["--json", "x.ini"], "--json belongs to"), (["--inspect", "a", "--verify", "b"], "beside another command"), (["--inspect", "a", "x.ini"], "need no config file")):
        done = run(*line)
        assert done.returncode == 2 and words in done.stderr, done.stderr
