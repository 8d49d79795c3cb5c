#!/usr/bin/env python3
"""bench_7b.py: seconds and memory of single layers of LLaMA-7B's and 70B's shape, with random weights.

Writes a model of a few such layers to build/bench (kept for the next time), prunes it by the real program on random ids,
and prints, from the reports' layer_times, the mean seconds of a layer by phase, and the memory of a rank. What is said of all
layers and of more tokens is extrapolated, and marked so. The sparsity is such that a layer loses as many parameters as
it would in the whole model at 0.2. No evaluation. `make bench-7b BENCH='--help'` lists the settings."""
import argparse, json, shutil, sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from helpers import ROOT, mpirun, write_config

BENCH = ROOT / "build" / "bench"
VOCABULARY, SPARSITY, CALIBRATED = 32000, 0.2, 6
SHAPES = {"7b": {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 11008, "whole": 32},
          "70b": {"hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 28672, "whole": 80}}
WITH_TOKENS = ("survey", "collect", "advance")  # what grows with the calibration tokens; all else stays


def tensors(shape, layers):
    """(name, dimensions) in the order of the file."""
    d, f = shape["hidden_size"], shape["intermediate_size"]
    kv = d // shape["num_attention_heads"] * shape["num_key_value_heads"]
    yield "model.embed_tokens.weight", (VOCABULARY, d)
    for i in range(layers):
        for name, dims in (("input_layernorm", (d,)), ("self_attn.q_proj", (d, d)), ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)),
                           ("self_attn.o_proj", (d, d)), ("post_attention_layernorm", (d,)), ("mlp.gate_proj", (f, d)), ("mlp.up_proj", (f, d)),
                           ("mlp.down_proj", (d, f))):
            yield f"model.layers.{i}.{name}.weight", dims
    yield "model.norm.weight", (d,)
    yield "lm_head.weight", (VOCABULARY, d)


def write_tensor(file, random, dims):
    """bf16: norms are 1, matrices N(0, 0.02)."""
    if len(dims) == 1:
        file.write(np.full(dims, 0x3F80, "<u2").tobytes())
        return
    left = int(np.prod(dims))
    while left > 0:
        n = min(left, 1 << 24)
        numbers = random.standard_normal(n, dtype=np.float32) * np.float32(0.02)
        file.write((numbers.view("<u4") >> 16).astype("<u2").tobytes())
        left -= n


