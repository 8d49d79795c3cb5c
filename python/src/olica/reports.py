"""report.json (doc/report.md of olica_mpi): figures as they are, tables as pandas frames."""
from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Dict, List, Union

from .errors import FormatError, OlicaError

if TYPE_CHECKING:
    import pandas

Path = Union[str, "os.PathLike[str]"]


def report(path: Path) -> "Report":
    """Reads a report, or the summary of a comparison. FormatError if the file is no report."""
    with open(path, encoding="utf-8") as file:
        try:
            data = json.load(file)
        except ValueError as error:
            raise FormatError(f"{os.fspath(path)}: is no JSON ({error}), expected a report of olica_mpi") from None
    if not isinstance(data, dict) or "olica_mpi" not in data:
        raise FormatError(f"{os.fspath(path)}: has no member olica_mpi, expected a report of olica_mpi")
    return Report(data, os.fspath(path))


def _frame(rows: Any, index: str = "") -> "pandas.DataFrame":
    """A frame of rows; of a mapping, of one row for each member. pandas is imported here, and nowhere else."""
    try:
        import pandas
    except ImportError:
        raise OlicaError("frames need pandas, which is not installed: pip install pandas; `data` has the same without it") from None
    if isinstance(rows, dict):
        return pandas.DataFrame.from_dict(rows, orient="index")
    frame = pandas.DataFrame(rows)
    return frame.set_index(index) if index and len(frame) else frame


class Report:
    """A report: `data` is its JSON, report["perplexity"] a member of it; the tables are pandas frames, made when they are asked for."""

    def __init__(self, data: Dict[str, Any], path: str = "") -> None:
        self.data, self.path = data, path

    def __getitem__(self, member: str) -> Any:
        return self.data[member]

    def __contains__(self, member: str) -> bool:
        return member in self.data

    def get(self, member: str, default: Any = None) -> Any:
        return self.data.get(member, default)

    @property
    def status(self) -> str:
        """"ok", "stopped", "failed" or "running"."""
        return str(self.data.get("status", ""))

    @property
    def settings(self) -> Dict[str, Dict[str, Any]]:
        return dict(self.data.get("settings", {}))

    @property
    def is_comparison(self) -> bool:
        return "pairs" in self.data

    def _rows(self, member: str) -> List[Dict[str, Any]]:
        return list(self.data.get(member, []))

    @property
    def layers(self) -> "pandas.DataFrame":
        """A row for each pruned layer: widths, ranks, errors, and the figures that the report has by layer (linearity_score, probe_kl, ...)."""
        frame = _frame(self._rows("layers"))
        for name, values in self.data.items():
            if isinstance(values, list) and len(values) == len(frame) and values and all(isinstance(x, float) for x in values):
                frame[name] = values
        if "calibrated_layers" in self.data and len(frame):
            frame["calibrated"] = frame["layer"].isin(self.data["calibrated_layers"])
        return frame.set_index("layer") if len(frame) else frame

    @property
    def phases(self) -> "pandas.DataFrame":
        """A row for each phase: seconds, rates, bytes."""
        return _frame(self._rows("phases"), "name")

    @property
    def ranks(self) -> "pandas.DataFrame":
        """A row for each rank."""
        return _frame(self._rows("ranks"), "rank")

    @property
    def layer_times(self) -> "pandas.DataFrame":
        """A row for each passage of a layer through a sweep."""
        return _frame(self._rows("layer_times"))

    @property
    def perplexities(self) -> "pandas.DataFrame":
        """A row for each text: perplexity of the dense and of the pruned model (or of the one model), windows, tokens, kl."""
        named = self.data.get("perplexities") or ({"text": self.data["perplexity"]} if "perplexity" in self.data else {})
        return _frame(named)

    @property
    def tasks(self) -> "pandas.DataFrame":
        """A row for each task and model: acc, acc_norm, their standard errors, n."""
        rows = []
        for task, of in self.data.get("tasks", {}).items():
            if not isinstance(of, dict) or "n" not in of:
                continue
            rows += [{"task": task, "model": model, "n": of["n"], **figures} for model, figures in of.items() if isinstance(figures, dict)]
        return _frame(rows)

    @property
    def pairs(self) -> "pandas.DataFrame":
        """Of a comparison: a row for each method and sparsity; of each text a column perplexity.TEXT, and kl.TEXT."""
        rows = []
        for pair in self._rows("pairs"):
            row = {key: value for key, value in pair.items() if not isinstance(value, dict)}
            for key in ("perplexity", "kl"):
                if isinstance(pair.get(key), dict):
                    row.update({f"{key}.{text}": value for text, value in pair[key].items()})
            rows.append(row)
        return _frame(rows)

    def __repr__(self) -> str:
        return f"<report {self.path}: {self.status}>"
