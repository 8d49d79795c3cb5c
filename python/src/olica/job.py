"""Starting olica_mpi: a job under mpirun with its progress; what --inspect and --diff say."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, IO, Iterable, List, Mapping, Optional, Sequence, Union

from .checkpoint import Checkpoint
from .errors import JobError, Stopped
from .reports import Report, report

Path = Union[str, "os.PathLike[str]"]
Settings = Mapping[str, Mapping[str, Any]]
STOPPED = 75


@dataclass(frozen=True)
class Progress:
    """A line of the log: `text` without time and level. In a line about a layer `sweep` is what passes over the layers ("survey", "prune"),
    `layer` counts from 1 to `layers`; elsewhere "" and 0."""

    level: str
    text: str
    sweep: str = ""
    layer: int = 0
    layers: int = 0


@dataclass(frozen=True)
class Job:
    """A job that ended well: its closing `table` and `log`, the paths of its report and checkpoint (None: it wrote none)."""

    command: Sequence[str]
    table: str
    log: str
    report_path: Optional[str]
    checkpoint_path: Optional[str]

    @property
    def report(self) -> Report:
        """The report, read now. FileNotFoundError if the job wrote none."""
        if self.report_path is None:
            raise FileNotFoundError("the job has written no report ([output] report is empty)")
        return report(self.report_path)

    def open(self) -> Checkpoint:
        """The checkpoint, open. FileNotFoundError if the job wrote none."""
        if self.checkpoint_path is None:
            raise FileNotFoundError("the job has written no checkpoint ([prune] method = none, or a comparison: its report has their paths)")
        return Checkpoint(self.checkpoint_path)


# ---- settings as text ----


def _value(name: str, value: Any) -> str:
    """A value as the config has it: yes and no, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(name, item) for item in value)
    text = os.fspath(value) if isinstance(value, os.PathLike) else repr(value) if isinstance(value, float) else str(value)
    if "\n" in text or "\0" in text:
        raise ValueError(f"{name}: {text!r} has a line break or a NUL, expected one line")
    return text


def _flatten(settings: Settings) -> Dict[str, str]:
    flat = {}
    for section, members in settings.items():
        if not isinstance(members, Mapping):
            raise TypeError(f"{section} = {members!r}, expected a section: {section}={{'key': value}}, as olica_mpi --list has them")
        flat.update({f"{section}.{key}": _value(f"{section}.{key}", value) for key, value in members.items()})
    return flat


def _divide(config: Settings) -> "tuple[str, Dict[str, str]]":
    """Sections as a config file's text, and those values that have to go behind --set: in a file ; and # would begin a comment."""
    lines: List[str] = []
    rest: Dict[str, str] = {}
    for section, members in config.items():
        lines.append(f"[{section}]")
        for key, value in _flatten({section: members}).items():
            if re.search(r"(^|[ \t])[;#]", value):
                rest[key] = value
            else:
                lines.append(f"{key[len(section) + 1:]} = {value}")
    return "\n".join(lines) + "\n", rest


# ---- the process ----

LINE = re.compile(r"\S+ (INFO|WARN|ERROR) +(.*)")
LAYER = re.compile(r"(.+?) layer \d+ \((\d+) of (\d+)\)")


def _parse(line: str) -> Optional[Progress]:
    found = LINE.match(line)
    if not found:
        return None
    level, text = found.groups()
    layer = LAYER.match(text)
    return Progress(level, text, layer.group(1), int(layer.group(2)), int(layer.group(3))) if layer else Progress(level, text)


class _Bar:
    """Progress on standard error: one rewritten line on a terminal, warnings and failures everywhere."""

    def __init__(self, to: IO[str]) -> None:
        self.to, self.rewrites, self.used = to, to.isatty(), 0

    def __call__(self, now: Progress) -> None:
        if now.level != "INFO":
            self.end()
            print(f"{now.level}: {now.text}", file=self.to, flush=True)
        elif self.rewrites:
            text = now.text[:shutil.get_terminal_size().columns - 1]
            print("\r" + text + " " * max(0, self.used - len(text)), end="", file=self.to, flush=True)
            self.used = len(text)

    def end(self) -> None:
        if self.used:
            print(file=self.to, flush=True)
        self.used = 0


def _follow(stream: IO[str], lines: List[str], tell: Optional[Callable[[Progress], None]], broken: List[BaseException]) -> None:
    """Reads a log to its end, whatever the caller's function does: a full pipe would stop the job."""
    for line in stream:
        lines.append(line)
        now = _parse(line)
        if now and tell and not broken:
            try:
                tell(now)
            except BaseException as error:
                broken.append(error)


