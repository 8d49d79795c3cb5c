"""Text models nested in multimodal ones (text_config): read as if they stood alone, or refused by name.

The models are those of ../shared/families with their tensors renamed as transformers 4 and 5 write them, beside others.
"""
import json

import numpy as np
import pytest

from helpers import mpirun, run_job, shared, write_config
from judge import read_safetensors
from test_families import EXACT, golden, relative
from tiny_model import pack

FORMS = {4: ("language_model.model.", "language_model.lm_head."), 5: ("model.language_model.", "lm_head.")}
STRANGERS = {4: ("vision_tower.", "multi_modal_projector."), 5: ("model.vision_tower.", "model.multi_modal_projector.")}
CASES = [("gemma3", "gemma3"), ("mistral", "mistral3"), ("ministral3", "mistral3"), ("llama-yarn", "llava"), ("qwen3", "internvl")]


def nest(directory, case, outer, form=4, config=(), text=(), without=()):
    """Writes the model of the case inside a multimodal one; None leaves a key out."""
    source, (body, head) = shared("families", case), FORMS[form]
    tensors = {}
    for name, x in read_safetensors(source / "model.safetensors").items():
        tensors[head + name[len("lm_head."):] if name.startswith("lm_head.") else body + name[len("model."):]] = x
    tensors[".odd"] = np.ones(3)
    for stem in STRANGERS[form]:
        tensors |= {stem + "layers.0.weight": np.ones((3, 5, 2)), stem + "bias": np.ones(7)}
    for name in without:
        del tensors[name]
    inner = json.loads((source / "config.json").read_text())
    inner = {k: v for k, v in (inner | dict(text)).items() if v is not None and k not in ("architectures", "dtype", "transformers_version")}
    whole = {"architectures": ["SomeForConditionalGeneration"], "model_type": outer, "dtype": "float32", "text_config": inner,
             "vision_config": {"hidden_size": 32}, "transformers_version": "5.24.0"}
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({k: v for k, v in (whole | dict(config)).items() if v is not None}))
    (directory / "model.safetensors").write_bytes(pack(tensors))
    return directory


def job(case, model, **more):
    ids = shared("families", case, "ids.npy")
    return {"model": {"path": model}, "prune": {"method": "none"}, "evaluate": {"tokens": ids, "length": 24}, **more}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case, outer", CASES)
def test_perplexity(tmp_path, case, outer, form):
    model = nest(tmp_path / "model", case, outer, form)
    report = run_job(tmp_path, 1 + form % 2, job(case, model))
    assert relative(report["perplexity"]["model"], golden(case, 24)) < EXACT
    assert report["model"]["text_of"] == outer
    warning = " ".join(map(str, report["warnings"]))
    assert f"model_type is {outer}" in warning and FORMS[form][0] in warning, warning
    assert "tensors of other parts than the text model are ignored, 5: " in warning and "vision_tower" in warning and "multi_modal_projector" in warning, warning


def test_prune_and_export(tmp_path):
    """The checkpoint evaluates to the printed number, on several ranks, and exports as its text class, which says so."""
    case, model = "mistral", nest(tmp_path / "model", "mistral", "mistral3")
    ids = shared("families", case, "ids.npy")
    config = write_config(tmp_path / "prune.ini", job(
        case, model, prune={"method": "refit", "sparsity": 0.2, "allocation": "influence"}, calibration={"tokens": ids, "samples": 24, "length": 24},
        output={"dtype": "fp32", "export": "hf:stock", "checkpoint": tmp_path / "pruned.h5", "report": tmp_path / "prune.json"}))
    done = mpirun(2, config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "prune.json").read_text())
    assert relative(report["perplexity"]["dense"], golden(case, 24)) < EXACT
    for path in ("pruned.h5", "stock"):
        again = run_job(tmp_path, 1, job(case, tmp_path / path), name="again")
        assert relative(again["perplexity"]["model"], report["perplexity"]["pruned"]) < 1e-6
        assert again["model"]["text_of"] == "mistral3"
    stock = json.loads((tmp_path / "stock" / "config.json").read_text())
    assert stock["model_type"] == "mistral" and stock["architectures"] == ["MistralForCausalLM"] and "text_config" not in stock
    assert "text model of a mistral3 alone" in (tmp_path / "stock" / "README.md").read_text()
    assert "is not there any more" not in done.stderr
    named = mpirun(1, "--set", f"model.path={model}", "--export", "hf:again", "pruned.h5", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    for path in ("pruned.h5", "model"):
        told = json.loads(mpirun(1, "--inspect", path, "--json", cwd=tmp_path).stdout)["model"]
        assert told["text_of"] == "mistral3" and told["family"] == "mistral" and told["layers"] == 4, told


# Configs: what of tie_word_embeddings they say, and whether the output matrix is the embedding where none is stored.
TIED = {
    "gemma3, by default": ("gemma3", "gemma3", {}, {"tie_word_embeddings": None}, True),
    "mistral3, by default": ("mistral", "mistral3", {}, {"tie_word_embeddings": None}, True),
    "gemma3, said": ("gemma3", "gemma3", {"tie_word_embeddings": False}, {"tie_word_embeddings": True}, False),
    "llava, by its text": ("llama-yarn", "llava", {"tie_word_embeddings": False}, {"tie_word_embeddings": True}, True),
    "llava, by default": ("llama-yarn", "llava", {}, {"tie_word_embeddings": None}, False),
    "vipllava, by its text": ("llama-yarn", "vipllava", {}, {"tie_word_embeddings": True}, False),
}


@pytest.mark.parametrize("name", TIED)
def test_tied(tmp_path, name):
    case, outer, config, text, tied = TIED[name]
    model = nest(tmp_path / "model", case, outer, 4, config, text, ["language_model.lm_head.weight"])
    done = mpirun(1, write_config(tmp_path / "job.ini", job(case, model, output={"report": tmp_path / "job.json"})), cwd=tmp_path)
    if tied:
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "job.json").read_text())["model"]["tied"]
    else:
        assert done.returncode == 3 and "there is no tensor language_model.lm_head.weight" in done.stderr, done.stderr


