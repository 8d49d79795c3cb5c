#!/usr/bin/env python3
"""worker.py TOOL MODEL TOKENS.npy OUT.npz THREADS WHAT: runs a model in one tool, in that tool's environment, and writes what it found.

TOKENS.npy has windows [W, T]. WHAT is `compare`: OUT.npz has logits [W, T, V], and greedy, the 32 ids that follow the first 8 of window 0. Or
`speed`: parameters; bytes of the files; resident, bytes of memory that loading and generating have added; prompt, tokens a second of a window,
and decode, of 64 tokens behind the 8 with the cache: medians of 5 after one that does not count. fp32 throughout."""
import json, statistics, subprocess, sys, time
from pathlib import Path

import numpy as np

PROMPT, NEW, LONG = 8, 32, 64


def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))


def size_of(path):
    path = Path(path)
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.suffix in (".safetensors", ".bin", ".onnx", ".data"))


def rate(tokens, work, times=5):
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return tokens / statistics.median(seconds)


def found(what, windows, forward, generate, before, parameters):
    """What is asked for, by a tool's own forward(ids) -> logits and generate(new) -> the ids behind the prompt."""
    if what == "compare":
        return dict(logits=np.stack([forward(row) for row in windows]), greedy=np.array(generate(NEW)))
    decode = rate(LONG, lambda: generate(LONG))
    return dict(decode=decode, resident=resident() - before, prompt=rate(windows.shape[1], lambda: forward(windows[0])), parameters=parameters)


def transformers(model, windows, threads, what):
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig
    torch.set_num_threads(threads)
    before = resident()
    capped = '"attn_logit_softcapping"' in (Path(model) / "config.json").read_text()  # which the default attention leaves out
    net = AutoModelForCausalLM.from_pretrained(model, **({"attn_implementation": "eager"} if capped else {}), torch_dtype=torch.float32, trust_remote_code=(Path(model) / "modeling_olica.py").exists()).eval()
    tensor = lambda ids: torch.tensor(np.asarray(ids)[None].astype(np.int64))

    def generate(new):
        how = GenerationConfig(do_sample=False, max_new_tokens=new, min_new_tokens=new, eos_token_id=None, pad_token_id=0)
        prompt = tensor(windows[0, :PROMPT])
        return net.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=how)[0, PROMPT:].numpy()
    with torch.no_grad():
        return found(what, windows, lambda ids: net(tensor(ids)).logits[0].float().numpy(), generate, before,
                     sum(p.numel() for p in {id(p): p for p in net.parameters()}.values()))


def ctranslate2(model, windows, threads, what):
    import ctranslate2 as ct2
    made = str(Path(model).resolve()) + ".ct2"
    ct2.converters.TransformersConverter(str(model)).convert(made, quantization="float32", force=True)
    config = Path(made) / "config.json"  # without a token for the unknown its own loader refuses the converter's null
    words = json.loads((Path(made) / "vocabulary.json").read_text())
    config.write_text(json.dumps({key: words[0] if value is None and key.endswith("_token") else value for key, value in json.loads(config.read_text()).items()}))
    before = resident()
    net = ct2.Generator(made, device="cpu", compute_type="float32", intra_threads=threads)
    prompt = [[words[i] for i in windows[0, :PROMPT]]]

    def generate(new):
        return net.generate_batch(prompt, max_length=new, min_length=new, sampling_topk=1, beam_size=1, include_prompt_in_result=False)[0].sequences_ids[0]
    return found(what, windows, lambda ids: np.array(net.forward_batch([ids.tolist()], return_log_probs=False))[0][..., :len(words)], generate, before, 0)


def onnxruntime(model, windows, threads, what):
    """The builder of onnxruntime-genai makes the graph, onnxruntime runs it."""
    import onnxruntime as ort
    made = Path(str(Path(model).resolve()) + ".onnx")
    subprocess.run([sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", model, "-o", made, "-p", "fp32", "-e", "cpu", "-c", f"{made}.cache"],
                   check=True, stdout=subprocess.DEVNULL)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    before = resident()
    net = ort.InferenceSession(str(made / "model.onnx"), options, providers=["CPUExecutionProvider"])
    shapes = {x.name: x.shape for x in net.get_inputs()}
    head = json.loads((made / "genai_config.json").read_text())["model"]["decoder"]["head_size"]
    past = {name: np.zeros((1, shape[1], 0, head), np.float32) for name, shape in shapes.items() if name.startswith("past")}

    def step(ids, cache, seen):
        feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, seen + len(ids)), np.int64), **cache}
        if "position_ids" in shapes:
            feed["position_ids"] = np.arange(seen, seen + len(ids))[None]
        out = dict(zip((x.name for x in net.get_outputs()), net.run(None, feed)))
        return out["logits"][0], {name: out[name.replace("past_key_values", "present")] for name in cache}

    def generate(new):
        ids, cache, seen, made = windows[0, :PROMPT].tolist(), past, 0, []
        for _ in range(new):
            z, cache = step(ids, cache, seen)
            seen += len(ids)
            ids = [int(z[-1].argmax())]
            made += ids
        return made
    return found(what, windows, lambda ids: step(ids.tolist(), past, 0)[0], generate, before, 0)


def llama_cpp(model, windows, threads, what):
    """The cache in F32, and no flash attention: the defaults round."""
    import llama_cpp as lib
    before = resident()
    net = lib.Llama(model_path=str(model), n_ctx=windows.shape[1], n_batch=windows.shape[1], n_ubatch=windows.shape[1], logits_all=True, n_threads=threads,
                    n_threads_batch=threads, type_k=0, type_v=0, flash_attn=False, use_mmap=False, verbose=False)

    def forward(ids):
        net.reset()
        net.eval(ids.tolist())
        return net.scores[:len(ids)].copy()

    def generate(new):
        net.reset()
        net.eval(windows[0, :PROMPT].tolist())
        made, at = [], PROMPT
        for _ in range(new):
            made.append(int(net.scores[at - 1].argmax()))
            net.eval(made[-1:])
            at += 1
        return made
    return found(what, windows, forward, generate, before, lib.llama_model_n_params(net._model.model))


TOOLS = {"transformers": transformers, "ctranslate2": ctranslate2, "onnxruntime": onnxruntime, "llama.cpp": llama_cpp}

if __name__ == "__main__":
    tool, model, tokens, out, threads, what = sys.argv[1:]
    np.savez(out, bytes=size_of(model), **TOOLS[tool](model, np.load(tokens), int(threads), what))
