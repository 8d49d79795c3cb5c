"""The scripts in jobs/, with stand-ins for mpirun and the batch systems' commands: what is started, what signals reach
it, when a job is queued again, with which exit code it ends. `make check-slurm` has the same under a real Slurm."""
import os, re, signal, subprocess, time

import pytest
from helpers import BINARY, ROOT

JOBS = ROOT / "jobs"
SLURM = {"SLURM_JOB_ID": "17", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "3"}
LSF = {"LSB_JOBID": "17", "LSB_MCPU_HOSTS": "a 4 b 4", "THREADS": "3"}

# The plan (--check) ends with $PLAN. The job ends with $CODE, or waits for SIGUSR1 and ends with 75.
MPIRUN = """
case " $* " in *" --check "*) exit ${PLAN:-0} ;; esac
if [ "$CODE" != wait ]; then exit $CODE; fi
trap 'echo USR1 >>"$CALLS"; sleep 0.3; exit 75' USR1
while :; do sleep 0.1; done"""
COMMANDS = {"mpirun": MPIRUN, "scontrol": "", "qsub": "\necho 18", "sbatch": "\necho '18;here'",
            "squeue": "\necho 2030-01-02T03:04:05"}


class Batch:
    """A directory with the stand-ins in front on the PATH; each call is a line of `calls`."""

    def __init__(self, directory, **variables):
        self.directory, self.calls_file = directory, directory / "calls"
        for name, does in COMMANDS.items():
            (directory / name).write_text(f'#!/bin/bash\necho "{name} $*" >>"$CALLS"{does}\n')
            (directory / name).chmod(0o755)
        (directory / "nodes").write_text("a\na\na\na\nb\nb\nb\nb\n")
        pbs = {"PBS_O_WORKDIR": directory, "PBS_NODEFILE": directory / "nodes", "PBS_JOBID": "17", "OMP_NUM_THREADS": "3"}
        self.env = {"PATH": f"{directory}:/usr/bin:/bin", "CALLS": self.calls_file, "TZ": "UTC", "OUT": directory / "out",
                    **SLURM, **LSF, **pbs, **variables}

    def start(self, script, *arguments):
        return subprocess.Popen([JOBS / script, *arguments], cwd=self.directory, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={k: str(v) for k, v in self.env.items()})

    def run(self, script, *arguments):
        process = self.start(script, *arguments)
        text, _ = process.communicate(timeout=60)
        return process.returncode, text

    def run_signalled(self, script, number):
        """Signals the script when the job's mpirun has begun, as a batch system does."""
        process = self.start(script)
        deadline = time.time() + 60
        while len(self.calls("mpirun")) < 2 and time.time() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(process.pid, number)
        text, _ = process.communicate(timeout=60)
        return process.returncode, text

    def calls(self, name):
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.split()[0] == name]


@pytest.mark.parametrize("script", ["slurm.sh", "pbs.sh", "lsf.sh"])
def test_runs_once_and_ends_with_the_programs_code(script, tmp_path):
    batch = Batch(tmp_path, CODE=3, SPARSITY="0.4", STATISTICS="/s.h5")
    code, text = batch.run(script)
    assert code == 3 and "exit 3" in text, text
    plan, job = batch.calls("mpirun")
    assert plan.startswith("mpirun -n 1 olica_mpi ") and "--check --ranks 8 --ranks-per-node 4 config.ini" in plan
    assert "-n 8 " in job and "--map-by ppr:4:node:PE=3" in job and job.endswith(" config.ini")
    for line in (plan, job):
        for setting in ("prune.sparsity=0.4", "compute.threads=3", "calibration.save=/s.h5",
                        f"output.checkpoint={tmp_path}/out/pruned.h5"):
            assert f"--set {setting} " in line
    assert not batch.calls("scontrol") and not batch.calls("qsub")


@pytest.mark.parametrize("script", ["slurm.sh", "pbs.sh", "lsf.sh"])
def test_a_plan_that_fails_ends_the_job(script, tmp_path):
    batch = Batch(tmp_path, CODE=0, PLAN=2)
    assert batch.run(script)[0] == 2 and len(batch.calls("mpirun")) == 1


