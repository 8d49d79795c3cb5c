"""Wrong input, hostile files, a system that refuses: one table. Every case ends on all ranks, in seconds, with one
message that names file, key or tensor, its exit code, no file that looks whole, and a report that says so."""
import json, os, shutil, subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from damage import (Job, model, config, content, weight_file, header, entry, shift, raw_header, sharded, moved, array,
                    with_id, put, text, appended, arguments, infect, scaled, existing, both, shell, mounted, taken, tokenizer, ENDLESS,
                    instead, raw, hurt, tasks, texts, numbers, ROW, attribute, flip, replaced, spoilt, without, linked, looped, heaped, outside, FILE,
                    INDEX, NORM, Q)
from helpers import BINARY, HANGS, mpirun
from tiny_model import CONFIG, frame, pack, weights

USAGE, INPUT, IO, NUMERIC, MEMORY = 2, 3, 4, 5, 6

# Name, how to break the job, exit code, words of the message.
DEEP = "[" * 100000
HUGE = 10**30
# What is read: --check sees it too, and a run leaves its report.
INPUTS = [
    # ---- the weights' file ----
    ("no weights", weight_file(None), INPUT, "model|holds neither|expected model.safetensors"),
    ("no model", put("model", path="nowhere"), INPUT, "nowhere|[model] path"),
    ("model's name too long", put("model", path="x" * 100000), INPUT, "xxx|File name too long"),
    ("model is a text", put("model", path="config.ini"), INPUT, "config.ini|HDF5"),
    ("model is empty directory", lambda job: (shutil.rmtree(job.model), job.model.mkdir()), INPUT, "config.json"),
    ("weights are a directory", instead(Path.mkdir), INPUT, FILE + "|a directory|regular file"),
    ("weights are a pipe", instead(os.mkfifo), INPUT, FILE + "|a pipe|regular file"),
    ("weights are a dangling link", instead(lambda path: path.symlink_to("gone")), INPUT, FILE + "|No such file"),
    ("empty weights", weight_file(b""), INPUT, FILE + "|0 bytes|at least 8"),
    ("seven bytes", weight_file(b"1234567"), INPUT, FILE + "|7 bytes|at least 8"),
    ("truncated", weight_file(lambda old: old[:-100]), INPUT, FILE + "|data_offsets|truncated"),
    ("truncated in the header", weight_file(lambda old: old[:100]), INPUT, FILE + "|header has|at most 92"),
    ("oversized", weight_file(lambda old: old + b"\0" * 4), INPUT, FILE + "|holds|expected|last tensor ends"),
    ("git lfs pointer", weight_file(b"version https://git-lfs.github.com/spec/v1\n"), INPUT, FILE + "|Git LFS"),
    ("header length 0", weight_file(lambda old: frame(b"", old, 0)), INPUT, FILE + "|header|empty"),
    ("header length huge", weight_file(lambda old: frame(b"", old[8:], 2**64 - 1)), INPUT,
     FILE + "|18446744073709551615 bytes|expected at most"),
    ("header past the file", weight_file(lambda old: frame(b"", old[8:], 10**6)), INPUT, FILE + "|1000000 bytes"),
    ("header too short", weight_file(lambda old: frame(b"", old[8:], 50)), INPUT, FILE + "|header"),
    ("header is no object", raw_header("[1, 2]"), INPUT, FILE + "|header|an array|an object"),
    ("header is garbage", raw_header(b"\xff\xfe{}"), INPUT, FILE + "|header"),
    ("header with NUL", raw_header(b'{"a\\u0000b": 1}'), INPUT, FILE + "|header"),
    ("header nests deep", raw_header('{"a": ' + DEEP), INPUT, FILE + "|header"),
    ("header has a key twice", raw_header('{"a": {}, "a": {}}'), INPUT, FILE + "|duplicate"),
    ("entry is no object", header(lambda h: h.__setitem__(Q, 3)), INPUT, Q + "|is 3|an object"),
    ("no dtype", header(lambda h: h[Q].pop("dtype")), INPUT, Q + "|dtype|missing"),
    ("no offsets", header(lambda h: h[Q].pop("data_offsets")), INPUT, Q + "|data_offsets|missing"),
    ("shape is a text", entry("shape", "16x16"), INPUT, Q + "|shape|16x16|an array"),
    ("shape negative", entry("shape", [-16, -16]), INPUT, Q + "|shape[0] is -16|from 0 on"),
    ("shape overflows", entry("shape", [2**62, 16]), INPUT, Q + "|shape|overflow"),
    ("shape beyond integers", entry("shape", [HUGE, 16]), INPUT, FILE + "|header"),
    ("shape of nine", entry("shape", [1] * 9), INPUT, Q + "|shape has 9 numbers"),
    ("offsets overlap", shift(-64, -64), INPUT, Q + "|overlap"),
    ("offsets leave a hole", shift(4, 4, name="lm_head.weight"), INPUT, FILE + "|lm_head.weight"),
    ("offsets past the end", shift(10**9, 10**9), INPUT, Q + "|data_offsets|expected a range"),
    ("offsets reversed", header(lambda h: h[Q]["data_offsets"].reverse()), INPUT, Q + "|data_offsets"),
    ("offsets negative", shift(-(10**9), 0), INPUT, Q + "|data_offsets[0] is -"),
    ("offsets huge", entry("data_offsets", [0, HUGE]), INPUT, FILE + "|header"),
    ("offsets real", entry("data_offsets", [0.5, 1024]), INPUT, Q + "|data_offsets[0] is 0.5|integer"),
    ("type I64", model(dtype="I64"), INPUT, FILE + "|I64|F32, F16 or BF16"),
    ("type F64", model(dtype="F64"), INPUT, FILE + "|F64|F32, F16 or BF16"),
    ("type unknown", entry("dtype", "F\n7"), INPUT, FILE + "|" + Q + "|F?7|F32, F16 or BF16"),
    ("shape wrong", model(tensors={Q: np.zeros((16, 8))}), INPUT, FILE + "|" + Q + "|[16, 8]|expected [16, 16]"),
    ("one dimension", model(tensors={Q: np.zeros(256)}), INPUT, FILE + "|" + Q + "|[256]|expected [16, 16]"),
    ("tensor missing", model(tensors={Q: None}), INPUT, FILE + "|no tensor " + Q),
    ("norm missing", model(tensors={NORM: None}), INPUT, FILE + "|no tensor " + NORM),
    ("head missing", model(tensors={"lm_head.weight": None}), INPUT, FILE + "|no tensor lm_head.weight"),
    ("layers more than said", config(num_hidden_layers=1), INPUT, "model.layers.1.|none beyond|num_hidden_layers = 1"),
    ("the head has a bias", model(tensors={"lm_head.bias": np.ones(64)}), INPUT, FILE + "|lm_head.bias|without biases"),
    ("a norm of queries", model(tensors={"model.layers.0.self_attn.q_norm.weight": np.ones(8)}), INPUT,
     FILE + "|model.layers.0.self_attn.q_norm.weight|expected no tensor of a layer beside"),
    ("an adapter", model(tensors={Q.replace("weight", "lora_A.weight"): np.ones((2, 16))}), INPUT,
     FILE + "|model.layers.1.self_attn.q_proj.lora_A.weight|beside"),
    ("a bias of a norm", model(tensors={"model.layers.1.input_layernorm.bias": np.ones(16)}), INPUT,
     FILE + "|model.layers.1.input_layernorm.bias|beside"),
    ("a layer's tensor beyond", model(tensors={"model.layers.00000002.mlp.router": np.ones(16)}), INPUT,
     FILE + "|model.layers.00000002.mlp.router|beside"),
    # ---- the index ----
    ("shard missing", both(sharded(lambda m: None), content("model/b.safetensors", None)), INPUT,
     INDEX + "|b.safetensors|missing"),
    ("shard with ../", moved(Q, "../b.safetensors"), INPUT, INDEX + "|" + Q + "|../b.safetensors|beside it"),
    ("shard is absolute", moved(Q, "/etc/passwd"), INPUT, INDEX + "|/etc/passwd"),
    ("shard is a number", moved(Q, 7), INPUT, INDEX + "|" + Q + "|is 7"),
    ("shard lacks it", moved(Q + "x", "a.safetensors"), INPUT, INDEX + "|" + Q + "x|a.safetensors|does not hold"),
    ("shard is another", moved(Q, "a.safetensors"), INPUT, Q + "|a.safetensors"),
    ("tensor in two shards", both(sharded(lambda m: m.pop(Q) and None), lambda job: (job.model / "a.safetensors").
     write_bytes(pack({k: v for k, v in weights(CONFIG).items() if k in list(weights(CONFIG))[:10] or k == Q}))),
     INPUT, Q + "|expected once"),
    ("map empty", sharded(lambda m: m.clear()), INPUT, INDEX + "|weight_map|empty"),
    ("map is an array", sharded(lambda m: '{"weight_map": []}'), INPUT, INDEX + "|weight_map|an array"),
    ("index is an array", sharded(lambda m: "[]"), INPUT, INDEX + "|an array|an object"),
    ("index nests deep", sharded(lambda m: '{"weight_map": ' + DEEP), INPUT, INDEX),
    ("index key twice", sharded(lambda m: '{"weight_map": {"a": "x", "a": "y"}}'), INPUT, INDEX + "|duplicate"),
    # ---- config.json ----
    ("no config.json", content("model/config.json", None), INPUT, "config.json"),
    ("config.json empty", content("model/config.json", b""), INPUT, "config.json|empty"),
    ("config.json an array", content("model/config.json", b"[]"), INPUT, "config.json|an array|an object"),
    ("config.json deep", content("model/config.json", ('{"a": ' + DEEP).encode()), INPUT, "config.json"),
    ("config.json twice", content("model/config.json", b'{"a": 1, "a": 2}'), INPUT, "config.json|duplicate"),
    ("unknown model_type", config(model_type="gpt\n2"), INPUT, "config.json|model_type|gpt|expected one of llama"),
    ("no model_type", config(model_type=None), INPUT, "config.json|model_type|missing"),
    ("hidden_act gelu", config(hidden_act="gelu\nnew"), INPUT, "config.json|hidden_act|gelu|expected silu, gelu"),
    ("rope yarn", config(rope_scaling={"rope_type": "ya\rrn", "factor": 2}), INPUT, "rope_scaling: type|rn|expected default"),
    ("rope no factor", config(rope_scaling={"type": "linear"}), INPUT, "config.json: rope_scaling: factor is missing"),
    ("rope is a number", config(rope_scaling=5), INPUT, "config.json|rope_scaling|is 5|an object"),
    ("rope yarn in parameters", config(rope_parameters={"rope_type": "yarn"}), INPUT, "rope_parameters: factor is missing"),
    ("rope yarn, truncate within", config(rope_parameters={"full_attention": {"rope_type": "yarn", "factor": 2, "truncate": False}}),
     INPUT, "rope_parameters: full_attention: has truncate|beside the kinds"),
    ("rope dynamic, no factor", config(rope_scaling={"type": "dynamic"}), INPUT, "rope_scaling: factor is missing"),
    ("rope longrope, no lists", config(rope_scaling={"type": "longrope"}), INPUT, "short_factor is missing|a list of 4"),
    ("rope longrope, short list", config(rope_scaling={"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3]}),
     INPUT, "long_factor is an array with 3 elements|a list of 4"),
    ("rope longrope, a zero", config(rope_scaling={"type": "longrope", "short_factor": [1, 1, 0, 1], "long_factor": [1, 2, 3, 4]}),
     INPUT, "short_factor[2] is 0|a positive number"),
    ("rope longrope, its old name", config(rope_scaling={"type": "su", "short_factor": [1] * 4, "long_factor": [1] * 4}), INPUT,
     'rope_scaling: type is "su"|expected default'),
    ("layers without rope, too few", config(model_type="smollm3", no_rope_layers=[1]), INPUT,
     "no_rope_layers has 1 elements|num_hidden_layers = 2"),
    ("layers without rope, a word", config(model_type="smollm3", no_rope_layers=[1, "no"]), INPUT,
     'no_rope_layers[1] is the string "no"|0 or 1'),
    ("ministral3 without rope", config(model_type="ministral3"), INPUT, "rope_parameters is missing|ministral3"),
    ("ministral3 without growth", config(model_type="ministral3", rope_parameters={"rope_type": "default"}), INPUT,
     "rope_parameters: llama_4_scaling_beta is missing"),
    ("rope twice, factors", config(rope_scaling={"type": "linear", "factor": 2}, rope_parameters={
        "rope_type": "linear", "factor": 4, "rope_theta": 1e4}), INPUT, "config.json|rope_parameters|rope_scaling|contradict"),
    ("rope twice, thetas", config(rope_scaling={"rope_type": "default", "rope_theta": 2e4},
                                  rope_parameters={"rope_theta": 1e4}), INPUT, "config.json|rope_scaling|contradict"),
    ("rope twice, contexts", config(original_max_position_embeddings=16, rope_scaling={
        "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
        "original_max_position_embeddings": 8}), INPUT,
     "config.json: rope_scaling: original_max_position_embeddings is 8, expected 16|contradict"),
    ("original context is a text", config(original_max_position_embeddings="x"), INPUT,
     "config.json: original_max_position_embeddings is|a number"),
    ("rope by layer, none for these", config(rope_parameters={"sliding_attention": {"rope_theta": 1e4}}), INPUT,
     "config.json: rope_parameters: full_attention is missing|an object"),
    ("rope by layer, wrong", config(rope_parameters={"full_attention": {"rope_type": "linear"}}), INPUT,
     "config.json: rope_parameters: full_attention: factor is missing"),
    ("rope by layer, mixed layers", config(model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1,
     rope_parameters={"full_attention": {"rope_theta": 1e4}}), INPUT,
     "config.json: rope_parameters: sliding_attention is missing|an object"),
    ("layers of another type", config(layer_types=["full_attention", "sliding_attention"]), INPUT,
     'config.json: layer_types[1] is the string "sliding_attention"|expected "full_attention"'),
    ("layers of no type", config(layer_types=["full_attention"]), INPUT, "layer_types has 1 elements|num_hidden_layers = 2"),
    ("partial rotary in parameters", config(rope_parameters={"partial_rotary_factor": 0.25}), INPUT,
     "config.json: rope_parameters: partial_rotary_factor is 0.25|expected 1"),
    ("partial rotary in scaling", config(rope_scaling={"type": "default", "partial_rotary_factor": 0.5}), INPUT,
     "config.json: rope_scaling: partial_rotary_factor is 0.5|expected 1"),
    ("theta zero", config(rope_theta=0), INPUT, "config.json|rope_theta|is 0"),
    ("hidden zero", config(hidden_size=0), INPUT, "config.json|hidden_size|is 0"),
    ("hidden text", config(hidden_size="16"), INPUT, 'config.json|hidden_size|"16"|integer'),
    ("layers negative", config(num_hidden_layers=-2), INPUT, "config.json|num_hidden_layers|is -2"),
    ("layers huge", config(num_hidden_layers=2**31), INPUT, "config.json|num_hidden_layers|2147483648"),
    ("layers too many", config(num_hidden_layers=3), INPUT, "no tensor model.layers.2."),
    ("vocabulary beyond", config(vocab_size=HUGE), INPUT, "config.json|vocab_size|is 1e+30"),
    ("vocabulary wrong", config(vocab_size=65), INPUT, "embed_tokens|[64, 16]|expected [65, 16]"),
    ("ffn real", config(intermediate_size=32.5), INPUT, "config.json|intermediate_size|32.5|integer"),
    ("eps negative", config(rms_norm_eps=-1), INPUT, "config.json|rms_norm_eps|is -1"),
    ("heads do not divide", config(num_attention_heads=3, num_key_value_heads=3), INPUT, "hidden_size|16|multiple of"),
    ("groups do not divide", config(num_attention_heads=4, num_key_value_heads=3), INPUT, "num_key_value_heads|3|divisor"),
    ("head odd", config(num_attention_heads=16), INPUT, "config.json|head|is 1|even"),
    ("tied is a text", config(tie_word_embeddings="yes"), INPUT, "tie_word_embeddings|true or false"),
    # ---- ids ----
    ("id too large", with_id("calibration", 64), INPUT, "calibration.npy|row 5, column 7|id 64|[0, 64)"),
    ("id negative", with_id("calibration", -1), INPUT, "calibration.npy|id -1|[0, 64)"),
    ("evaluation id large", with_id("evaluation", 2**31 - 1), INPUT, "evaluation.npy|id 2147483647"),
    ("evaluation id negative", with_id("evaluation", -5), INPUT, "evaluation.npy|id -5"),
    ("id past 32 bits", array("calibration", lambda x: x.astype("<i8") + 2**32), INPUT, "calibration.npy|id 42949"),
    ("no ids", content("calibration.npy", None), INPUT, "calibration.npy|No such file"),
    ("ids empty", content("calibration.npy", b""), INPUT, "calibration.npy|.npy|0 bytes"),
    ("ids garbage", content("evaluation.npy", bytes(range(256)) * 9), INPUT, "evaluation.npy|.npy"),
    ("ids truncated", content("calibration.npy", lambda old: old[:-4]), INPUT, "calibration.npy|188 bytes|expected 192"),
    ("ids oversized", content("calibration.npy", lambda old: old + b"1"), INPUT, "calibration.npy|193 bytes|expected 192"),
    ("ids truncated header", content("calibration.npy", lambda old: old[:40]), INPUT, "calibration.npy|header"),
    ("ids float", array("calibration", lambda x: x.astype("<f4")), INPUT, "calibration.npy|<f4|<i4"),
    ("ids big-endian", array("calibration", lambda x: x.astype(">i4")), INPUT, "calibration.npy|>i4|<i4"),
    ("ids structured", array("calibration", lambda x: np.zeros((6, 8), [("a", "<i4")])), INPUT, "calibration.npy|descr"),
    ("ids Fortran", array("calibration", np.asfortranarray), INPUT, "calibration.npy|fortran_order"),
    ("ids of three dimensions", array("calibration", lambda x: x.reshape(2, 3, 8)), INPUT, "calibration.npy|dimensions"),
    ("ids of none", array("calibration", lambda x: np.int32(7)), INPUT, "calibration.npy|dimension"),
    ("too few rows", array("calibration", lambda x: x[:5]), INPUT, "calibration.npy|5 sequences|samples = 6"),
    ("too few columns", array("calibration", lambda x: x[:, :7].copy()), INPUT, "calibration.npy|of 7 ids|length = 8"),
    ("too few ids to score", array("evaluation", lambda x: x[0, :5].copy()), INPUT, "evaluation.npy|5 ids|windows"),
    ("too few windows", put("evaluate", windows=9), INPUT, "evaluation.npy|8 windows|at least 9"),
    # ---- settings that do not suit the model ----
    ("budget impossible", put("prune", sparsity=0.95), USAGE, "sparsity = 0.95"),
    ("budget of values", put("prune", sparsity=0.6, k=0.001), USAGE, "sparsity = 0.6|k = 0.001|value and output|[0, 1)"),
    ("too many branches", put("prune", mlp_num=2), USAGE, "mlp_num = 2|at most 1"),
    ("skip too much", put("prune", skip_lowest=0.9), USAGE, "skip_lowest = 0.9"),
    ("sequences too long", both(array("calibration", lambda x: np.tile(x, (1, 5))), put("calibration", length=33)), USAGE,
     "[calibration] length = 33|max_position_embeddings = 32"),
    ("windows too long", put("evaluate", length=33), USAGE, "[evaluate] length = 33|max_position_embeddings = 32"),
    ("memory limit", put("compute", memory="1MiB"), MEMORY, "[compute] memory|1.0 MiB|expected at least"),
]
# Keys of a config that ask for what is not computed -> a value that does.
FEATURES = {"partial_rotary_factor": 0.5, "rope_interleaved": True, "no_rope_layers": [1, 0], "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30, "logit_scale": 0.25, "logits_scaling": 8, "residual_multiplier": 0.22,
            "embedding_multiplier": 12, "attention_multiplier": 0.015625, "query_pre_attn_scalar": 256, "qk_layernorm": True,
            "qk_norm": True, "use_qk_norm": True, "clip_qkv": 8, "parallel_attn": True, "num_experts": 8, "num_local_experts": 8,
            "quantization_config": {"quant_method": "gptq"}, "llama_4_scaling_beta": 0.1, "use_bidirectional_attention": True}
INPUTS += [(key, config(**{key: value}), INPUT, f"config.json: {key} is |expected ") for key, value in FEATURES.items()]
# The command line and the config file: no report, since nobody knows where.
SETTINGS = [
    ("no config", arguments("absent.ini", alone=True), USAGE, "absent.ini|No such file"),
    ("config is a directory", arguments("model", alone=True), USAGE, "model|a directory"),
    ("no arguments", arguments(alone=True), USAGE, "no config file|--help"),
    ("two configs", arguments("other.ini"), USAGE, "two config files|other.ini"),
    ("unknown section", appended("[prunes]"), USAGE, "config.ini:18|prunes|[prune]"),
    ("unknown key", put("prune", sparsty=0.3), USAGE, "config.ini:12|sparsty|[prune] sparsity"),
    ("key of nowhere", put("prune", zzz=1), USAGE, "zzz|--list"),
    ("out of range", put("prune", sparsity=1.5), USAGE, "config.ini:8|sparsity|1.5|[0, 1)"),
    ("negative", put("calibration", samples=-1), USAGE, "samples|-1|from 1 to 1000000000"),
    ("more than can be", put("calibration", samples=10**12), USAGE, "samples|1000000000000|from 1 to 1000000000"),
    ("hexadecimal", put("prune", k="0X10"), USAGE, '[prune] k = "0X10"|a number'),
    ("no number", put("prune", k="three"), USAGE, "[prune] k|three|a number"),
    ("not a number", put("prune", sparsity="nan"), USAGE, "sparsity|nan|[0, 1)"),
    ("half a number", put("calibration", length="8x"), USAGE, "length|8x|whole number"),
    ("number too long", put("calibration", samples="9" * 40), USAGE, "samples|999|whole number"),
    ("no such choice", put("solver", eigen="magma"), USAGE, "eigen|magma|lapack"),
    ("no size", put("compute", memory="4"), USAGE, "memory|4|MiB"),
    ("no equals", appended("sparsity 0.3"), USAGE, "config.ini:18|sparsity 0.3|'='"),
    ("no bracket", appended("[prune"), USAGE, "config.ini:18|[prune|']'"),
    ("no section", text("k = 3\n"), USAGE, "config.ini:1|before any section"),
    ("key twice", put("output", **{"overwrite": "no\noverwrite = yes"}), USAGE, "overwrite again"),
    ("binary config", text(b"\0\1\2\3"), USAGE, "config.ini:1|0x00"),
    ("empty config", text(""), USAGE, "config.ini|[model] path"),
    ("no calibration", lambda job: job.sections.pop("calibration"), USAGE, "[calibration]|tokens"),
    ("same file twice", put("output", report="out/pruned.h5"), USAGE, "[output] report|[output] checkpoint|are both|two files"),
    ("hint without a key", arguments("--set", "io.=x"), USAGE, "[io]|1 to"),
    ("verify twice", arguments("--verify", "a.h5", "--verify", "b.h5", alone=True), USAGE, "--verify|expected one command"),
    ("--set without key", arguments("--set", "sparsity=0.3"), USAGE, "--set|sparsity=0.3|section.key=value"),
    ("--set without value", arguments("--set", "prune.sparsity"), USAGE, "--set|section.key=value"),
    ("--set unknown", arguments("--set", "prune.sparsiti=0.3"), USAGE, "--set|sparsiti|[prune] sparsity"),
    ("--set out of range", arguments("--set", "prune.sparsity=2"), USAGE, "--set|sparsity|2|[0, 1)"),
    ("--set of nothing", arguments("--set", ""), USAGE, "--set"),
    ("--set with a line", arguments("--set", "model.path=a\nb"), USAGE, "--set|0x0a"),
    ("unknown option", arguments("--verfy"), USAGE, "--verfy|--verify"),
    ("option without operand", arguments("--set", alone=True), USAGE, "--set needs"),
]
# Where the results go. --check looks too, and the report has a place of its own.
OUTPUTS = [
    ("output is there", existing("pruned.h5"), USAGE, "out/pruned.h5|overwrite = yes"),
    ("output is a directory", taken("pruned.h5"), USAGE, "out/pruned.h5|no regular file"),
    ("no output directory", put("output", checkpoint="none/pruned.h5"), IO, "none/pruned.h5|directory"),
    ("output below a file", put("output", checkpoint="config.ini/pruned.h5"), IO, "config.ini/pruned.h5"),
    ("full disk", mounted("size=64k"), IO, "out/pruned.h5|needs|free"),
    ("output is a link to nowhere", lambda job: (job.out / "pruned.h5").symlink_to("nowhere"), USAGE, "out/pruned.h5 exists|overwrite = yes"),
    ("output's name is too long", put("output", checkpoint="/".join(["y" * 200] * 6)), USAGE, "yyy|the name has 1|expected at most 1018"),
    ("no restart directory", put("restart", path="none"), IO, "[restart] path|none: No such file"),
]
# Here it has not.
REPORTS = [
    ("no report directory", put("output", report="none/report.json"), IO, "none/report.json"),
    ("report below a file", put("output", report="config.ini/report.json"), IO, "config.ini/report.json"),
    ("report is a directory", taken("report.json"), IO, "out/report.json|a directory"),
    ("neither directory", put("output", report="none/r.json", checkpoint="nil/p.h5"), IO, "nil/p.h5"),
    ("read-only", mounted("ro,size=1m"), IO, "out/|Read-only"),
]
# What only a run finds: --check reads no weights (and MPI by itself does not start with so few file bytes).
NUMBERS = [
    ("too little address space", shell("ulimit -v 560000"), MEMORY, "address space|ulimit -v"),
    ("too few file bytes", shell("ulimit -f 100"), IO, "out/pruned.h5|ulimit -f"),
    ("fp16 overflow", both(scaled("model.layers.0.mlp.up_proj.weight", 1e6), put("output", dtype="fp16")), USAGE,
     "dtype = fp16|up_proj"),
    ("bf16 overflow", both(infect(Q, 3.4e38)("F32"), put("output", dtype="bf16")), USAGE, "dtype = bf16|" + Q + " has 3.4e+38 as number"),
    ("fp16 overflow of a head that nobody scores", both(infect("lm_head.weight", 1e5)("BF16"), put("output", dtype="fp16"),
     lambda job: job.sections.pop("evaluate")), USAGE, "dtype = fp16|lm_head.weight has 99840 as number 1023|at most 65504"),
    ("fp16 overflow of the last norm", both(infect(NORM, 1e5)("F32"), put("output", dtype="fp16")), USAGE, "dtype = fp16|" + NORM),
    ("fp16 overflow of a table", both(infect("model.embed_tokens.weight", 1e5)("F32"), put("output", dtype="fp16")),
     USAGE, "dtype = fp16|embed_tokens"),
    ("states overflow", scaled("model.layers.0.mlp.up_proj.weight", 1e38), NUMERIC, "finite"),
    ("squares of states overflow", scaled("model.embed_tokens.weight", 1e20), NUMERIC, "finite"),
    ("squares of inner states overflow", scaled("model.layers.0.mlp.up_proj.weight", 1e21), NUMERIC, "finite"),
    ("squares of the last states overflow", both(scaled("model.layers.1.mlp.up_proj.weight", 1e21),
                                                 put("prune", method="none")), NUMERIC, "finite|overflows fp32"),
    ("squares of states overflow in bf16", both(scaled("model.embed_tokens.weight", 1e20),
                                                put("prune", method="none"), put("compute", precision="bf16")),
     NUMERIC, "finite|overflows fp32"),
]
# Texts: read by rank 0, shared, looked at by all ranks; what one of them finds is everybody's.
TEXTS = [
    ("tokenizer is a pipe", lambda job: os.mkfifo(job.model / "tokenizer.json"), INPUT, "tokenizer.json|a pipe"),
    ("tokenizer is a directory", lambda job: (job.model / "tokenizer.model").mkdir(), INPUT, "tokenizer.model|a directory"),
    ("tokenizer is empty", lambda job: (job.model / "tokenizer.json").touch(), INPUT, "tokenizer.json|is empty"),
    ("tokenizer elsewhere is none", put("model", tokenizer="out"), INPUT, "out|neither tokenizer.json nor"),
    ("text without a tokenizer", texts("jsonl:rows.jsonl", tokenizer=False), INPUT, "model|neither tokenizer.json nor|[model] tokenizer"),
    ("tokenizer is garbage", both(texts("jsonl:rows.jsonl"), content("model/tokenizer.json", b"{")), INPUT, "tokenizer.json|line 1"),
    ("tokenizer of another model", texts("jsonl:rows.jsonl", bytes_in_model=False), INPUT,
     "input error: rows.jsonl: line |: token 1: model/tokenizer.json gives id |[0, 64)"),
    ("pattern without end on a row", both(texts("jsonl:rows.jsonl"), tokenizer(pre_tokenizer=ENDLESS)), INPUT,
     "input error: rows.jsonl: line |: model/tokenizer.json: pattern.Regex: the pattern on this text"),
    ("pattern without end on a text", both(texts(evaluation="rows.jsonl", rows="{ text: " + ROW * 30), tokenizer(pre_tokenizer=ENDLESS)), INPUT,
     "input error: rows.jsonl: model/tokenizer.json: pattern.Regex: the pattern on this text"),
    ("normalizer that grows", both(texts("jsonl:rows.jsonl"), tokenizer(normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "s"}, "content": "ss"}] * 40})), INPUT,
     "input error: rows.jsonl: line |: model/tokenizer.json: normalizer: step |of a text of 44|at most 64 times"),
    ("evaluation by another model's", texts(evaluation="rows.jsonl", rows="{ text: " + ROW * 30, bytes_in_model=False), INPUT,
     "rows.jsonl: token 1|tokenizer.json gives id 126|[0, 64)"),
    ("no text", texts("plain:none.txt"), INPUT, "none.txt|No such file"),
    ("text is a directory", texts("alpaca:out"), INPUT, "out|is a directory"),
    ("text is a pipe", both(texts("plain:pipe"), lambda job: os.mkfifo(job.dir / "pipe")), INPUT, "pipe: is a pipe"),
    ("text is empty", texts("plain:rows.jsonl", rows=""), INPUT, "rows.jsonl: has no rows"),
    ("a line is no JSON", texts("jsonl:rows.jsonl", rows=ROW * 9 + "{\n"), INPUT, "rows.jsonl: line 10, column"),
    ("a line is no object", texts("jsonl:rows.jsonl", rows=ROW * 9 + "7\n" + ROW), INPUT, "rows.jsonl: line 10, column 1|near '7'"),
    ("a line lacks its field", texts("jsonl:rows.jsonl:body"), INPUT, "rows.jsonl: line 1: body is missing|a string"),
    ("a key twice", texts("jsonl:rows.jsonl", rows='{"text": "a", "text": "b"}'), INPUT, "rows.jsonl: line 1|duplicate"),
    ("no alpaca", texts("alpaca:rows.jsonl"), INPUT, "rows.jsonl: is JSON lines|JSON array of objects|jq -s ."),
    ("alpaca truncated", texts("alpaca:rows.jsonl", rows='[{"instruction": "a"'), INPUT, "rows.jsonl: line 1: found the end"),
    ("alpaca without output", texts("alpaca:rows.jsonl", rows='[\n{"instruction": "a"}]'), INPUT, "line 2: output is missing"),
    ("too few rows of text", texts("jsonl:rows.jsonl", rows=ROW * 5), INPUT, "rows.jsonl: 5 sequences of 8 tokens in 5 rows|expected 6"),
    ("too few rows by far", both(texts("jsonl:rows.jsonl"), put("calibration", samples=10**9)), INPUT,
     "rows.jsonl: 30 sequences of 8 tokens in 30 rows|expected 1000000000"),
    ("rows too short", texts("jsonl:rows.jsonl", rows='{"text": "ab"}\n' * 50), INPUT, "rows.jsonl: 0 sequences of 8 tokens in 50 rows"),
    ("a share too short", both(texts("jsonl:rows.jsonl*2, plain:short.txt"), content("short.txt", b"short")), INPUT,
     "short.txt: 0 sequences|1 row |expected 2"),
    ("ids beyond the vocabulary as text", both(texts("npy:calibration.npy"), array("calibration", lambda x: x * 0 + 999)), INPUT,
     "calibration.npy: row|id 999"),
    ("ids too short as text", both(texts("npy:calibration.npy"), array("calibration", lambda x: x[:, :7])), INPUT, "0 sequences of 8 tokens in 8 rows"),
    ("no evaluation text", texts(evaluation="none.txt"), INPUT, "none.txt|No such file"),
    ("evaluation text is a pipe", both(texts(evaluation="pipe"), lambda job: os.mkfifo(job.dir / "pipe")), INPUT, "pipe: is a pipe"),
    ("evaluation text is empty", texts(evaluation="rows.jsonl", rows="", bos="no"), INPUT, "rows.jsonl: 0 ids make 0 windows"),
    ("evaluation text too short", texts(evaluation="rows.jsonl", rows="1234567", bos="no"), INPUT, "rows.jsonl: 7 ids make 0 windows"),
    ("dump into no directory", arguments("--dump-tokens", "none/ids.npy"), IO, "none/ids.npy"),
    ("dump over a directory", arguments("--dump-tokens", "out"), IO, "out|a directory"),
]
# Lists of texts that say what cannot be: before anything is opened.
TASKS = [
    ("task file missing", tasks(asked="piqa:none.jsonl"), INPUT, "none.jsonl|No such file"),
    ("task file is a directory", tasks(asked="piqa:out"), INPUT, "out|directory"),
    ("task file is a pipe", both(tasks(asked="piqa:pipe"), lambda job: os.mkfifo(job.dir / "pipe")), INPUT, "pipe|a pipe"),
    ("task file is empty", both(tasks(), content("rows.jsonl", b"")), INPUT, "rows.jsonl|is empty|piqa"),
    ("task file is blank", both(tasks(), content("rows.jsonl", b"\n \t\r\n\n")), INPUT, "rows.jsonl|is empty|piqa"),
    ("row is no JSON", tasks("{"), INPUT, "rows.jsonl:7|JSON"),
    ("row is an array", tasks("[1]"), INPUT, "rows.jsonl:7|an array|an object"),
    ("row is no UTF-8", both(tasks(), content("rows.jsonl", lambda old: old + b'\n{"goal": "\xff"}')), INPUT, "rows.jsonl:8|byte 0xff|JSON"),
    ("row with a NUL", both(tasks(), content("rows.jsonl", lambda old: old + b'\n{"goal": "\\u0000"}')), INPUT, "rows.jsonl:8|JSON"),
    ("row lacks a field", tasks('{"goal": "g", "sol1": "a", "label": 1}'), INPUT, "rows.jsonl:7|sol2 is missing|a string"),
    ("field is a number", tasks('{"goal": 3, "sol1": "a", "sol2": "b", "label": 1}'), INPUT, "rows.jsonl:7|goal is 3|a string"),
    ("gold out of range", tasks('{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}'), INPUT, "rows.jsonl:7|label is 2|0 to 1"),
    ("gold is no whole number", tasks('{"goal": "g", "sol1": "a", "sol2": "b", "label": 1.0}'), INPUT,
     "rows.jsonl:7|label is 1.0|a whole number, one of the choices, 0 to 1"),
    ("gold is missing", tasks('{"goal": "g", "sol1": "a", "sol2": "b"}'), INPUT, "rows.jsonl:7|label is missing|0 to 1"),
    ("choice is empty", tasks('{"goal": "g", "sol1": "a", "sol2": "", "label": 1}'), INPUT, "rows.jsonl:7|choice 2 is empty"),
    ("context is only spaces", both(tasks(asked="openbookqa:rows.jsonl"),
                                    content("rows.jsonl", b'{"question": "  ", "choices": ["a", "b"], "gold": 0}')),
     INPUT, "rows.jsonl:1|choice 1 has an empty context|bos = yes"),
    ("another task's rows", tasks(asked="hellaswag:rows.jsonl"), INPUT, "rows.jsonl:1|ctx is missing|a string"),
    ("tasks without a tokenizer", both(tasks(), content("model/tokenizer.json", None)), INPUT, "neither tokenizer.json nor"),
]
TASK_LISTS = [
    ("unknown task", tasks(asked="trivia:rows.jsonl"), USAGE, '"trivia"|boolq, piqa, hellaswag'),
    ("task twice", tasks(asked="piqa:rows.jsonl, piqa:rows.jsonl"), USAGE, "piqa twice"),
    ("task without a file", tasks(asked="piqa"), USAGE, '"piqa"|a list of kind:FILE'),
    ("limit below 0", tasks(limit=-1), USAGE, "[evaluate] limit"),
    ("predictions of nothing", arguments("--predictions", "p.jsonl"), USAGE, "tasks is empty|--predictions"),
    ("predictions are the report", both(tasks(), put("output", report="p.jsonl"), arguments("--predictions", "p.jsonl")),
     USAGE, "[output] report|--predictions|p.jsonl|two files"),
]
def moved_to(name, new):
    """The file has another name, and a link its own."""
    def act(job):
        (job.dir / name).rename(job.dir / new)
        (job.dir / name).symlink_to(new)
    return act


