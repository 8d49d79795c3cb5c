"""published.py CODE MODEL IDS PRECISION THREADS SPARSITY MLP_NUM: Olica's published code, a checkout whose files stay as they are, prunes
MODEL on a CPU with calibration ids (.npy) at the settings of its paper, but for these two; prints one line of JSON, seconds among it. Runs in a Python that
has torch and the release of transformers that the code asks for. What differs from a GPU: autocast is the CPU's (bf16) or off (fp32),
every layer lies on the CPU, packages that pruning does not need are empty, and the ids come from the file."""
import argparse, json, sys, time, types

code, path, ids, precision, threads, sparsity, mlp_num = sys.argv[1:]
import numpy, torch, transformers

torch.set_num_threads(int(threads))
for name in ("datasets", "lm_eval", "lm_eval.models"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["datasets"].load_dataset = sys.modules["datasets"].load_from_disk = None
sys.modules["lm_eval"].models = sys.modules["lm_eval.models"]

torch_autocast = torch.amp.autocast  # its functions are decorated for a GPU when they are imported
torch.amp.autocast = lambda *_, **__: torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")
torch.cuda.empty_cache = lambda: None
sys.path.insert(0, code)
import model_pruning
torch.amp.autocast = torch_autocast

since = time.perf_counter()
model = transformers.LlamaForCausalLM.from_pretrained(path, torch_dtype="auto" if precision == "bf16" else torch.float32, device_map="cpu").eval()
load_s = time.perf_counter() - since
model.hf_device_map = {**model.hf_device_map, **{f"model.layers.{i}": "cpu" for i in range(model.config.num_hidden_layers)}}
rows = torch.from_numpy(numpy.load(ids).astype(numpy.int64))
settings = argparse.Namespace(sparsity=float(sparsity), k=3.0, mlp_num=int(mlp_num), ratio=0.03, percdamp=0.5, seqlen=rows.shape[1], num_samples=len(rows), seed=0)

since, used = time.perf_counter(), time.process_time()
model = model_pruning.olica_pruning(model, [(row[None], row[None]) for row in rows], settings)[-1]
print(json.dumps({
    "load_s": load_s, "prune_s": time.perf_counter() - since, "cpu_s": time.process_time() - used, "torch": torch.__version__, "transformers": transformers.__version__,
    "parameters": sum(p.numel() for p in model.parameters()),
    "calibrated_layers": [i for i, layer in enumerate(model.model.layers) if hasattr(layer.mlp, "linear")]}))
