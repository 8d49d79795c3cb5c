"""The scripts in jobs/, with stand-ins for mpirun and the batch systems' commands: what is started, what signals reach
it, when a job is queued again, with which exit code it ends. `make check-slurm` has the same under a real Slurm."""
import os, re, signal, subprocess, time

import pytest
from helpers import BINARY, HANGS, ROOT

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
            "squeue": "\necho 2030-01-02T03:04:05", "qstat": "\ncat qstat.txt"}
# What qstat -f tells: its long lines go on after a tab.
QSTAT = """Job Id: 17.here
    Job_Name = my job
    Account_Name = me
    project = _pbs_project_default
    Resource_List.place = scatter:excl
    Resource_List.select = 4:ncpus=64:mpiprocs=
\t16:ompthreads=4
    Resource_List.walltime = 08:00:00
"""
SCRIPTS = ["slurm.sh", "pbs.sh", "lsf.sh"]


class Batch:
    """A directory with the stand-ins in front on the PATH; each call is a line of `calls`."""

    def __init__(self, directory, **variables):
        self.directory, self.calls_file = directory, directory / "calls"
        for name, does in COMMANDS.items():
            (directory / name).write_text(f'#!/bin/bash\necho "{name} $*" >>"$CALLS"{does}\n')
            (directory / name).chmod(0o755)
        (directory / "nodes").write_text("a\na\na\na\nb\nb\nb\nb\n")
        (directory / "config.ini").write_text("[calibration]\nsave =   ; nothing\n[prune]\nsparsity = 0.4\n")
        (directory / "qstat.txt").write_text(QSTAT)
        (directory / "jobs").mkdir(exist_ok=True)
        (directory / "jobs" / "pbs.sh").touch()
        pbs = {"PBS_O_WORKDIR": directory, "PBS_NODEFILE": directory / "nodes", "PBS_JOBID": "17", "OMP_NUM_THREADS": "3"}
        self.env = {"PATH": f"{directory}:/usr/bin:/bin", "CALLS": self.calls_file, "TZ": "UTC",
                    **SLURM, **LSF, **pbs, **variables}

    def start(self, script, *arguments):
        return subprocess.Popen([JOBS / script, *arguments], cwd=self.directory, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={k: str(v) for k, v in self.env.items()})

    def run(self, script, *arguments):
        process = self.start(script, *arguments)
        text, _ = process.communicate(timeout=HANGS)
        return process.returncode, text

    def run_signalled(self, script, number):
        """Signals the script when the job's mpirun has begun, as a batch system does."""
        process = self.start(script)
        deadline = time.time() + HANGS
        while len(self.calls("mpirun")) < 2 and time.time() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(process.pid, number)
        text, _ = process.communicate(timeout=HANGS)
        return process.returncode, text

    def calls(self, name):
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.split()[0] == name]


def sets(line):
    return re.findall(r"--set (\S+)", line)


@pytest.mark.parametrize("script", SCRIPTS)
def test_runs_once_and_ends_with_the_programs_code(script, tmp_path):
    batch = Batch(tmp_path, CODE=3, SPARSITY="0.4", STATISTICS="/s.h5", OUT=tmp_path / "out")
    code, text = batch.run(script)
    assert code == 3 and "exit 3" in text, text
    plan, job = batch.calls("mpirun")
    assert plan.startswith("mpirun -n 1 olica_mpi ") and "--check --ranks 8 --ranks-per-node 4 config.ini" in plan
    assert "-n 8 " in job and "--map-by ppr:4:node:PE=3" in job and job.endswith(" config.ini")
    for line in (plan, job):
        for setting in ("prune.sparsity=0.4", "calibration.save=/s.h5",
                        f"output.checkpoint={tmp_path}/out/pruned.h5", f"output.report={tmp_path}/out/report.json"):
            assert f"--set {setting} " in line
    assert not batch.calls("scontrol") and not batch.calls("qsub")


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_not_named_stays_as_the_config_says(script, tmp_path):
    """No setting at all goes over the config file's; each variable that is given brings its own and no other."""
    for variables, expected in (
            ({}, []), ({"SPARSITY": "0.1"}, ["prune.sparsity=0.1"]),
            ({"STATISTICS": "s.h5"}, [f"calibration.save={tmp_path}/s.h5"]), ({"STATISTICS": "none"}, ["calibration.save="]),
            ({"OUT": "here"}, [f"output.checkpoint={tmp_path}/here/pruned.h5", f"output.report={tmp_path}/here/report.json"])):
        batch = Batch(tmp_path, CODE=0, **variables)
        assert batch.run(script)[0] == 0
        assert [sets(line) for line in batch.calls("mpirun")] == [expected] * 2
        batch.calls_file.unlink()


