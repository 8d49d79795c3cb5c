#!/usr/bin/env python3
"""run.py [--models demo,SmolLM2-135M] [--families all] [--python NAME=PATH ...]: what stock tools make of the exports (make check-ecosystem).

Prunes each model by 20 % in three ways, exports each checkpoint in every kind, and opens every export in every tool that is for it:
transformers (oldest and newest that the docs name), CTranslate2, ONNX Runtime, llama.cpp. Each tool lives in an environment of its own
that is built here from the package registry, under build/ecosystem (the first time takes half an hour, most of it llama.cpp's
compilation); --python takes one that is there already. Compared with the independent program in ../judge.py on the checkpoint, and
with this program's own perplexity: logits and perplexity to 1e-4 relative, 32 greedy tokens exactly. The tiny model of every family, pruned
by refit, is opened from its hf directory (and pruned by olica, from its compact one) in the newest transformers, and from its GGUF file in llama.cpp: perplexity to 1e-4 (Gemma in
llama.cpp 1e-3). Prints a line for every
comparison, a Markdown table of sizes and speeds (of --speed-rounds in which all exports take turns; 0: none), and 'N passed, M failed'. A tool that cannot be had, or a kind that the program
refuses, is named and counts as failed. The page of the demo's reports is looked at in Chromium (browser.py); its pictures stay there."""
import argparse, json, math, os, statistics, subprocess, sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from helpers import BINARY, DEMO, ROOT, SHARED, mpirun, smollm2, write_config
import browser, judge, tiny_model

WORK = ROOT / "build" / "ecosystem"
WORKER = Path(__file__).resolve().parent / "worker.py"
THREADS = os.cpu_count() or 1
BOUND, PROMPT, NEW = 1e-4, 8, 32
WAYS = {"refit uniform": {"method": "refit", "shape": "uniform"}, "refit layerwise": {"method": "refit", "shape": "layerwise"}, "olica": {"method": "olica"}}
DENSE = "dense"  # the model as it is, by a cut of nothing
# Name: packages, the tool of worker.py, kinds that it opens, and whether it borrows torch from transformers-newest.
ENVIRONMENTS = {
    "transformers-newest": (["transformers>=5,<6", "torch", "safetensors"], "transformers", ("hf", "compact"), False),
    "transformers-oldest": (["transformers==4.46.3", "numpy<2.3", "huggingface_hub<1", "tokenizers<0.21", "safetensors"], "transformers", ("hf", "compact"), True),
    "ctranslate2": (["ctranslate2", "setuptools"], "ctranslate2", ("hf",), True),
    "onnxruntime": (["onnxruntime", "onnxruntime-genai", "onnx", "onnx_ir"], "onnxruntime", ("hf",), True),
    "llama.cpp": (["llama-cpp-python"], "llama.cpp", ("gguf",), False),
}


class Count:
    passed = failed = 0

    def say(self, good, text):
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(("ok      " if good else "FAILED  ") + text, flush=True)


def last_line(done):
    lines = (done.stderr or done.stdout or "").strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if " ERROR " in line), lines[-1])[:300]  # mpirun has its own last lines


def site(python):
    return subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], capture_output=True, text=True, check=True).stdout.strip()


def environment(name, pythons, torch):
    """The python of a tool's environment; raises RuntimeError that says why there is none."""
    if name in pythons:
        return pythons[name]
    packages, *_, borrows = ENVIRONMENTS[name]
    place = WORK / "environments" / name
    if not (place / "whole").exists():
        base = next((p for p in ("python3.11", "python3.12", "python3") if subprocess.run([p, "-m", "venv", "--clear", place], capture_output=True).returncode == 0), None)
        if not base:
            raise RuntimeError("no python that makes environments (python3-venv)")
        if borrows:
            if not torch:
                raise RuntimeError("transformers-newest, which has torch, cannot be had")
            Path(site(place / "bin" / "python"), "torch.pth").write_text(site(torch) + "\n")
        done = subprocess.run([place / "bin" / "pip", "install", "-q", *(["--ignore-installed"] if borrows else []), *packages], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"pip install {' '.join(packages)}: {last_line(done)}")
        (place / "whole").touch()
    return str(place / "bin" / "python")


