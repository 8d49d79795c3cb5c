"""The pruned checkpoint (doc/checkpoint.md of olica_mpi) as NumPy arrays."""
from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import numpy as np

from .errors import ChecksumError, FormatError

if TYPE_CHECKING:
    import h5py  # type: ignore[import-untyped]

Path = Union[str, "os.PathLike[str]"]
FORMAT, SCHEMA = "olica-checkpoint", 1
STORED = {"fp32": "<f4", "fp16": "<f2", "bf16": "<u2", "int32": "<i4", "uint8": "|u1"}


def open(path: Path) -> "Checkpoint":
    """Opens a checkpoint for reading. FileNotFoundError if there is none; FormatError if the file is of another kind, of a schema that
    this version does not know, or not complete. Close it, or use it in a `with` statement."""
    return Checkpoint(path)


def _word(value: Any) -> str:
    """An attribute as text: fixed strings come as bytes."""
    return bytes(value).decode() if isinstance(value, (bytes, np.bytes_)) else str(value)


class _Tensors(Mapping[str, np.ndarray]):
    """The datasets below a group, by their names there. Reading one gives an array of its own: fp32 and fp16 as they are, bf16 as float32
    (exactly), lists of what was kept as int32."""

    def __init__(self, file: "h5py.File", path: str, prefix: str) -> None:
        self._file, self._path, self._prefix = file, path, prefix
        self._names: List[str] = []
        if prefix in file:
            file[prefix].visititems(lambda name, item: self._names.append(name) if hasattr(item, "shape") else None)

    def _dataset(self, name: str) -> "h5py.Dataset":
        if name not in self._names:
            raise KeyError(f"{self._path}: no tensor {self._prefix}/{name}; there are {', '.join(self._names)}")
        return self._file[f"{self._prefix}/{name}"]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def dtype(self, name: str) -> str:
        """As it is stored: "fp32", "fp16", "bf16", "int32"."""
        return _word(self._dataset(name).attrs["dtype"])

    def shape(self, name: str) -> Tuple[int, ...]:
        return tuple(int(n) for n in self._dataset(name).shape)

    @property
    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        return {name: self.shape(name) for name in self}

    def read(self, name: str, check: bool = True) -> np.ndarray:
        """Reads a tensor. Compares its bytes with their checksum (ChecksumError), unless `check` is False or it has none."""
        dataset = self._dataset(name)
        kind, raw = self.dtype(name), dataset[()]
        if STORED.get(kind) != raw.dtype.str:
            raise FormatError(f"{self._path}: {self._prefix}/{name} is {kind} stored as {raw.dtype.str}, expected one of {', '.join(STORED)}")
        expected = dataset.attrs.get("crc32")
        if check and expected is not None and zlib.crc32(raw.tobytes()) != int(expected):
            raise ChecksumError(f"{self._path}: {self._prefix}/{name} has checksum {zlib.crc32(raw.tobytes()):08x}, expected {int(expected):08x}: "
                                "its data are damaged, copy the file or make it again")
        numbers: np.ndarray = (raw.astype("<u4") << 16).view("<f4") if kind == "bf16" else raw
        return numbers