# Outputs that are inputs, or each other, under whatever name.
CLASHES = [
    ("report over weights", put("output", report="model/model.safetensors"), USAGE, "[output] report|[model] path|model.safetensors"),
    ("report over the config", put("output", report="config.ini"), USAGE, "[output] report|the config file|config.ini"),
    ("report over ids", put("output", report="./out/../calibration.npy"), USAGE, "[output] report|[calibration] tokens|calibration.npy"),
    ("report over what ids link to", both(put("output", report="real.npy"), moved_to("calibration.npy", "real.npy")), USAGE,
     "[output] report|[calibration] tokens|real.npy"),
    ("report over the checkpoint", put("output", report="out/../out/pruned.h5"), USAGE, "checkpoint|[output] report|pruned.h5"),
    ("report as a restart file", put("output", report="out/pruned.h5.restart.1"), USAGE, "a restart file|[output] report"),
    ("checkpoint over weights", put("output", checkpoint="model/model.safetensors", overwrite="yes"), USAGE,
     "[output] checkpoint|[model] path|model.safetensors"),
    ("statistics as the part", put("calibration", save="out/pruned.h5.part"), USAGE, "[calibration] save|pruned.h5.part"),
    ("ids over ids", arguments("--dump-tokens", "calibration.npy"), USAGE, "--dump-tokens|[calibration] tokens|calibration.npy"),
    ("predictions over a task", both(tasks(), arguments("--predictions", "rows.jsonl")), USAGE, "--predictions|[evaluate] tasks|rows.jsonl"),
]
PREDICTIONS = [
    ("no directory of predictions", both(tasks(), arguments("--predictions", "none/p.jsonl")), IO, "none/p.jsonl|directory"),
    ("predictions are a directory", both(tasks(), arguments("--predictions", "out")), IO, "out|a directory"),
]
LISTS = [
    ("unknown kind", texts("book:rows.jsonl"), USAGE, '"book:rows.jsonl"|one of alpaca:FILE'),
    ("no kind", texts("rows.jsonl"), USAGE, '"rows.jsonl"|a list of kind:FILE'),
    ("weight 0", texts("jsonl:rows.jsonl*0"), USAGE, "[calibration] text|a weight from 1"),
    ("text twice", texts("jsonl:rows.jsonl, jsonl:rows.jsonl:text"), USAGE, "rows.jsonl twice"),
    ("text and tokens", put("calibration", text="jsonl:rows.jsonl"), USAGE, "tokens and text"),
    ("evaluation of text and tokens", put("evaluate", text="t.txt"), USAGE, "tokens and text"),
    ("bos is none of the three", put("evaluate", bos="maybe"), USAGE, "auto, yes, no"),
    ("dump of nothing", both(put("prune", method="none"), arguments("--dump-tokens", "ids.npy")), USAGE, "--dump-tokens"),
]
BAD = [("nan", float("nan")), ("inf", float("-inf"))]
PLACES = ["model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.0.input_layernorm.weight",
          NORM, "lm_head.weight"]
