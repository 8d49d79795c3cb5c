"""What a job says while it runs: lines with time and level in a batch log, one line that is rewritten on a terminal."""
import fcntl, os, pty, re, select, struct, subprocess, termios, time

import pytest

from helpers import BINARY, environment, mpirun, write_config
from tiny_model import make_ids, make_model

STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO |WARN |ERROR) \S.*")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("log")
    make_model(directory / "model", layers=3)
    return write_config(directory / "job.ini", {
        "model": {"path": "model"}, "calibration": {"tokens": make_ids(directory / "calibration.npy"), "samples": 6, "length": 8},
        "prune": {"mlp_num": 1}, "evaluate": {"tokens": make_ids(directory / "evaluation.npy", seed=2), "length": 8},
        "output": {"overwrite": "yes"}})


def on_terminal(command, columns, **env):
    """Standard error of a command that has a terminal there, of a job that goes well."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=slave, env=environment(**env))
    os.close(slave)
    text = b""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last one has closed it
            break
        if not piece:
            break
        text += piece
    os.close(master)
    assert process.wait(60) == 0, text.decode()
    return text.decode()


def test_plain_lines_in_a_batch_log(config):
    done = mpirun(2, config)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and all(STAMPED.fullmatch(line) for line in lines), done.stderr
    for what in "survey", "prune":
        steps = [line for line in lines if f" INFO  {what} layer " in line]
        assert [f"{what} layer {i} of 3" in line for i, line in enumerate(steps, 1)] == [True] * 3, done.stderr
        assert all("left in this sweep" in line for line in steps)
    assert "\033" not in done.stderr and "\r" not in done.stderr
    assert done.stdout.startswith("-----") and "wall" in done.stdout


def test_quiet(config):
    done = mpirun(1, "--quiet", config)
    assert done.returncode == 0 and done.stderr == "" and "dense" in done.stdout
    failed = mpirun(2, "--quiet", "--set", "model.path=nowhere", config)
    assert failed.returncode == 3 and re.fullmatch(r"\S+Z ERROR olica_mpi: input error: .*nowhere.*", failed.stderr.splitlines()[0])


@pytest.mark.parametrize("launcher", [[], ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2"]], ids=["alone", "mpirun"])
def test_a_terminal(launcher, config):
    """Also behind mpirun, which hands its ranks a pipe and copies what comes to its own terminal."""
    columns = 72
    said = on_terminal([*launcher, BINARY, config], columns, TERM="xterm")
    for what in "survey", "prune":
        assert re.search(rf"\r\x1b\[K{what} layer 3/3 \[#+\] 100% \d+ s left", said), said
    assert "INFO  survey layer" not in said and "INFO  prune layer" not in said
    drawn = [piece for piece in re.split(r"\r|\n", re.sub(r"\x1b\[[0-9]*[mK]", "", said)) if " left" in piece]
    assert drawn and all(len(piece) < columns for piece in drawn)
    assert re.search(r"INFO  dense perplexity", said)  # the other lines of the log go above
    dumb = on_terminal([*launcher, BINARY, config], columns, TERM="dumb")
    assert "\x1b" not in dumb and "INFO  prune layer 3 of 3" in dumb
