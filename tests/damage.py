"""Ways to break a working job: its files, settings, environment, or one of our checkpoints. The tests of wrong input
use them."""
import json, subprocess, zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import BINARY, HANGS, environment, mpirun, write_config
from tiny_model import CONFIG, frame, make_byte_model, make_ids, make_model, make_tokenizer, pack, weights

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
Q, NORM = "model.layers.1.self_attn.q_proj.weight", "model.norm.weight"

ROW = '{"text": "%s"}\n' % ("some words " * 4)  # of rows.jsonl


class Job:
    """A job that works; a case breaks one thing of it."""

    def __init__(self, directory, good=None):
        self.dir, self.good = directory, good
        self.model = make_model(directory / "model")
        for name, rows in ("calibration", 6), ("evaluation", 8):
            make_ids(directory / f"{name}.npy", rows)
        self.out = directory / "out"
        self.out.mkdir()
        self.sections = {
            "model": {"path": "model"},
            "calibration": {"tokens": "calibration.npy", "samples": 6, "length": 8},
            "prune": {"sparsity": 0.2, "mlp_num": 1, "ratio": 0.25, "skip_lowest": 0.01},
            "evaluate": {"tokens": "evaluation.npy", "length": 8},
            "output": {"checkpoint": "out/pruned.h5", "report": "out/report.json"}}
        self.text = None          # of the config file, instead of the sections
        self.arguments = []       # in front of the config file
        self.shell = ""           # what a shell does before it starts a rank
        self.alone = False        # no config file behind the arguments
        self.mounts = []

    def run(self, ranks, *more):
        config = write_config(self.dir / "config.ini", self.sections)
        if self.text is not None:
            config.write_bytes(self.text if isinstance(self.text, bytes) else self.text.encode())
        arguments = [*more, *self.arguments] + ([] if self.alone else ["config.ini"])
        command = ["/bin/sh", "-c", f'{self.shell or ":"}; exec "$0" "$@"', BINARY, *map(str, arguments)]
        if ranks > 0:
            return mpirun(ranks, *command[1:], program=command[0], timeout=HANGS, cwd=self.dir)
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=HANGS, cwd=self.dir,
                              env=environment())

    def content(self):
        """What lies under the checkpoint's name, None: no file."""
        path = self.out / "pruned.h5"
        return path.read_bytes() if path.is_file() else None

    def close(self):
        for mount in self.mounts:
            subprocess.run(["umount", mount], check=True)


# ---- ways to break a job ----

def model(**how):
    return lambda job: make_model(job.model, **how)


def config(**keys):
    return model(config=keys)


def content(name, change):
    """Other bytes in a file: given, or made of the old ones; None: the file goes."""
    def act(job):
        path = job.dir / name
        new = change(path.read_bytes()) if callable(change) else change
        path.unlink(missing_ok=True)
        if new is not None:
            path.write_bytes(new)
    return act


def weight_file(change):
    return content("model/model.safetensors", change)


def header(change):
    """The header says something else about the same data."""
    return weight_file(lambda old: pack(weights(CONFIG), entries=change))


def entry(key, value, name=Q):
    return header(lambda h: h[name].__setitem__(key, value))


def shift(begin, end, name=Q):
    """Moves a tensor's data_offsets."""
    def change(h):
        offsets = h[name]["data_offsets"]
        h[name]["data_offsets"] = [offsets[0] + begin, offsets[1] + end]
    return header(change)


def raw_header(text):
    return weight_file(lambda old: frame(text if isinstance(text, bytes) else text.encode(), b"\0" * 64))


def sharded(change):
    """The model in two shards; change(map) alters what the index says of them."""
    def act(job):
        numbers = weights(CONFIG)
        names = list(numbers)
        halves = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
        for file, some in halves.items():
            (job.model / file).write_bytes(pack({n: numbers[n] for n in some}))
        (job.model / "model.safetensors").unlink()
        where = {n: file for file, some in halves.items() for n in some}
        text = change(where) or json.dumps({"metadata": {}, "weight_map": where})
        (job.model / INDEX).write_text(text)
    return act


def moved(key, value):
    return sharded(lambda where: where.__setitem__(key, value))


def array(name, make):
    return lambda job: np.save(job.dir / f"{name}.npy", make(np.load(job.dir / f"{name}.npy")))


def texts(calibration=None, evaluation=None, rows=None, tokenizer=True, bytes_in_model=True, bos="auto"):
    """A model with a tokenizer, and texts in the place of ids; rows.jsonl lies beside them."""
    def act(job):
        (make_byte_model if bytes_in_model else make_model)(job.model)
        (make_tokenizer(job.model) / "tokenizer.json").unlink() if not tokenizer else make_tokenizer(job.model)
        if bytes_in_model:
            for name in "calibration", "evaluation":
                make_ids(job.dir / f"{name}.npy", 8)
        (job.dir / "rows.jsonl").write_text(ROW * 30 if rows is None else rows)
        if calibration is not None:
            job.sections["calibration"] |= {"tokens": "", "text": calibration}
        if evaluation is not None:
            job.sections["evaluate"] |= {"tokens": "", "text": evaluation, "bos": bos}
    return act


def tokenizer(**members):
    """Other members of the tokenizer.json that texts() has put there."""
    def change(old):
        return json.dumps(json.loads(old) | members).encode()
    return content("model/tokenizer.json", change)