NUMBERS += [(f"{word} {dtype} {name}", infect(name, value)(dtype), INPUT, f"{FILE}|{name}|{word}|finite")
        for i, name in enumerate(PLACES) for j, (word, value) in enumerate(BAD)
        for dtype in (["F32", "F16", "BF16"][(i + j) % 3],)]

# A checkpoint: how it is hurt, words of what --verify says, and whether it is tried as a model too (False: it may
# be used all the same, or the same lines of the program refuse it).
CHECKPOINTS = [
    ("truncated", raw(lambda old: old[:-2000]), "hurt.h5", True),
    ("half", raw(lambda old: old[: len(old) // 2]), "hurt.h5|truncated", False),
    ("empty", raw(lambda old: b""), "hurt.h5|HDF5", False),
    ("signature", flip(1), "hurt.h5|HDF5", False),
    ("superblock", flip(20), "hurt.h5", True),
    ("root group", flip(60), "hurt.h5", False),
    ("flip in the embedding", flip("model/embed_tokens"), "hurt.h5|model/embed_tokens|checksum", False),
    ("flip in a factor", flip("model/layers/001/q_proj/b"), "model/layers/001/q_proj/b|checksum", False),
    ("flip in a branch", flip("model/layers/000/branch/a"), "model/layers/000/branch/a|checksum", False),
    ("flip in a list", flip("model/layers/000/ffn_kept", 4), "model/layers/000/ffn_kept|", False),
    ("flip in the settings", flip("meta/settings_json"), "meta/settings_json|checksum", False),
    ("flip in the config", flip("meta/config_json", 0), "meta/config_json|checksum", True),
    ("config is no JSON", hurt(spoilt("meta/config_json")), "meta/config_json|expected JSON", True),
    ("not complete", attribute("complete", 0), "hurt.h5|not complete", True),
    ("variable text", attribute("format", "olica-checkpoint"), "format|variable length", False),
    ("no complete", hurt(lambda f: f.attrs.__delitem__("complete")), "hurt.h5|not complete", False),
    ("another schema", attribute("schema", 9), "hurt.h5|schema 9|expected 1", True),
    ("another format", attribute("format", b"their\ns"), "format|their|olica-checkpoint", False),
    ("format is an array", attribute("format", np.zeros(3)), "format|a short string", False),
    ("not ours", hurt(lambda f: [f.__delitem__(k) for k in list(f)] + [f.attrs.__delitem__(k) for k in list(f.attrs)]),
     "hurt.h5|olica-checkpoint", True),
    ("no config", hurt(without("meta/config_json")), "hurt.h5|meta/config_json", True),
    ("config of numbers", hurt(numbers("meta/config_json")), "hurt.h5|meta/config_json", True),
    ("tokenizer of numbers", hurt(numbers("meta/tokenizer_json")), "hurt.h5|meta/tokenizer_json", False),
    ("no norm", hurt(without("model/norm")), "hurt.h5|model/norm", True),
    ("no list", hurt(without("model/layers/001/ffn_kept")), "model/layers/001/ffn_kept|missing", False),
    ("half a factor", hurt(without("model/layers/001/q_proj/a")), "model/layers/001/q_proj/", True),
    ("no layer", hurt(without("model/layers/001")), "model/layers/001/", True),
    ("a layer more", hurt(lambda f: f.copy("model/layers/001", "model/layers/002")), "model/layers/002/", True),
    ("a stranger", hurt(lambda f: f.copy("model/norm", "model/stranger")), "model/stranger|does not belong", False),
    ("no checksum", hurt(lambda f: f["model/norm"].attrs.__delitem__("crc32")), "model/norm|crc32", False),
    ("dtype lies", attribute("dtype", b"fp16", "model/norm"), "model/norm|dtype|fp16", True),
    ("dtype unknown", attribute("dtype", b"int3", "model/norm"), "model/norm|int3", False),
    ("wider", hurt(replaced("model/norm", data=np.ones(17, "<f4"))), "model/norm|17|16", True),
    ("a matrix", hurt(replaced("model/norm", data=np.ones((4, 4), "<f4"))), "model/norm|4", True),
    ("a number", hurt(replaced("model/norm", data=np.float32(1))), "model/norm|dimension", False),
    ("nothing in it", hurt(replaced("model/norm", data=np.ones(0, "<f4"))), "model/norm|empty", False),
    ("five dimensions", hurt(replaced("model/norm", data=np.ones((1,) * 5, "<f4"))), "model/norm|dimension", False),
    ("float64", hurt(replaced("model/norm", data=np.ones(16))), "model/norm|dtype", True),
    ("chunked", hurt(replaced("model/norm", chunks=(4,), compression="gzip")), "model/norm|contiguous", False),
    ("a NaN", hurt(replaced("model/norm", data=np.full(16, np.nan, "<f4"))), "model/norm|nan", True),
    ("external", hurt(outside), "model/norm|external", False),
    ("a soft link", hurt(linked), "model/norm|link", False),
    ("a loop", hurt(looped), "hurt.h5|deep", False),
    ("a heap of links", hurt(heaped), "model/many|heap", False),
]


# ---- how a trial goes ----

class Trial:
    """One start of the program; its outcome comes from a pool, since most of a start is waiting."""

    def __init__(self, name, how, ranks, act, code, words, reported=False):
        self.id = f"{how}-{name}-{ranks or 'plain'}".replace(" ", "_")
        self.how, self.ranks, self.act = how, ranks, act
        self.code, self.words, self.reported = code, words.split("|"), reported

    def outcome(self, directory, good):
        job = Job(directory, good)
        try:
            self.act(job)
            if self.how == "use":
                job.sections["model"]["path"], job.sections["prune"]["method"] = "out/hurt.h5", "none"
            if self.how == "verify":
                job.alone, job.arguments = True, ["--verify", "out/hurt.h5"]
            done = job.run(self.ranks, *["--check"][: self.how == "check"])
            path = job.out / "report.json"
            return done, [p for p in job.dir.rglob("*")], path.read_text() if path.is_file() else None, job.content()
        finally:
            job.close()


def trials():
    out, number = [], 0
    for table, reported, checked in (INPUTS, True, True), (SETTINGS, False, True), (OUTPUTS, True, True), \
                                    (REPORTS, False, True), (CLASHES, False, True), (NUMBERS, True, False), \
                                    (TEXTS, True, True), (LISTS, False, True), \
                                    (TASKS, True, True), (TASK_LISTS, False, True), (PREDICTIONS, True, True):
        for name, act, code, words in table:
            number += 1
            for ranks in [3] + {1: [1], 8: [2]}.get(number % 14, []):
                out.append(Trial(name, "run", ranks, act, code, words, reported))
            if checked:
                out.append(Trial(name, "check", 0, act, code, words))
    for name, act, words, fatal in CHECKPOINTS:
        number += 1
        out.append(Trial(name, "verify", number % 3 + 1, act, INPUT, words))
        if fatal:
            out.append(Trial(name, "use", 2, act, INPUT, "hurt.h5", True))
    return out


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A whole checkpoint of ours."""
    job = Job(tmp_path_factory.mktemp("good"))
    done = job.run(2)
    assert done.returncode == 0, done.stderr
    return (job.out / "pruned.h5").read_bytes()


@pytest.fixture(scope="module")
def outcomes(request, good, tmp_path_factory):
    """All trials that were asked for, four at a time."""
    asked = [item.callspec.params["trial"] for item in request.session.items if item.originalname == "test_ends_well"]
    with ThreadPoolExecutor(4) as pool:
        jobs = {t.id: pool.submit(t.outcome, tmp_path_factory.mktemp("trial"), good) for t in asked}
        yield jobs
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("trial", trials(), ids=lambda t: t.id)
def test_ends_well(trial, outcomes):
    done, files, report, kept = outcomes[trial.id].result()
    everything = done.stdout[-2000:] + done.stderr[-4000:]
    said = [line for line in done.stderr.splitlines() if " ERROR olica_mpi: " in line]
    assert done.returncode == trial.code, everything
    assert len(said) == 1, everything
    assert not [word for word in trial.words if word not in said[0]], said[0]
    assert not [w for w in ("HDF5-DIAG", "Assertion", "*** Process", "MPI_ABORT") if w in everything], everything
    assert not [f for f in files if f.suffix == ".part"], files
    assert kept in (b"precious", None)
    if trial.reported:
        report = json.loads(report)
        assert report["status"] == "failed" and report["exit_code"] == trial.code
        assert said[0].endswith(": " + report["message"])
    elif trial.how == "check":
        assert report is None


# ---- what takes more than one step ----

def test_inputs_stay(tmp_path):
    """A run that fails writes its report over nothing that it would have read."""
    job = Job(tmp_path)
    before = {path: path.read_bytes() for path in job.dir.rglob("*") if path.is_file()}
    for report in "model/model.safetensors", "evaluation.npy", "model/config.json":
        both(put("output", report=report, overwrite="yes"), put("prune", sparsity=0.99))(job)
        assert job.run(2).returncode == USAGE
        assert {path: path.read_bytes() for path in before} == before


def test_features_that_are_none(tmp_path):
    """The values of those keys that ask for nothing: heads have size 8."""
    job = Job(tmp_path)
    none = {"partial_rotary_factor": 1.0, "rope_interleaved": False, "no_rope_layers": [1, 1], "attn_logit_softcapping": None,
            "final_logit_softcapping": None, "logit_scale": 1, "logits_scaling": 1.0, "residual_multiplier": 1.0,
            "embedding_multiplier": 1, "attention_multiplier": 0.353553, "query_pre_attn_scalar": 8, "qk_layernorm": False,
            "qk_norm": False, "use_qk_norm": None, "clip_qkv": None, "parallel_attn": False, "num_experts": 0,
            "num_local_experts": None, "quantization_config": None, "llama_4_scaling_beta": 0, "use_bidirectional_attention": None}
    assert none.keys() == FEATURES.keys()
    config(**none, pretraining_tp=2, layer_types=["full_attention"] * 2, rope_scaling={},
           rope_parameters={"partial_rotary_factor": 1})(job)
    config_text = json.loads((job.model / "config.json").read_text())
    (job.model / "config.json").write_text(json.dumps(config_text | none))  # null and all
    done = job.run(0, "--check")
    assert done.returncode == 0, done.stderr


def test_pruned_twice(good, tmp_path):
    job = Job(tmp_path, good)
    raw(bytes)(job)
    put("model", path="out/hurt.h5")(job)
    done = job.run(2)
    assert done.returncode == USAGE and "out/hurt.h5 is pruned already" in done.stderr
    assert (job.out / "hurt.h5").read_bytes() == good and job.content() is None


def test_every_bit_is_guarded(good, tmp_path):
    """One bit anywhere in what the checkpoint's structure and numbers take up: --verify sees it, and never crashes."""
    random = np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(good, np.uint8))  # what is zero may be padding
    for at in random.choice(used, 24, replace=False):
        path = tmp_path / "flipped.h5"
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << random.integers(8)]) + good[at + 1:])
        done = subprocess.run([BINARY, "--verify", path], capture_output=True, text=True, timeout=HANGS)
        assert (done.returncode, done.stderr.count("olica_mpi:")) == (INPUT, 1), f"byte {at}: {done.stderr}"


