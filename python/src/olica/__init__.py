"""Reads what olica_mpi writes, and starts it.

    model = olica.open("pruned.h5")          layers, shapes, provenance, tensors as NumPy arrays
    report = olica.report("report.json")     figures; tables as pandas frames
    done = olica.run("config.ini", ranks=2)  a job, with its progress; its report and checkpoint
    olica.inspect(path), olica.diff(a, b)    what `olica_mpi --inspect` and `--diff` say

The program computes everything; this package computes nothing. README.md beside it has examples.
"""
from .checkpoint import Checkpoint, Layer, open
from .errors import ChecksumError, FormatError, JobError, OlicaError, Stopped
from .job import Job, Progress, diff, inspect, run
from .reports import Report, report

__version__ = "0.1.0"
__all__ = ["Checkpoint", "ChecksumError", "FormatError", "Job", "JobError", "Layer", "OlicaError", "Progress", "Report", "Stopped",
           "diff", "inspect", "open", "report", "run"]