@pytest.mark.parametrize("script", SCRIPTS)
def test_threads_and_the_environment(script, tmp_path):
    """Ranks get the number of threads and sleeping waits by the environment; what the user has set there stays."""
    show = '#!/bin/bash\necho "mpirun $OMP_NUM_THREADS $OMP_WAIT_POLICY $*" >>"$CALLS"\n'
    for variables, expected in (({}, "3 passive"), ({"OMP_WAIT_POLICY": "active"}, "3 active"), ({"OMP_NUM_THREADS": "2"}, "2 passive")):
        batch = Batch(tmp_path, **variables)
        if not variables.get("OMP_NUM_THREADS") and script != "pbs.sh":  # PBS gives it itself
            del batch.env["OMP_NUM_THREADS"]
        (tmp_path / "mpirun").write_text(show)
        code, text = batch.run(script)
        plan, job = batch.calls("mpirun")
        assert code == 0 and all(line.startswith(f"mpirun {expected} ") for line in (plan, job)), (plan, job)
        assert "-x OMP_NUM_THREADS -x OMP_WAIT_POLICY " in job
        assert ("OMP_NUM_THREADS=2, as in the environment" in text) == ("OMP_NUM_THREADS" in variables and script != "pbs.sh")
        batch.calls_file.unlink()


@pytest.mark.parametrize("script", SCRIPTS)
def test_spaces_in_paths(script, tmp_path):
    here = tmp_path / "my jobs"
    here.mkdir()
    batch = Batch(here, OUT="the out", STATISTICS="the statistics.h5", CONFIG="the config.ini", PLAN=0)
    (here / "mpirun").write_text('#!/bin/bash\nprintf "mpirun|" >>"$CALLS"; printf "%s|" "$@" >>"$CALLS"; echo >>"$CALLS"\n')
    (here / "the config.ini").touch()
    code, text = batch.run(script)
    assert code == 0, text
    for line in batch.calls_file.read_text().splitlines():
        if line.startswith("mpirun|"):
            assert f"|--set|output.checkpoint={here}/the out/pruned.h5|" in line and f"|--set|calibration.save={here}/the statistics.h5|" in line
            assert line.endswith("|the config.ini|")
    assert (here / "the out").is_dir()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_missing_config_file_is_named(script, tmp_path):
    batch = Batch(tmp_path, CODE=0, CONFIG="llama.ini", OUT="out")
    code, text = batch.run(script)
    assert code == 2 and f"no config file llama.ini in {tmp_path}; CONFIG=FILE names it" in text
    assert not batch.calls("mpirun") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_plan_that_fails_ends_the_job(script, tmp_path):
    batch = Batch(tmp_path, CODE=0, PLAN=2)
    assert batch.run(script)[0] == 2 and len(batch.calls("mpirun")) == 1


def test_slurm_is_asked_when_the_job_ends(tmp_path):
    batch = Batch(tmp_path, CODE=0)
    (tmp_path / "mpirun").write_text('#!/bin/bash\necho "mpirun $SLURM_JOB_END_TIME" >>"$CALLS"\n')
    batch.run("slurm.sh")
    assert batch.calls("mpirun")[1] == "mpirun 1893553445"


@pytest.mark.parametrize("end", ["", "NONE", "N/A"])
def test_slurm_knows_no_end(end, tmp_path):
    """Without one the variable is not made up: the program would take it for one that has passed."""
    batch = Batch(tmp_path, CODE=0)
    (tmp_path / "squeue").write_text(f"#!/bin/sh\necho '{end}'\n")
    (tmp_path / "mpirun").write_text('#!/bin/bash\necho "mpirun ${SLURM_JOB_END_TIME-unset}" >>"$CALLS"\n')
    assert batch.run("slurm.sh")[0] == 0 and batch.calls("mpirun")[1] == "mpirun unset"


def test_slurm_ranks_that_were_asked_for(tmp_path):
    batch = Batch(tmp_path, CODE=0, SLURM_NTASKS=5)
    batch.run("slurm.sh")
    plan, job = batch.calls("mpirun")
    assert "--ranks 5 --ranks-per-node 4 " in plan and "mpirun -n 5 " in job


def test_slurm_stripes_need_a_directory(tmp_path):
    batch = Batch(tmp_path, CODE=0, STRIPES=8)
    code, text = batch.run("slurm.sh")
    assert code == 2 and "STRIPES=8 wants OUT=DIRECTORY" in text and not batch.calls("mpirun")


