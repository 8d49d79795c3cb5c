"""What this package raises beside the usual exceptions of Python."""
from __future__ import annotations


class OlicaError(Exception):
    """Any of those below."""


class FormatError(OlicaError, ValueError):
    """A file is not what it was opened as; the message has the file, what was found and what was expected."""


class ChecksumError(FormatError):
    """The bytes of a tensor are not those that were written."""


class JobError(OlicaError, RuntimeError):
    """A job failed: `code` is its exit code (2 usage or config, 3 input data, 4 I/O, 5 numerical, 6 memory, 70 internal), `message` its
    one line, `log` all that it wrote to standard error."""

    def __init__(self, code: int, message: str, log: str) -> None:
        super().__init__(f"{message} (exit code {code})")
        self.code, self.message, self.log = code, message, log


class Stopped(JobError):
    """The job stopped early and left a restart file (exit code 75): the same call resumes it."""