# A pattern that takes steps without end on the words of ROW.
ENDLESS = {"type": "Split", "pattern": {"Regex": r"(\w*\s*)*[!?]"}, "behavior": "Isolated", "invert": False}
PIQA = '{"goal": "g", "sol1": "a", "sol2": "b", "label": 1}'


def tasks(rows=None, asked="piqa:rows.jsonl", **evaluate):
    """A model with a tokenizer, and a task of those rows (in the last line) beside ids for perplexity."""
    def act(job):
        texts(rows="\n".join([PIQA] * 5 + ["", rows or PIQA]))(job)
        job.sections["evaluate"] |= {"tasks": asked} | evaluate
    return act


def with_id(name, value):
    def change(ids):
        ids[-1, -1] = value
        return ids
    return array(name, change)


def put(section, **keys):
    return lambda job: job.sections.setdefault(section, {}).update(keys)


def text(new):
    """Another config file: given, or made of the old one."""
    def act(job):
        old = write_config(job.dir / "config.ini", job.sections).read_text()
        job.text = new(old) if callable(new) else new
    return act


def appended(line):
    return text(lambda old: old + line + "\n")


def arguments(*words, alone=False):
    def act(job):
        job.arguments, job.alone = list(words), alone
    return act


def infect(name, value):
    """One number of a tensor is `value`."""
    def change(dtype):
        def act(job):
            x = weights(CONFIG)[name].copy()
            x.flat[-1] = value
            make_model(job.model, dtype=dtype, tensors={name: x})
        return act
    return change


def scaled(name, factor, **how):
    return model(tensors={name: weights(CONFIG)[name] * factor}, **how)


def existing(name):
    return lambda job: (job.out / name).write_bytes(b"precious")


def both(*acts):
    def act(job):
        for one in acts:
            one(job)
    return act


def shell(command):
    return lambda job: setattr(job, "shell", command)


def mounted(options):
    """A small or read-only file system under the outputs."""
    def act(job):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", job.out], capture_output=True)
        if done.returncode != 0:
            pytest.skip("mounting is not allowed here: no small or read-only file system to write to")
        job.mounts.append(job.out)
    return act


def taken(name):
    """Something that is no regular file lies there."""
    return lambda job: (job.out / name).mkdir()


def instead(make):
    """Something else in the place of the weights."""
    def act(job):
        (job.model / FILE).unlink()
        make(job.model / FILE)
    return act


# ---- a checkpoint of ours, broken ----

def raw(change):
    """A whole checkpoint as out/hurt.h5, with other bytes."""
    return lambda job: (job.out / "hurt.h5").write_bytes(change(job.good))


def hurt(change):
    """The same, changed through h5py."""
    def act(job):
        raw(bytes)(job)
        with h5py.File(job.out / "hurt.h5", "r+") as file:
            change(file)
    return act


def attribute(key, value, name="/"):
    """Bytes become a text of fixed length, as ours are."""
    value = np.bytes_(value) if isinstance(value, bytes) else value
    return hurt(lambda file: file[name].attrs.__setitem__(key, value))


def flip(at, byte=0):
    """One bit flipped: at a place in the file, or in a dataset."""
    def act(job):
        place = at
        if isinstance(at, str):
            raw(bytes)(job)
            with h5py.File(job.out / "hurt.h5") as file:
                place = file[at].id.get_offset()
        raw(lambda old: old[: place + byte] + bytes([old[place + byte] ^ 16]) + old[place + byte + 1:])(job)
    return act


def numbers(name):
    """A text of the checkpoint becomes numbers, and says so."""
    def change(file):
        if name in file:
            del file[name]
        file[name] = np.ones(99, "<f4")
        file[name].attrs["dtype"] = np.bytes_("fp32")
    return change


def replaced(name, **how):
    """A dataset of the checkpoint made anew in another way, with its attributes and a checksum that fits."""
    def change(file):
        old = file[name]
        attributes, data = dict(old.attrs), old[()]
        del file[name]
        made = file.create_dataset(name, **({"data": data} | how))
        for key, value in attributes.items():
            made.attrs[key] = value
        if how.get("data") is not None:
            made.attrs.modify("crc32", np.uint32(zlib.crc32(made[()].tobytes())))
    return change


def spoilt(name):
    """Another first byte, with a checksum that fits."""
    def change(file):
        data = file[name][()]
        data.flat[0] ^= 16
        file[name][...] = data
        file[name].attrs.modify("crc32", np.uint32(zlib.crc32(data.tobytes())))
    return change


def without(name):
    def change(file):
        del file[name]
    return change


def linked(file):
    del file["model/norm"]
    file["model/norm"] = h5py.SoftLink("/model/embed_tokens")


def looped(file):
    file["model/layers/000/again"] = file["model"]


def heaped(file):
    """HDF5 keeps the links of such a group in a heap; 1.10.8 crashes on a damaged one."""
    with h5py.File(Path(file.filename).with_name("other.h5"), "w", libver="latest") as other:
        for i in range(9):
            other.create_group(f"many/{i}")
        other.copy("many", file, "model/many")


def outside(file):
    data = file["model/norm"][()]
    (Path(file.filename).parent / "raw.bin").write_bytes(data.tobytes())
    replaced("model/norm", data=None, shape=data.shape, dtype=data.dtype, external=[("raw.bin", 0, data.nbytes)])(file)