def test_lsf_nodes_that_differ(tmp_path):
    batch = Batch(tmp_path, CODE=0, LSB_MCPU_HOSTS="a 16 b 14")
    batch.run("lsf.sh")
    plan, job = batch.calls("mpirun")
    assert "--ranks 30 --ranks-per-node 16 " in plan and "mpirun -n 30 --map-by ppr:16:node:PE=3 " in job


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


def array(batch, *sparsities):
    """What slurm-array.sh hands to its jobs: their environment, from a stand-in for sbatch that keeps it."""
    (batch.directory / "sbatch").write_text('#!/bin/bash\necho "sbatch $*" >>"$CALLS"\nenv >environment\necho 18\n')
    code, text = batch.run("slurm-array.sh", *sparsities)
    assert code == 0, text
    return dict(line.split("=", 1) for line in (batch.directory / "environment").read_text().splitlines() if "=" in line)


def test_slurm_array(tmp_path):
    """The submitter, and the tasks that it submits: each has a sparsity and a directory of its own."""
    batch = Batch(tmp_path)
    code, text = batch.run("slurm-array.sh", "0.1", "0.25", "0.4")
    first, others = batch.calls("sbatch")
    assert code == 0 and "--array=0 " in first and "--dependency" not in first, text
    assert "--array=1-2%4 " in others and "--dependency=afterok:18 --kill-on-invalid-dep=yes" in others
    given = array(batch, "0.1", "0.25", "0.4")
    task = Batch(tmp_path, SLURM_ARRAY_TASK_ID=1, CODE=0, **{k: given[k] for k in ("CONFIG", "OUTS", "STATISTICS", "SPARSITIES")})
    assert task.run("slurm.sh")[0] == 0
    assert sets(task.calls("mpirun")[1]) == [
        "prune.sparsity=0.25", f"output.checkpoint={tmp_path}/olica-0.25/pruned.h5", f"output.report={tmp_path}/olica-0.25/report.json",
        f"calibration.save={tmp_path}/statistics.h5"]
    assert batch.run("slurm-array.sh")[0] == 2


def test_slurm_array_statistics(tmp_path):
    """The config's own file is everybody's; STATISTICS= is nobody's."""
    for text, variables, expected in (
            ("[calibration]\nsave = mine.h5\n", {}, ""), ("[calibration]\nsave = mine.h5\n", {"STATISTICS": ""}, "none"),
            ("[calibration]\nsave = mine.h5\n", {"STATISTICS": "s.h5"}, f"{tmp_path}/s.h5"),
            ("[calibration]\n; save = mine.h5\n[x]\nsave = y\n", {}, f"{tmp_path}/statistics.h5")):
        batch = Batch(tmp_path, **variables)
        (tmp_path / "config.ini").write_text(text)
        assert array(batch, "0.1")["STATISTICS"] == expected


def test_slurm_array_paths_and_options(tmp_path):
    """Relative paths are made full, the user's options for sbatch go over the script's, and what would lose the sparsities is refused."""
    batch = Batch(tmp_path, CONFIG="config.ini", OUTS="o", OPTIONS="--nodes=4 --output=mine-%A.log")
    given = array(batch, "0.1")
    assert (given["CONFIG"], given["OUTS"], given["STATISTICS"]) == (f"{tmp_path}/config.ini", f"{tmp_path}/o", f"{tmp_path}/o/statistics.h5")
    assert re.search(r"--export=ALL --output=olica-%A_%a.log --nodes=4 --output=mine-%A.log --array=0 ", batch.calls("sbatch")[0])
    for variables, said in (({"OPTIONS": "--export=NONE"}, "would keep the sparsities from the jobs"), ({"CONFIG": "none.ini"}, "no config file none.ini")):
        batch.calls_file.unlink(missing_ok=True)
        refused = Batch(tmp_path, **variables)
        code, text = refused.run("slurm-array.sh", "0.1")
        assert code == 2 and said in text and not refused.calls("sbatch")