class Layer(_Tensors):
    """A layer: its tensors by name ("q_proj/b", "down_proj/weight", ...), and its sizes."""

    def __init__(self, checkpoint: "Checkpoint", index: int) -> None:
        super().__init__(checkpoint._file, checkpoint.path, f"model/layers/{index:03d}")
        self.index, self._head = index, checkpoint.head_size

    def __repr__(self) -> str:
        return (f"<layer {self.index}: {self.heads} heads, {self.kv_heads} key/value heads, ranks {self.q_rank}, {self.k_rank}, value width "
                f"{self.vo_width}, FFN {self.ffn_width}, branch {self.branch_rank}, {self.parameters:,} parameters>")

    def rank(self, projection: str) -> int:
        """The rank in which a projection ("q_proj") is stored as b·a; 0: it is whole."""
        return self.shape(f"{projection}/b")[1] if f"{projection}/b" in self else 0

    def out(self, projection: str) -> int:
        """The rows of a projection."""
        return self.shape(f"{projection}/{'b' if self.rank(projection) else 'weight'}")[0]

    def matrix(self, projection: str) -> np.ndarray:
        """A projection [out, in] as one matrix: its weight, or b·a multiplied out in float64, as float32."""
        if not self.rank(projection):
            return self[f"{projection}/weight"]
        product: np.ndarray = self[f"{projection}/b"].astype("f8") @ self[f"{projection}/a"].astype("f8")
        return product.astype("f4")

    @property
    def heads(self) -> int:
        return self.out("q_proj") // self._head

    @property
    def kv_heads(self) -> int:
        return self.out("k_proj") // self._head

    @property
    def q_rank(self) -> int:
        return self.rank("q_proj")

    @property
    def k_rank(self) -> int:
        return self.rank("k_proj")

    @property
    def vo_width(self) -> int:
        """Value neurons of all key/value heads."""
        return self.out("v_proj")

    @property
    def ffn_width(self) -> int:
        return self.out("gate_proj")

    @property
    def branch_rank(self) -> int:
        """Of the linear calibration, y += (x·a)·b; 0: the layer has none."""
        return self.shape("branch/a")[1] if "branch/a" in self else 0

    @property
    def parameters(self) -> int:
        """Numbers of all tensors but the lists of what was kept."""
        return sum(int(np.prod(self.shape(name))) for name in self if self.dtype(name) != "int32")


class Checkpoint:
    """An open checkpoint. `tensors` has all its tensors by their paths below /model, `layers` its layers."""

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = os.fspath(path)
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"{self.path}: no such file, expected a checkpoint of olica_mpi")
        if not h5py.is_hdf5(self.path):
            raise FormatError(f"{self.path}: is not an HDF5 file, expected a checkpoint of olica_mpi")
        self._file = h5py.File(self.path, "r")
        try:
            self._check()
            self.config = self._json("config_json")
            self.settings = self._json("settings_json")
            self.provenance = self._json("provenance_json")
            self.head_size = int(self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"])
            self.tensors = _Tensors(self._file, self.path, "model")
            count = len(self._file["model/layers"])
            self.layers = tuple(Layer(self, i) for i in range(count))
        except BaseException:
            self._file.close()
            raise

    def _check(self) -> None:
        attributes = self._file.attrs
        found = _word(attributes.get("format", "unknown"))
        if found != FORMAT:
            raise FormatError(f'{self.path}: is an HDF5 file of format "{found}", expected "{FORMAT}"')
        if int(attributes.get("schema", 0)) != SCHEMA:
            raise FormatError(f"{self.path}: has schema {attributes.get('schema', 'unknown')}, expected {SCHEMA}: a newer version of this package may read it")
        if int(attributes.get("complete", 0)) != 1:
            raise FormatError(f"{self.path}: is not complete: its job did not finish writing it")

    def _json(self, name: str) -> Dict[str, Any]:
        text = self.text(name)
        return json.loads(text) if text else {}

    def text(self, name: str) -> Optional[bytes]:
        """A text below /meta as it is, "tokenizer_json"; None: the checkpoint has none."""
        return self._file[f"meta/{name}"][()].tobytes() if f"meta/{name}" in self._file else None

    @property
    def dtype(self) -> str:
        """The type of all weights, "fp32", "fp16" or "bf16"."""
        return self.tensors.dtype("embed_tokens")

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the embedding."""
        return "lm_head" not in self.tensors

    @property
    def parameters(self) -> int:
        """Numbers of the model."""
        tables = [name for name in ("embed_tokens", "norm", "lm_head") if name in self.tensors]
        return sum(int(np.prod(self.tensors.shape(name))) for name in tables) + sum(layer.parameters for layer in self.layers)

    def verify(self) -> int:
        """Reads all tensors and compares their checksums (ChecksumError); returns how many. `olica_mpi --verify` checks more."""
        for name in self.tensors:
            self.tensors.read(name)
        return len(self.tensors)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self.layers)} layers, {self.parameters:,} parameters in {self.dtype}>"
