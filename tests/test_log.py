"""The output of a running job: lines with time and level in a batch log, one line that is redrawn on a terminal."""
import fcntl, json, os, pty, re, select, struct, subprocess, termios, time

import numpy as np
import pytest

from helpers import BINARY, HANGS, environment, mpirun, write_config
from tiny_model import CONFIG, make_ids, make_model

STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO |WARN |ERROR) \S.*")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("log")
    make_model(directory / "model", layers=3)
    return write_config(directory / "job.ini", {
        "model": {"path": "model"}, "calibration": {"tokens": make_ids(directory / "calibration.npy"), "samples": 6, "length": 8},
        "prune": {"mlp_num": 1, "ratio": 0.2}, "evaluate": {"tokens": make_ids(directory / "evaluation.npy", seed=2), "length": 8},
        "output": {"overwrite": "yes"}})


def on_terminal(command, columns, **env):
    """Standard error of a command that has a terminal there, of a job that goes well."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=slave, env=environment(**env))
    os.close(slave)
    text = b""
    until = time.monotonic() + HANGS
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
        assert [f"{what} layer {i} ({i + 1} of 3)" in line for i, line in enumerate(steps)] == [True] * 3, done.stderr
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
    assert "\x1b" not in dumb and "INFO  prune layer 2 (3 of 3)" in dumb


# ---- warnings: each is said once, and counted, whichever ranks have seen it ----

LAYERS = 3


def warnings(directory, ranks, model, env=None, **sections):
    """The warnings of a job's report as {text: count}, which are those of its log and of its table."""
    model = {k: v for k, v in model.items() if v is not None}
    make_model(directory / "model", layers=LAYERS, tensors=model)
    config = write_config(directory / "job.ini", {
        "model": {"path": "model"}, "output": {"overwrite": "yes"},
        "calibration": {"tokens": make_ids(directory / "calibration.npy"), "samples": 6, "length": 8},
        "prune": {"mlp_num": 1, "ratio": 0.2} | sections.pop("prune", {}), **sections})
    done = mpirun(ranks, config, env=env)
    assert done.returncode == 0, done.stderr
    found = {w["text"]: w["count"] for w in json.loads((directory / "report.json").read_text())["warnings"]}
    said = re.findall(r"Z WARN  (.*)", done.stderr)
    assert sorted(said) == sorted(found), done.stderr
    for text, count in found.items():
        assert f"{count} x  {text[:70]}" in done.stdout, done.stdout
    return {text: count for text, count in found.items() if not text.startswith("ranks x threads")}


def zero(name, at):
    """Rows of one weight of every layer are zero."""
    d, f = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shape = {"gate_proj": (f, d), "down_proj": (d, f)}[name]
    out = {}
    for i in range(LAYERS):
        w = np.random.default_rng(i).normal(0, 0.2, shape)
        w[at] = 0
        out[f"model.layers.{i}.mlp.{name}.weight"] = w
    return out


@pytest.mark.parametrize("ranks", [1, 3])
def test_no_warnings_of_a_healthy_model(ranks, tmp_path):
    assert warnings(tmp_path, ranks, {}) == {}


@pytest.mark.parametrize("ranks", [1, 3])
def test_channels_without_energy(ranks, tmp_path):
    [(text, count)] = warnings(tmp_path, ranks, zero("gate_proj", [3, 7])).items()
    assert "no energy" in text and count == 2 * LAYERS
    layers = json.loads((tmp_path / "report.json").read_text())["layers"]
    assert [layer["silent_channels"] for layer in layers] == [2] * LAYERS


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("eigen", ["lapack", "scalapack"])
def test_constant_columns(ranks, eigen, tmp_path):
    [(text, count)] = warnings(tmp_path, ranks, zero("down_proj", [5]), solver={"eigen": eigen}).items()
    assert "constant" in text and count == LAYERS + 1  # a fit of every layer, and that of the branch


@pytest.mark.parametrize("ranks, eigen", [(1, "lapack"), (3, "lapack"), (4, "scalapack")])
def test_damping_retried(ranks, eigen, tmp_path):
    """Twelve tokens give no Gram of 16 channels, and in fp32 one that is off by more than this damping."""
    found = warnings(tmp_path, ranks, {}, prune={"percdamp": 1e-15}, solver={"eigen": eigen},
                     calibration={"tokens": make_ids(tmp_path / "short.npy", 6, 2), "samples": 6, "length": 2})
    [count] = [count for text, count in found.items() if "delta is raised" in text]
    assert 1 <= count <= 40


def test_more_threads_than_cores(config):
    done = mpirun(1, "--set", f"compute.threads={os.cpu_count() + 1}", config)
    assert done.returncode == 0 and done.stderr.count("WARN  ranks x threads on a node are more than its cores") == 1
    done = mpirun(os.cpu_count() + 1, config)
    assert re.search(r"\n +1 x  ranks x threads", done.stdout), done.stdout  # of one node


# /dev/shm stays what it is: shared memory lies there.
SHIM = """#include <dlfcn.h>
#include <string.h>
#include <sys/vfs.h>
#define LIE(NAME) int NAME(const char *path, struct NAME *info) { \\
  int (*real)(const char *, struct NAME *) = (int (*)(const char *, struct NAME *))dlsym(RTLD_NEXT, #NAME); \\
  int failed = real(path, info); \\
  if (strncmp(path, "/dev/shm", 8) != 0) info->f_type = TYPE; \\
  return failed; }
LIE(statfs)
LIE(statfs64)
"""


@pytest.mark.parametrize("name, kind", [("NFS", "0x6969"), ("Lustre", "0x0bd00bd0")])
def test_network_file_system(name, kind, tmp_path):
    """A system that says that all its files but those of /dev/shm lie on one."""
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", f"-DTYPE={kind}", "-o", tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    env = {"LD_PRELOAD": tmp_path / "shim.so", "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    found = warnings(tmp_path, 2, {}, env=env)
    [(text, count)] = found.items()
    assert f"network file system, {name}: " in text and count == 1
