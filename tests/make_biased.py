#!/usr/bin/env python3
"""make_biased.py MODEL OUT: makes of SmolLM2-135M (a Hugging Face directory) a model of Qwen2's class: with biases of query, key
and value that it needs, and a head of its own. For quality.py, where no model with biases is at hand. Needs torch and transformers.

The biases take over what is constant in the inputs of query, key and value: along the main direction u of these inputs (without
each sequence's first token) every matrix W becomes W - g W u u', and its bias g W u E[u' h]. Where an input's part along u is not
that mean, as the first token's, this changes the model; `--steps` of AdamW over all tensors on passages of BoolQ mend it, with a rate
of its own for the biases. That text is neither calibration nor evaluation of quality.py. Weights that another machine makes differ by
rounding."""
import argparse, json, math, shutil, sys, time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

BOOLQ = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "zeroshot" / "boolq_val.jsonl"
LENGTH, HELD = 128, 8  # tokens of a sequence, and sequences that are not trained on


def sequences(tokenizer):
    """All passages, one behind the other, as rows of ids."""
    text = "\n\n".join(dict.fromkeys(json.loads(line)["passage"] for line in BOOLQ.read_text().splitlines()))
    ids = torch.tensor(tokenizer(text).input_ids)
    return ids[:len(ids) // LENGTH * LENGTH].view(-1, LENGTH)


def biased(plain):
    """The same model as Qwen2, with biases of zero and the head written out."""
    c = plain.config
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size", "hidden_act",
            "rms_norm_eps", "max_position_embeddings", "bos_token_id", "eos_token_id")
    config = Qwen2Config(**{key: getattr(c, key) for key in keys}, rope_parameters=dict(c.rope_parameters), tie_word_embeddings=False)
    model, weights = Qwen2ForCausalLM(config).float(), dict(plain.state_dict())
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and all(key.endswith("_proj.bias") for key in missing.missing_keys)
    for key in missing.missing_keys:
        model.get_parameter(key).data.zero_()
    return model


@torch.no_grad()
def move_into_biases(model, ids, share):
    taps = {}
    hooks = [layer.self_attn.q_proj.register_forward_pre_hook(lambda _, x, i=i: taps.__setitem__(i, x[0][:, 1:].reshape(-1, x[0].shape[-1])))
             for i, layer in enumerate(model.model.layers)]
    model.model(ids)
    for hook in hooks:
        hook.remove()
    for i, layer in enumerate(model.model.layers):
        h = taps[i]
        u = torch.linalg.eigh(h.T @ h)[1][:, -1]
        for module in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            along = share * module.weight @ u
            module.bias += along * (h @ u).mean()
            module.weight -= torch.outer(along, u)


def loss_of(model, ids):
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@torch.no_grad()
def perplexity(model, ids):
    return math.exp(sum(loss_of(model, part).item() for part in ids.split(8)) / (len(ids) / 8))


def train(model, ids, options):
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(options.seed))
    groups = [[p for n, p in model.named_parameters() if n.endswith("bias") == own] for own in (False, True)]
    adam = torch.optim.AdamW([{"params": p, "lr": r} for p, r in zip(groups, (options.rate, options.bias_rate))], betas=(0.9, 0.95), weight_decay=0.0)
    fade = torch.optim.lr_scheduler.LambdaLR(adam, lambda n: min(1, (n + 1) / 3) * max(0.05, 1 - n / options.steps))
    start = time.time()
    for step in range(options.steps):
        loss = loss_of(model, ids[order[step * options.batch:][:options.batch]])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step(), fade.step(), adam.zero_grad(set_to_none=True)
        if step % 4 == 0:
            print(f"step {step}, {time.time() - start:.0f} s: loss {loss.item():.3f}", file=sys.stderr, flush=True)


@torch.no_grad()
def tell(model, ids):
    """How large biases are beside what they are added to, and first tokens' states beside the others'."""
    found, states = {}, model.model(ids, output_hidden_states=True).hidden_states
    for name, row in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
        biases = torch.stack([getattr(layer.self_attn, name).bias for layer in model.model.layers])
        outputs = torch.stack([getattr(layer.self_attn, name)(layer.input_layernorm(x)).square().mean().sqrt() for layer, x in zip(model.model.layers, states)])
        found[row] = {"largest": biases.abs().max().item(), "share": (biases.square().mean(1).sqrt() / outputs).mean().item()}
    norms = torch.stack([x.norm(dim=-1) for x in states[1:-1]])
    found["first_token"] = (norms[:, :, 0].mean(1) / norms[:, :, 1:].flatten(1).median(1)[0]).max().item()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.4, help="g: of the constant part that the biases take (default: 0.4)")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4, help="sequences of 128 tokens a step")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--bias-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    ids, model = sequences(tokenizer), biased(AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32))
    held, ids = ids[:HELD], ids[HELD:]
    figures = [perplexity(model, held)]
    move_into_biases(model, ids[:32], options.share)
    figures.append(perplexity(model, held))
    train(model, ids[32:], options)
    figures.append(perplexity(model, held))
    print("perplexity of passages that were not trained on, plain, biases moved, trained: " + ", ".join(f"{x:.2f}" for x in figures))
    print(json.dumps(tell(model, held)))
    model.to(torch.bfloat16).save_pretrained(options.out)
    shutil.copy(options.model / "tokenizer.json", options.out)


if __name__ == "__main__":
    main()