def test_slurm_is_asked_when_the_job_ends(tmp_path):
    batch = Batch(tmp_path, CODE=0)
    (tmp_path / "mpirun").write_text('#!/bin/bash\necho "mpirun $SLURM_JOB_END_TIME" >>"$CALLS"\n')
    batch.run("slurm.sh")
    assert batch.calls("mpirun")[1] == "mpirun 1893553445"


def test_slurm_queues_again_what_was_signalled(tmp_path):
    batch = Batch(tmp_path, CODE="wait")
    code, text = batch.run_signalled("slurm.sh", signal.SIGUSR1)
    assert code == 75 and batch.calls("USR1") == ["USR1"], text
    assert batch.calls("scontrol") == ["scontrol requeue 17"]
    assert [line.split(": ", 1)[1] for line in text.splitlines()] == [
        "starts; has been queued again 0 times", "signalled: USR1", "exit 75", "requeued"]


def test_slurm_leaves_a_cancelled_job_alone(tmp_path):
    batch = Batch(tmp_path, CODE="wait")
    code, text = batch.run_signalled("slurm.sh", signal.SIGTERM)
    assert code == 75 and batch.calls("USR1") == ["USR1"] and not batch.calls("scontrol"), text


@pytest.mark.parametrize("count, again", [(0, True), (4, True), (5, False)])
def test_slurm_gives_up_some_day(count, again, tmp_path):
    batch = Batch(tmp_path, CODE=75, RESTARTS=5, SLURM_RESTART_COUNT=count)
    assert batch.run("slurm.sh")[0] == 75 and bool(batch.calls("scontrol")) == again


def test_slurm_array(tmp_path):
    """The submitter, and the tasks that it submits: each has a sparsity and a directory of its own."""
    batch = Batch(tmp_path, OUTS=tmp_path, CONFIG="/c.ini")
    code, text = batch.run("slurm-array.sh", "0.1", "0.25", "0.4")
    first, others = batch.calls("sbatch")
    assert code == 0 and "--array=0 " in first and "--dependency" not in first, text
    assert "--array=1-2%4 " in others and "--dependency=afterok:18 --kill-on-invalid-dep=yes" in others
    task = Batch(tmp_path, OUTS=tmp_path, SPARSITIES="0.1 0.25 0.4", SLURM_ARRAY_TASK_ID=1, CODE=0)
    assert task.run("slurm.sh")[0] == 0
    assert f"--set prune.sparsity=0.25 " in task.calls("mpirun")[1]
    assert f"--set output.report={tmp_path}/olica-0.25/report.json " in task.calls("mpirun")[1]
    assert batch.run("slurm-array.sh")[0] == 2


@pytest.mark.parametrize("count, again", [(0, True), (5, False)])
def test_pbs_submits_itself_again(count, again, tmp_path):
    batch = Batch(tmp_path, CODE=75, RESTARTED=count, RESTARTS=5, MINUTES=95)
    assert batch.run("pbs.sh")[0] == 75
    assert "--set run.walltime=01:35:00 " in batch.calls("mpirun")[1]
    assert [line.split()[-1] for line in batch.calls("qsub")] == ["jobs/pbs.sh"] * again


def test_lsf_hands_the_signal_on(tmp_path):
    batch = Batch(tmp_path, CODE="wait")
    code, text = batch.run_signalled("lsf.sh", signal.SIGUSR1)
    assert code == 75 and batch.calls("USR1") == ["USR1"], text
    assert '#BSUB -Q "75"' in (JOBS / "lsf.sh").read_text()


def test_the_settings_are_the_programs():
    listed = subprocess.run([BINARY, "--list"], capture_output=True, text=True, check=True).stdout
    sections = re.split(r"\n\[(\w+)\]\n", listed)
    known = {f"{s}.{key}" for s, body in zip(sections[1::2], sections[2::2]) for key in re.findall(r"^  (\w+) =", body, re.M)}
    used = {key for script in JOBS.glob("*.sh") for key in re.findall(r'--set "?([a-z_]+\.[a-z_]+)=', script.read_text())}
    assert used and used <= known
