"""How a job is started: processes that MPI has not joined are refused, and what Open MPI lacks is named at the start."""
import json, os, subprocess

import pytest

from helpers import BINARY, DEMO, HANGS, environment, mpirun, write_config

USAGE, IO = 2, 4


def evaluation(directory):
    return write_config(directory / "e.ini", {"model": {"path": DEMO}, "prune": {"method": "none"},
                                              "evaluate": {"tokens": DEMO / "evaluation.npy", "windows": 2}, "output": {"report": directory / "r.json", "overwrite": "yes"}})


def alone(*arguments, **env):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=HANGS, env=environment(**env))


STEP = {"SLURM_JOB_ID": 7, "SLURM_STEP_ID": 0, "SLURM_NTASKS": 4, "SLURM_STEP_NUM_TASKS": 4, "SLURM_LOCALID": 0, "SLURM_TASKS_PER_NODE": 4}


def test_tasks_of_a_step_that_are_alone(tmp_path):
    """srun without PMI. Each of them ends, the first one says why, and nothing is written."""
    config = evaluation(tmp_path)
    for rank in range(2):
        done = alone(config, **STEP, SLURM_PROCID=rank)
        assert done.returncode == USAGE and not done.stdout, done.stderr
        assert ("srun has started 4 tasks" in done.stderr and "mpirun" in done.stderr) == (rank == 0), done.stderr
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("marks", [{"PMI_SIZE": 4, "PMI_RANK": 0}, {"FLUX_JOB_SIZE": 2, "FLUX_TASK_RANK": 0}, {"MV2_COMM_WORLD_SIZE": 2},
                                   {"JSM_NAMESPACE_SIZE": 6, "JSM_NAMESPACE_RANK": 0}], ids=lambda marks: next(iter(marks)))
def test_tasks_of_other_launchers(tmp_path, marks):
    done = alone(evaluation(tmp_path), **marks)
    assert done.returncode == USAGE and f"({next(iter(marks))})" in done.stderr, done.stderr


def test_what_is_no_step_of_several_tasks(tmp_path):
    """A batch script of four tasks, srun -n 1, a farm of jobs; mpirun inside a step."""
    config = evaluation(tmp_path)
    batch = {"SLURM_JOB_ID": 7, "SLURM_NTASKS": 4, "SLURM_PROCID": 0, "SLURM_TASKS_PER_NODE": 4}
    for env in batch, {**batch, "SLURM_STEP_ID": 1, "SLURM_STEP_NUM_TASKS": 1}, {**STEP, "OLICA_ALONE": 1}:
        done = alone("--quiet", config, **env)
        assert done.returncode == 0, (env, done.stderr)
        assert json.loads((tmp_path / "r.json").read_text())["status"] == "ok"
    done = mpirun(1, "--quiet", config, env={"SLURM_STEP_NUM_TASKS": 4})
    assert done.returncode == 0, done.stderr


def test_questions_may_be_asked_in_a_step(tmp_path):
    config = evaluation(tmp_path)
    for arguments in ["--help"], ["--check", config], ["--tokenize", DEMO, config]:
        done = alone(*arguments, **STEP, SLURM_PROCID=0)
        assert done.returncode == 0 and done.stdout, done.stderr


def test_a_directory_that_open_mpi_cannot_use(tmp_path):
    """Its own message names no reason. A file is none, for the superuser too."""
    (tmp_path / "file").touch()
    done = alone("--check", evaluation(tmp_path), TMPDIR=tmp_path / "file" / "x")
    assert done.returncode == IO and "set TMPDIR" in done.stderr and "file/x" in done.stderr, done.stderr


def pruning(directory, **settings):
    return write_config(directory / "p.ini", {"model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 8, "length": 16},
                                              "prune": {"mlp_num": 1}, "output": {"checkpoint": "p.h5", "report": "", "overwrite": "yes"}, **settings})


def in_mounts(make, *command):
    """A command with mounts of its own."""
    return subprocess.run(["unshare", "-m", "sh", "-c", f'{make} || exit 99; exec "$@"', "sh", *map(str, command)], capture_output=True, text=True,
                          timeout=HANGS, env=environment(OMPI_MCA_mpi_yield_when_idle=1))


def refuses_its_shared_memory(done, directory):
    assert done.returncode == IO and f"share memory in {directory}, but it cannot be written to" in done.stderr, done.stderr
    assert "survey layer" not in done.stderr


def test_shared_memory_that_cannot_be_written_to(tmp_path):
    """Named before the first layer, and by --check. One rank needs none: it prunes."""
    config, make = pruning(tmp_path), "mount -t tmpfs -o size=64m,ro none /dev/shm"
    if in_mounts(make, "true").returncode:
        pytest.skip("skipped: no mounts of one's own here")
    for arguments in [], ["--check"]:
        done = in_mounts(make, "mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", BINARY, *arguments, config)
        refuses_its_shared_memory(done, "/dev/shm")
    assert not (tmp_path / "p.h5").exists()
    done = in_mounts(make, BINARY, config)
    assert done.returncode == 0 and (tmp_path / "p.h5").exists(), done.stderr


def test_shared_memory_that_is_not_there(tmp_path):
    done = mpirun(2, pruning(tmp_path), env={"OMPI_MCA_osc_sm_backing_directory": tmp_path / "none"})
    refuses_its_shared_memory(done, tmp_path / "none")
    assert not (tmp_path / "p.h5").exists()


ROMIO = {"OMPI_MCA_io": "romio321"}


@pytest.mark.parametrize("setting", ["checkpoint", "directory", "save"])
def test_a_colon_under_romio(tmp_path, setting):
    """It would open another file. Said before the work, and by --check; where the job stands in the directory there is no colon."""
    folder = tmp_path / ("2024-05-01T12:00:00" if setting == "directory" else "plain")
    folder.mkdir()
    config = pruning(folder, calibration={"tokens": DEMO / "calibration.npy", "samples": 8, "length": 16, "save": "s:1.h5" if setting == "save" else ""},
                     output={"checkpoint": "p:1.h5" if setting == "checkpoint" else "p.h5", "report": "r:1.json"})
    named = "[calibration] save" if setting == "save" else "[output] checkpoint"
    for ranks, arguments in (2, []), (1, ["--check"]):
        done = mpirun(ranks, *arguments, config, env=ROMIO)
        assert done.returncode == USAGE and f"{named}: " in done.stderr and "has a colon" in done.stderr, done.stderr
        assert "survey layer" not in done.stderr
    assert not list(folder.glob("*.h5*"))
    done = mpirun(2, "p.ini", cwd=folder, env=ROMIO if setting == "directory" else {})
    assert done.returncode == 0 and list(folder.glob("p*.h5")), done.stderr