def _end(process: "subprocess.Popen[str]") -> None:
    """Asks the job to stop: it writes a restart file and ends; a second interrupt ends it at once."""
    try:
        process.send_signal(signal.SIGUSR1)
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _execute(command: Sequence[str], text: Optional[str], tell: Optional[Callable[[Progress], None]], cwd: Optional[Path],
             env: Optional[Mapping[str, str]]) -> "tuple[int, str, str]":
    """Runs a command; returns exit code, standard output, log."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", cwd=cwd, env={**os.environ, **env} if env else None, start_new_session=True)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.filename or command[0]}: no such program; `program` and `mpirun` say which to start") from None
    assert process.stdout and process.stderr
    out: List[str] = []
    log: List[str] = []
    broken: List[BaseException] = []
    readers = [threading.Thread(target=_follow, args=(process.stdout, out, None, []), daemon=True),
               threading.Thread(target=_follow, args=(process.stderr, log, tell, broken), daemon=True)]
    for reader in readers:
        reader.start()
    try:
        if text is not None:
            assert process.stdin
            try:
                process.stdin.write(text)
                process.stdin.close()
            except BrokenPipeError:
                pass  # the program ended before it read: its message says why
        while process.poll() is None and not broken:
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                pass
    except BaseException:
        _end(process)
        raise
    if broken:
        _end(process)
        raise broken[0]
    for reader in readers:
        reader.join()
    return process.returncode, "".join(out), "".join(log)


def _judge(code: int, log: str) -> None:
    if code == 0:
        return
    known = [now for now in map(_parse, log.splitlines()) if now and now.level == "ERROR"]
    message = known[-1].text if known else log.strip() or "the job ended without a message"
    raise (Stopped if code == STOPPED else JobError)(code, message, log)


def _named(table: str, name: str, cwd: Optional[Path]) -> Optional[str]:
    """The path that the last line of the table of that name tells, as seen from here."""
    found = re.findall(rf"^{name} {{2,}}(.+?)(?: \([\d.,]+ \w+\))?$", table, re.M)
    return os.path.join(os.fspath(cwd) if cwd is not None else "", found[-1]) if found else None


def run(config: Union[Path, Settings], ranks: Optional[int] = None, *, to: Optional[Path] = None, fresh: bool = False,
        progress: Union[bool, Callable[[Progress], None]] = True, program: Path = "olica_mpi", mpirun: Union[Path, Sequence[str]] = "mpirun",
        cwd: Optional[Path] = None, env: Optional[Mapping[str, str]] = None, **settings: Mapping[str, Any]) -> Job:
    """Runs a job and waits for its end.

    `config` is a config file, or sections with their settings: {"model": {"path": "llama-7b"}, ...}. `settings` override it, section by
    section: prune={"sparsity": 0.3}, evaluate={"text": ["wikitext2:test.txt", "ptb:ptb.txt"]}. True and False become yes and no, a list
    becomes words with commas; paths in them are relative to `cwd`, those in a file to that file. `to` is --output: where
    checkpoint and report go. `ranks` None starts the program without mpirun, on one rank; `mpirun` may have options of its own:
    ["mpirun", "--oversubscribe"]. `env` is added to the environment.

    `progress` True shows it on standard error; a function is called with each line of the log (`Progress`), in another thread: what it
    raises stops the job.

    Raises JobError with the program's message and exit code; Stopped where it left a restart file. An interrupt (Ctrl-C) stops the job at
    the next layer with a restart file, a second one ends it at once."""
    text: Optional[str] = None
    overrides: Dict[str, str] = {}
    if isinstance(config, Mapping):
        name = "-"
        text, overrides = _divide(config)
    else:
        name = os.fspath(config)
    overrides.update(_flatten(settings))
    command = [] if ranks is None else [*([os.fspath(mpirun)] if isinstance(mpirun, (str, os.PathLike)) else mpirun), "-n", str(int(ranks))]
    command += [os.fspath(program)]
    for key, value in overrides.items():
        command += ["--set", f"{key}={value}"]
    command += ["--output", os.fspath(to)] if to is not None else []
    command += ["--fresh"] if fresh else []
    command.append(name)
    bar = _Bar(sys.stderr) if progress is True else None
    code, table, log = _execute(command, text, bar or (progress if callable(progress) else None), cwd, env)
    if bar:
        bar.end()
    _judge(code, log)
    compares = re.search(r"^method +sparsity +reached", table, re.M) is not None
    return Job(command, table, log, _named(table, "report", cwd), None if compares else _named(table, "checkpoint", cwd))


def _ask(arguments: Iterable[str], program: Path, env: Optional[Mapping[str, str]]) -> Dict[str, Any]:
    code, answer, log = _execute([os.fspath(program), *arguments, "--json"], None, None, None, env)
    _judge(code, log)
    return dict(json.loads(answer))


def inspect(path: Path, *, program: Path = "olica_mpi", env: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """What `olica_mpi --inspect` says of a checkpoint, a model's directory, an export, a GGUF file, saved statistics or a report."""
    return _ask(["--inspect", os.fspath(path)], program, env)


def diff(a: Path, b: Path, *, program: Path = "olica_mpi", env: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """What `olica_mpi --diff` says of two of them."""
    return _ask(["--diff", os.fspath(a), os.fspath(b)], program, env)
