#!/usr/bin/env python3
"""deepen.py MODEL LAYERS OUT: a Hugging Face model of LAYERS layers, made of MODEL's own, one after the other and again from the first, in
the directory OUT: for weak scaling by layers (jobs/scaling.sh --weak-layers). It is of no other use. Files of the tokenizer are linked.
MODEL has one model.safetensors or shards, of which one at a time is open. Needs nothing but Python."""
import json, os, re, shutil, struct, sys
from pathlib import Path

LAYER = re.compile(r"(.*\blayers\.)(\d+)(\..*)")
PIECE = 64 << 20
BY_LAYER = ("layer_types", "no_rope_layers", "mlp_only_layers")  # lists of config.json with a word for each layer


def tensors_of(directory):
    """{name: (file, dtype, shape, begin, end)}, begin and end in the file."""
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length))
        for name, x in header.items():
            if name != "__metadata__":
                found[name] = (path, x["dtype"], x["shape"], *(8 + length + offset for offset in x["data_offsets"]))
    return found


def deeper_tensors(tensors, before, layers):
    """[(new name, old name)]: layer i has the numbers of layer i mod `before`."""
    out = [(name, name) for name in tensors if not LAYER.match(name)]
    for name in tensors:
        match = LAYER.match(name)
        out += [(f"{match[1]}{i}{match[3]}", name) for i in range(int(match[2]), layers, before)] if match else []
    return out


def deeper_config(text, layers):
    """In the nested text_config too."""
    for part in (text, text.get("text_config", {})):
        before = part.get("num_hidden_layers")
        if before is None:
            continue
        for key in BY_LAYER:
            if isinstance(part.get(key), list) and len(part[key]) == before:
                part[key] = [part[key][i % before] for i in range(layers)]
        part["num_hidden_layers"] = layers
        found = before
    return found


def write(tensors, names, path):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for new, old in names:
        _, dtype, shape, begin, end = tensors[old]
        header[new] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + end - begin]}
        at += end - begin
    raw = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(raw)) + raw)
        for _, old in names:
            source, _, _, begin, end = tensors[old]
            with open(source, "rb") as file:
                file.seek(begin)
                while begin < end:
                    piece = file.read(min(PIECE, end - begin))
                    out.write(piece)
                    begin += len(piece)


def main():
    if len(sys.argv) != 4 or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    model, layers, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    config = json.loads((model / "config.json").read_text(encoding="utf8"))
    tensors = tensors_of(model)
    if not tensors:
        sys.exit(f"deepen.py: {model}: no .safetensors in it")
    before = deeper_config(config, layers)
    part = Path(f"{out}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(tensors, deeper_tensors(tensors, before, layers), part / "model.safetensors")
    (part / "config.json").write_text(json.dumps(config, indent=1), encoding="utf8")
    for path in model.iterdir():
        if path.suffix != ".safetensors" and path.name not in ("config.json", "model.safetensors.index.json") and path.is_file():
            os.symlink(path.resolve(), part / path.name)
    part.rename(out)


if __name__ == "__main__":
    main()