def make_model(name, layers):
    """The directory of the model, written unless it is there whole."""
    shape, path = SHAPES[name], BENCH / f"{name}-{layers}"
    config = path / "config.json"
    if config.exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    header, at, every = {}, 0, list(tensors(shape, layers))
    for key, dims in every:
        bytes_ = 2 * int(np.prod(dims))
        header[key] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [at, at + bytes_]}
        at += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.Generator(np.random.SFC64(7))
    with open(path / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, dims in every:
            write_tensor(file, random, dims)
    members = {"model_type": "llama", "num_hidden_layers": layers, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
               "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
               **{k: v for k, v in shape.items() if k != "whole"}}
    config.write_text(json.dumps(members))  # last: what has it is whole
    return path


def parameters(shape, layers):
    return sum(int(np.prod(dims)) for _, dims in tensors(shape, layers))


def run(name, layers, ranks, options):
    """The report; None and why, where the program finds that it does not fit."""
    shape, model = SHAPES[name], make_model(name, layers)
    ids = model / f"ids-{options.samples[name]}x{options.length}.npy"
    np.save(ids, np.random.default_rng(1).integers(0, VOCABULARY, (options.samples[name], options.length), dtype=np.int32))
    alike = parameters(shape, shape["whole"]) / shape["whole"] / (parameters(shape, layers) / layers)
    job = write_config(model / "job.ini", {
        "model": {"path": model}, "calibration": {"tokens": ids, "samples": options.samples[name], "length": options.length},
        "prune": {"sparsity": round(SPARSITY * alike, 6), "mlp_num": min(CALIBRATED, layers - 1)},
        "compute": {"precision": options.precision, "threads": options.threads},
        "output": {"checkpoint": model / "pruned.h5", "report": model / f"{ranks}.json", "overwrite": "yes"}})
    done = mpirun(ranks, "--quiet", job, timeout=3600)
    (model / "pruned.h5").unlink(missing_ok=True)
    if done.returncode == 6:
        return None, done.stderr.splitlines()[0]
    assert done.returncode == 0, done.stderr
    return json.loads((model / f"{ranks}.json").read_text()), None


def split(report):
    """By phase: (seconds of a plain layer, what calibration adds to one). The survey's fits are booked where they are
    solved, so that sweep counts by its mean; the last layer has no advance."""
    layers, calibrated = report["model"]["layers"], set(report["calibrated_layers"])
    times = [t for t in report["layer_times"]]
    phases = [p["name"] for p in report["phases"] if any(p["name"] + "_s" in t for t in times)]
    result = {}
    for phase in phases:
        key = phase + "_s"
        survey = sum(t.get(key, 0) for t in times if t["sweep"] == "survey") / layers
        cut = [t for t in times if t["sweep"] == "prune" and (phase != "advance" or key in t)]
        mean = lambda chosen: sum(t.get(key, 0) for t in chosen) / len(chosen) if chosen else 0
        with_branch, plain = [t for t in cut if t["layer"] in calibrated], [t for t in cut if t["layer"] not in calibrated]
        if phase == "advance" or not plain or not with_branch:
            result[phase] = survey + mean(cut), 0
        else:
            result[phase] = survey + mean(plain), max(0, mean(with_branch) - mean(plain))
    return result


def extrapolate(report, name, options):
    """Seconds of the whole model, and of 256 x 128 tokens: layers alike, phases with tokens in proportion to them."""
    whole, more = SHAPES[name]["whole"], 256 * 128 / (options.samples[name] * options.length)
    total = report["run"]["wall_s"] - sum(t["wall_s"] for t in report["layer_times"])  # start and tables
    for phase, (plain, branch) in split(report).items():
        if "." not in phase:
            grows = more if phase in WITH_TOKENS else 1
            total += grows * (plain * (whole - (phase == "advance")) + branch * CALIBRATED)
    return total


def print_line(*cells):
    print("| " + " | ".join([f"{cells[0]:34}"] + [f"{c:>12}" for c in cells[1:]]) + " |")


def show(name, layers, options):
    reports = {}
    for ranks in options.ranks[name]:
        report, why = run(name, layers, ranks, options)
        if report:
            reports[ranks] = report
        else:
            print(f"{name}-shape, {ranks} rank(s): {why}")
    if not reports:
        return
    first = next(iter(reports.values()))
    columns, parts = list(reports.values()), {r: split(report) for r, report in reports.items()}
    print(f"\n{name}-shape, {layers} layer(s), {options.samples[name]} x {options.length} tokens, {first['run']['precision']} by {first['run']['kernel']}, "
          f"{options.threads} thread(s) a rank\n")
    print_line("", *(f"{r} rank(s)" for r in reports))
    print_line("---", *("---:" for _ in reports))
    for phase in dict.fromkeys(p for part in parts.values() for p in part):
        print_line(f"{phase}, s a layer", *(f"{parts[r].get(phase, (0, 0))[0]:.2f}" for r in reports))
    phases = lambda r, i: sum(v[i] for p, v in parts[r].items() if "." not in p)
    print_line("all phases, s a layer", *(f"{phases(r, 0):.2f}" for r in reports))
    print_line("a calibrated layer: s more", *(f"{phases(r, 1):.2f}" if r_["calibrated_layers"] else "none ran" for r, r_ in reports.items()))
    print_line("job, s", *(f"{c['run']['wall_s']:.1f}" for c in columns))
    base = columns[0]["run"]["wall_s"] if options.ranks[name][0] in reports else None
    print_line(f"speed-up against {next(iter(reports))} rank(s)", *(f"{base / c['run']['wall_s']:.2f}" if base else "-" for c in columns))
    for key in ("counted", "resident"):
        print_line(f"memory of a rank, {key}, GiB", *(f"{c['memory'][key]['max'] / 2**30:.2f}" for c in columns))
    print_line("memory of a rank, estimate, GiB", *(f"{c['memory']['estimate'] / 2**30:.2f}" for c in columns))
    print_line(f"EXTRAPOLATED: {SHAPES[name]['whole']} layers, 256 x 128, s", *(f"{extrapolate(c, name, options):.0f}" for c in columns))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    integers = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("--shapes", default="7b,70b")
    parser.add_argument("--layers", type=int, default=2, help="of the 7B shape; the 70B shape has one")
    parser.add_argument("--samples", type=int, default=32, help="calibration sequences of the 7B shape; the 70B shape has a quarter")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--ranks", type=integers, default=[1, 2], help="of the 7B shape, as 1,2; the 70B shape has the last of them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--keep", action="store_true", help="the models stay in build/bench")
    options = parser.parse_args()
    options.samples = {"7b": options.samples, "70b": max(1, options.samples // 4)}
    options.ranks = {"7b": options.ranks, "70b": options.ranks[-1:]}
    for name in options.shapes.split(","):
        layers = options.layers if name == "7b" else 1
        show(name, layers, options)
        if not options.keep:
            shutil.rmtree(BENCH / f"{name}-{layers}")


if __name__ == "__main__":
    main()