def test_a_failure_spares_a_good_report(tmp_path):
    job = Job(tmp_path)
    report = job.out / "report.json"
    assert job.run(2).returncode == 0
    good, checkpoint = report.read_bytes(), job.content()
    done = job.run(2)
    assert done.returncode == USAGE and "out/pruned.h5" in done.stderr
    assert report.read_bytes() == good and job.content() == checkpoint
    (job.out / "pruned.h5").unlink()
    report.write_bytes(good.replace(b'"ok"', b'"failed"'))
    put("prune", sparsity=0.99)(job)
    assert job.run(2).returncode == USAGE and json.loads(report.read_text())["message"]


def test_more_than_the_node_has(tmp_path):
    job = Job(tmp_path)
    rows = 1 << 28
    with (job.dir / "calibration.npy").open("wb") as file:  # no blocks: a sparse file
        np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (rows, 8)})
        file.truncate(file.tell() + rows * 8 * 4)
    put("calibration", samples=rows)(job)
    done = job.run(3)
    assert done.returncode == MEMORY and "MiB left, expected at least" in done.stderr, done.stderr
    assert done.stderr.count("olica_mpi:") == 1 and job.content() is None


@pytest.mark.parametrize("option", ["--help", "--version", "--list"])
def test_help_comes_once(option):
    alone, three = (mpirun(ranks, option).stdout for ranks in (1, 3))
    assert alone == three != ""


def test_weights_that_may_be_read_only_by_others(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything: no permission to be refused")
    job = Job(tmp_path)
    (job.model / FILE).chmod(0)
    done = job.run(2)
    assert done.returncode == IO and FILE in done.stderr and "Permission denied" in done.stderr

@pytest.mark.parametrize("ranks, samples", [(3, 2), (5, 1)])
def test_fewer_sequences_than_ranks(ranks, samples, tmp_path):
    job = Job(tmp_path)
    put("calibration", samples=samples)(job)
    done = job.run(ranks)
    assert done.returncode == 0, done.stderr
    assert json.loads((job.out / "report.json").read_text())["status"] == "ok"
    assert mpirun(2, "--verify", job.out / "pruned.h5").returncode == 0