def test_stored_head_counts(tmp_path):
    """Transformers 5 ties no matrices that differ, whatever the config says."""
    model = nest(tmp_path / "model", "gemma3", "gemma3", 5, {"tie_word_embeddings": True}, {"tie_word_embeddings": True})
    report = run_job(tmp_path, 1, job("gemma3", model))
    assert relative(report["perplexity"]["model"], golden("gemma3", 24)) < EXACT
    assert "lm_head.weight is stored: it counts" in " ".join(map(str, report["warnings"]))


REFUSED = {  # case, outer, form, keys outside, keys of text_config, tensors that are missing, words
    "norm missing": ("mistral", "mistral3", 4, {}, {}, ["language_model.model.norm.weight"], "there is no tensor language_model.model.norm.weight"),
    "weight missing": ("gemma3", "gemma3", 5, {}, {}, ["model.language_model.layers.3.mlp.up_proj.weight"],
                       "there is no tensor model.language_model.layers.3.mlp.up_proj.weight"),
    "no text_config": ("mistral", "mistral3", 4, {"text_config": None}, {}, [], "text_config missing"),
    "experts": ("mistral", "mistral3", 4, {}, {"model_type": "mixtral"}, [], '"mixtral"'),
    "another outside": ("mistral", "paligemma", 4, {}, {}, [], 'model_type is "paligemma"'),
    "quantized": ("mistral", "mistral3", 4, {"quantization_config": {"quant_method": "fp8"}}, {}, [], "quantization_config"),
    "asks for more": ("gemma3", "gemma3", 4, {}, {"attn_logit_softcapping": 5.0}, [], "attn_logit_softcapping is 5"),
    "cap of logits": ("gemma3", "gemma3", 4, {}, {"final_logit_softcapping": 5.0}, [], "a soft cap"),
    "factor of logits": ("granite", "llava_next", 4, {}, {}, [], "a factor"),
    "sizes by default": ("llama-yarn", "llava", 4, {}, {"hidden_size": None}, [], "expected [256, 4096]"),
    "layers by default": ("gemma3", "gemma3", 4, {}, {"num_hidden_layers": None, "layer_types": None, "model_type": None}, [],
                          "there is no tensor language_model.model.layers.6."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    case, outer, form, config, text, without, words = REFUSED[name]
    model = nest(tmp_path / "model", case, outer, form, config, text, without)
    done = mpirun(1, write_config(tmp_path / "job.ini", job(case, model)), cwd=tmp_path)
    assert done.returncode == 3 and words in done.stderr, done.stderr


def test_export_of_gemma3(tmp_path):
    """Gemma 3 is written as its text class: no directory that looks like the whole model."""
    nest(tmp_path / "model", "gemma3", "gemma3", 5)
    config = write_config(tmp_path / "job.ini", job(
        "gemma3", tmp_path / "model", prune={"method": "magnitude", "sparsity": 0.2},
        output={"checkpoint": "out.h5", "export": "hf:stock", "report": tmp_path / "job.json", "dtype": "fp32"}))
    done = mpirun(1, config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stock = json.loads((tmp_path / "stock" / "config.json").read_text())
    assert stock["model_type"] == "gemma3_text" and stock["architectures"] == ["Gemma3ForCausalLM"] and "vision_config" not in stock
    assert all(name.startswith(("model.layers.", "model.embed", "model.norm", "lm_head")) for name in read_safetensors(tmp_path / "stock" / "model.safetensors"))
    again = run_job(tmp_path, 1, job("gemma3", tmp_path / "stock"), name="again")["perplexity"]["model"]
    assert relative(again, json.loads((tmp_path / "job.json").read_text())["perplexity"]["pruned"]) < 1e-6