def test_slurm_compare(tmp_path):
    """The submitter; a task of its array, which has a pair and the names that a comparison gives it; the last job, which has all."""
    batch = Batch(tmp_path)
    (batch.directory / "sbatch").write_text('#!/bin/bash\necho "sbatch $*" >>"$CALLS"\n'
                                            'env | grep -E "^(CONFIG|OUTS|METHODS|SPARSITY|PAIRS)=" >"given.${PAIRS%% *}"\necho 18\n')
    code, text = batch.run("compare.sh", "olica svd-llm", "0.1 0.25")
    tasks, last = batch.calls("sbatch")
    assert code == 0 and "--array=0-3%4 " in tasks and "--dependency=afterany:18" in last and "--array" not in last, text
    given = {name: dict(line.split("=", 1) for line in (tmp_path / f"given.{name}").read_text().splitlines()) for name in ("olica.0.1", "all")}
    (tmp_path / "calls").unlink(missing_ok=True)
    for number, names, expected in ((3, "olica.0.1", ["prune.method=svd-llm", "prune.sparsity=0.25", f"output.checkpoint={tmp_path}/compare/pruned.svd-llm.0.25.h5",
                                                      f"output.report={tmp_path}/compare/report.svd-llm.0.25.json"]),
                                    ("", "all", ["prune.method=olica,svd-llm", "prune.sparsity=0.1,0.25", f"output.checkpoint={tmp_path}/compare/pruned.h5",
                                                 f"output.report={tmp_path}/compare/report.json"])):
        task = Batch(tmp_path, CODE=0, SLURM_ARRAY_TASK_ID=number, **given[names])
        task.calls_file.unlink(missing_ok=True)
        assert task.run("slurm.sh")[0] == 0
        assert sets(task.calls("mpirun")[1]) == expected
    for arguments, said in (((), "usage"), (("olica", "0.1"), "is one job")):
        code, text = batch.run("compare.sh", *arguments)
        assert code == 2 and said in text


@pytest.mark.parametrize("count, again", [(0, True), (5, False)])
def test_pbs_submits_itself_again(count, again, tmp_path):
    batch = Batch(tmp_path, CODE=75, RESTARTED=count, RESTARTS=5, MINUTES=95)
    assert batch.run("pbs.sh")[0] == 75
    assert "--set run.walltime=01:35:00 " in batch.calls("mpirun")[1]
    assert [line.split()[-1] for line in batch.calls("qsub")] == ["jobs/pbs.sh"] * again


def test_pbs_submits_what_the_user_had_asked_for(tmp_path):
    """Also what stood on qsub's command line, and the environment of the libraries."""
    batch = Batch(tmp_path, CODE=75, PBS_O_QUEUE="large", SPARSITY="0.3", OMPI_MCA_io="romio321", OPENBLAS_CORETYPE="Zen", QSUB_OPTIONS="-m e")
    (tmp_path / "jobs" / "pbs.sh").unlink()
    (tmp_path / "qsub").write_text('#!/bin/bash\n{ printf "qsub"; printf "|%s" "$@"; echo "|$SPARSITY|$RESTARTED"; } >>"$CALLS"\necho 18\n')
    code, text = batch.run("pbs.sh")
    again = next(line.split("|") for line in batch.calls_file.read_text().splitlines() if line.startswith("qsub"))
    assert code == 75 and "submitted again: 18" in text
    assert again[1:17] == ["-N", "my job", "-A", "me", "-l", "select=4:ncpus=64:mpiprocs=16:ompthreads=4", "-l", "place=scatter:excl",
                           "-l", "walltime=08:00:00", "-q", "large", "-m", "e", "-v", again[16]]
    assert {"OMPI_MCA_io", "OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "CONFIG", "SPARSITY", "RESTARTED"} <= set(again[16].split(","))
    assert again[17:] == [str(JOBS / "pbs.sh"), "0.3", "1"]


@pytest.mark.parametrize("walltime, variables, left", [("08:00:00", {}, 28500), ("00:10:00", {}, 540), ("08:00:00", {"MINUTES": "95"}, None), (None, {}, None)])
def test_pbs_tells_when_the_time_is_up(walltime, variables, left, tmp_path):
    """As `[run] walltime = auto` takes it, so that another one of the config file stays."""
    batch = Batch(tmp_path, **variables)
    (tmp_path / "qstat.txt").write_text(f"    Resource_List.walltime = {walltime}\n" if walltime else "")
    (tmp_path / "mpirun").write_text('#!/bin/bash\necho "mpirun ${SLURM_JOB_END_TIME-unset} $*" >>"$CALLS"\n')
    code, text = batch.run("pbs.sh")
    end, job = batch.calls("mpirun")[1].split()[1], batch.calls("mpirun")[1]
    assert code == 0 and abs(int(end) - time.time() - left) < 60 if left else end == "unset"
    assert ("run.walltime" in job) == bool(variables) and ("qstat tells no walltime" in text) == (walltime is None)


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
    assert "any MPI-IO hint" in listed  # [io] takes any key
    hints = {key for key in used if key.startswith("io.")}
    assert used - hints <= known and "calibration.samples" in used and hints == {"io.striping_factor"}