def environments(pythons, count):
    found = {}
    for name in ENVIRONMENTS:
        try:
            found[name] = environment(name, pythons, found.get("transformers-newest"))
        except RuntimeError as error:
            count.say(False, f"{name} cannot be had: {error}")
    return found


# ---- models and exports ----

def model(name):
    """Directory, calibration and evaluation ids, samples, windows, layers that get a branch."""
    if name == "demo":
        return DEMO, DEMO / "calibration.npy", DEMO / "evaluation.npy", 64, 8, 2
    place = WORK / name
    if not (place / "config.json").exists():
        smollm2(place)
    data = SHARED / "conformance"
    return place, data / f"{name}.calibration.npy", data / f"{name}.evaluation.npy", 32, 4, 6


def prune(name, way):
    """The checkpoint of a model pruned in that way, its report, and the windows that its perplexity is of."""
    path, calibration, evaluation, samples, windows, branches = model(name)
    place = WORK / name.lower() / way.replace(" ", "-")
    place.mkdir(parents=True, exist_ok=True)
    settings = {"method": "magnitude", "sparsity": 0} if way == DENSE else {**WAYS[way], "sparsity": 0.2}
    if way == "olica":
        settings["mlp_num"] = branches
    checkpoint, report = place / "pruned.h5", place / "report.json"
    job = {"model": {"path": path}, "calibration": {"tokens": calibration, "samples": samples}, "prune": settings,
           "evaluate": {"tokens": evaluation, "windows": windows}, "output": {"checkpoint": checkpoint, "report": report, "dtype": "fp32", "overwrite": "yes"}}
    if way == DENSE:
        del job["calibration"]
    done = mpirun(2, "--quiet", write_config(place / "job.ini", job), timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    rows = np.load(evaluation).reshape(-1)
    tokens = place / "tokens.npy"
    np.save(tokens, rows[:windows * 128].reshape(windows, 128))
    return path, checkpoint, json.loads(report.read_text()), tokens


def export(source, checkpoint, kind):
    out = checkpoint.parent / (f"{kind}.gguf" if kind == "gguf" else kind)
    subprocess.run(["rm", "-rf", out])
    done = mpirun(2, "--set", f"model.path={source}", "--export", f"{kind}:{out}", checkpoint, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    return out


# ---- the reference ----

def forward(m, rows):
    x = m.w["embed_tokens"][rows]
    for layer in range(m.L):
        x, _ = judge.run_layer(m, layer, x)
    return judge.rms_norm(m, x, m.w["norm"]) @ m.w.get("lm_head", m.w["embed_tokens"]).T


def reference(checkpoint, rows):
    """Logits of the checkpoint in float64, window after window, and the greedy tokens."""
    m = judge.load_checkpoint(checkpoint)
    logits = np.stack([forward(m, row[None])[0].astype(np.float32) for row in rows])
    ids = rows[0, :PROMPT].tolist()
    for _ in range(NEW):
        ids.append(int(forward(m, np.array([ids]))[0, -1].argmax()))
    return logits, ids[PROMPT:]


def perplexity(logits, rows):
    total = 0.0
    for z, row in zip(logits, rows):
        z = z.astype(np.float64)
        z -= z.max(-1, keepdims=True)
        total += (np.log(np.exp(z).sum(-1))[:-1] - z[np.arange(len(row) - 1), row[1:]]).sum()
    return math.exp(total / (rows.size - len(rows)))


# ---- tools ----

def use(python, tool, export, tokens, out, what="compare"):
    done = subprocess.run([python, WORKER, tool, export, tokens, out, str(THREADS), what], capture_output=True, text=True, timeout=3600,
                          env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_MODULES_CACHE": str(WORK / "modules"), "OMP_WAIT_POLICY": "passive"})
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    return np.load(out)


def compare(count, what, found, logits, greedy, ours, rows):
    scale = np.abs(logits).max()
    difference = np.abs(found["logits"][..., :logits.shape[-1]] - logits).max() / scale
    theirs = perplexity(found["logits"], rows)
    same = int(np.sum(np.cumprod(np.array(greedy) == found["greedy"][:NEW])))
    count.say(bool(difference <= BOUND and abs(theirs / ours - 1) <= BOUND and same == NEW),
              f"{what}: logits {difference:.1e}, perplexity {theirs:.6f} (ours {ours:.6f}, {abs(theirs / ours - 1):.1e}), greedy tokens {same}/{NEW}")


def measure(exports, rounds):
    """The table's rows: medians of rounds in which every export takes its turn, so that what else runs slows all of them."""
    seen = {export[:4]: [] for export in exports}
    for _ in range(rounds):
        for name, way, kind, tool, python, out, tokens in exports:
            seen[name, way, kind, tool].append(dict(use(python, ENVIRONMENTS[tool][1], out, tokens, out.parent / "found.npz", "speed")))
    for (name, way, kind, tool), found in seen.items():
        median = lambda key: statistics.median(float(one[key]) for one in found)
        parameters = f"{median('parameters') / 1e6:.2f} M" if median("parameters") else ""
        yield (f"| {name} | {way} | {kind} | {tool} | {parameters} | {median('bytes') / 2**20:.1f} | {median('resident') / 2**20:.0f} | "
               f"{median('prompt'):.0f} | {median('decode'):.1f} |")


def check(name, way, pythons, count, exports):
    try:
        source, checkpoint, report, tokens = prune(name, way)
    except RuntimeError as error:
        return count.say(False, f"{name}, {way}: {error}")
    rows = np.load(tokens)
    logits, greedy = reference(checkpoint, rows)
    ours = report["perplexity"]["pruned"]
    count.say(abs(perplexity(logits, rows) / ours - 1) <= BOUND, f"{name}, {way}, the independent program: perplexity {perplexity(logits, rows):.6f}, ours {ours:.6f}")
    for kind in ("hf", "compact", "gguf"):
        if way == DENSE and kind == "compact":
            continue
        try:
            out = export(source, checkpoint, kind)
        except RuntimeError as error:
            count.say(False, f"{name}, {way}, {kind}: {error}")
            continue
        for tool, (_, program, kinds, _) in ENVIRONMENTS.items():
            if kind not in kinds or tool not in pythons:
                continue
            what = f"{name}, {way}, {kind}, {tool}"
            try:
                found = use(pythons[tool], program, out, tokens, checkpoint.parent / "found.npz")
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                count.say(False, f"{what}: {error}")
                continue
            compare(count, what, found, logits, greedy, ours, rows)
            if tool in ("transformers-newest", "llama.cpp"):
                exports.append((name, way, kind, tool, pythons[tool], out, tokens))


def family_form(place, work):
    """Some families have no file of llama.cpp's as they are there: the same model in the form that has one, or the place itself."""
    config = json.loads((place / "config.json").read_text())
    tensors = judge.read_safetensors(place / "model.safetensors")
    if place.name in ("gemma", "gemma2", "cohere2"):
        config["tie_word_embeddings"] = True
        del tensors["lm_head.weight"]
    elif place.name == "smollm3":
        config["no_rope_layers"] = [1, 1, 1, 0]
    elif place.name == "exaone4":
        config.update(sliding_window=None, layer_types=["full_attention"] * config["num_hidden_layers"])
    elif place.name == "phi3-partial-longrope":
        config["sliding_window"] = None
    elif place.name in ("mistral", "llama-longrope", "llama-dynamic"):  # the file's context ends before the windows do
        return None
    else:
        return place
    form = work / "form"
    form.mkdir(exist_ok=True)
    (form / "config.json").write_text(json.dumps(config))
    (form / "model.safetensors").write_bytes(tiny_model.pack(tensors))
    return form


def prune_family(place, work, tokens, way):
    """The checkpoint, and its perplexity."""
    rows = np.load(tokens)
    text = {"tokens": tokens, "length": rows.shape[1]}
    job = {"model": {"path": place}, "calibration": {**text, "samples": len(rows)}, "prune": {**way, "sparsity": 0.2}, "evaluate": text,
           "output": {"checkpoint": work / "pruned.h5", "report": work / "report.json", "dtype": "fp32", "overwrite": "yes"}}
    done = mpirun(2, "--quiet", write_config(work / "job.ini", job), timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    return work / "pruned.h5", json.loads((work / "report.json").read_text())["perplexity"]["pruned"]


def check_family(place, pythons, count):
    """The hf export of a tiny random model, pruned by refit with one width, has our perplexity in the newest transformers, and so has the
    compact one, pruned by olica with branches; the GGUF file has it in llama.cpp, whose table of gelu has 16 bits."""
    tokens = place / "ids.npy"
    rows = np.load(tokens)
    for kind, tool in (("hf", "transformers-newest"), ("compact", "transformers-newest"), ("gguf", "llama.cpp")):
        way = {"method": "olica", "mlp_num": 2} if kind == "compact" else WAYS["refit uniform"]
        what = f"{place.name}, {way['method']}, {kind}, {tool}"
        work = WORK / "families" / place.name / kind
        work.mkdir(parents=True, exist_ok=True)
        form = family_form(place, work) if kind == "gguf" else place
        if tool not in pythons or not form:
            continue
        try:
            checkpoint, ours = prune_family(form, work, tokens, way)
            out = export(form, checkpoint, kind)
            theirs = perplexity(use(pythons[tool], ENVIRONMENTS[tool][1], out, tokens, work / "found.npz")["logits"], rows)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            count.say(False, f"{what}: {error}")
            continue
        bound = 1e-3 if kind == "gguf" and place.name.startswith("gemma") else BOUND
        count.say(abs(theirs / ours - 1) <= bound, f"{what}: perplexity {theirs:.6f} (ours {ours:.6f}, {abs(theirs / ours - 1):.1e})")


def check_page(count):
    """The page that --plot makes of the demo's reports."""
    page, reports = WORK / "page", sorted(WORK.glob("demo/*/report.json"))
    reports = [report for report in reports if report.parent.name != DENSE]
    if not reports:
        return
    subprocess.run(["rm", "-rf", page])
    done = mpirun(1, "--plot", page, *reports)
    if done.returncode != 0:
        return count.say(False, f"--plot: {last_line(done)}")
    browser.check(count, page / "index.html")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="demo,SmolLM2-135M")
    parser.add_argument("--ways", default=",".join([*WAYS, DENSE]))
    parser.add_argument("--families", default="all", help="of ../shared/families: all, none or names with commas")
    parser.add_argument("--speed-rounds", type=int, default=3)
    parser.add_argument("--python", action="append", default=[], help="NAME=PATH of a tool's environment that is there already")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    count, exports = Count(), []
    pythons = environments(dict(pair.split("=", 1) for pair in arguments.python), count)
    families = {"all": sorted(path.parent.name for path in SHARED.glob("families/*/config.json")), "none": []}
    for name in families.get(arguments.families, arguments.families.split(",")):
        check_family(SHARED / "families" / name, pythons, count)
    for name in filter(None, arguments.models.split(",")):
        for way in arguments.ways.split(","):
            check(name, way, pythons, count, exports)
    check_page(count)
    print(f"\nfp32, {THREADS} threads, load {os.getloadavg()[0]:.1f} before\n\n| model | pruned by | export | tool | parameters | files, MiB | resident, MiB | prompt, tokens/s | decode, tokens/s |\n|---|---|---|---|---:|---:|---:|---:|---:|")
    for row in measure(exports, arguments.speed_rounds) if arguments.speed_rounds else []:
        print(row, flush=True)
    print(f"\n{count.passed} passed, {count.failed} failed")
    return count.failed > 0


if __name__ == "__main__":
    sys.exit(main())
