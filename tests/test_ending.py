"""A run that is killed in its ending, from the moment its checkpoint has its name to the removal of its restart files: the next
start ends it with the same files. A checkpoint that is another's stays."""
import shutil

import pytest

from faults.inject import KILLED
from test_restart import CONFIG, LAYERS, Job

EXPORTS = {"export": "hf:stock, gguf:small.gguf"}
MOMENTS = {  # of rank 0; what is there by then
    "first export": ("call=rename path=/stock$ do=kill", ["pruned.h5"]),
    "second export": ("call=rename path=/small.gguf$ do=kill", ["pruned.h5", "stock"]),
    "report": ("call=rename path=/report.json$ nth=2 do=kill", ["pruned.h5", "small.gguf", "stock"]),
}


def exports(job):
    return {name: (job.dir / name).read_bytes() for name in ("stock/model.safetensors", "stock/config.json", "small.gguf")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    job = Job(tmp_path_factory.mktemp("whole"), output=EXPORTS)
    done = job.run(1)
    assert done.returncode == 0, done.stderr
    return job


def killed(job, fault, *arguments):
    done = job.run(1, *arguments, fault=f"rank=0 {fault}")
    assert done.returncode in KILLED, done.stderr


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(whole, tmp_path, moment):
    job, (fault, there) = Job(tmp_path, output=EXPORTS), MOMENTS[moment]
    killed(job, fault)
    assert [name for name in ("pruned.h5", "small.gguf", "stock") if (job.dir / name).exists()] == there
    assert job.report()["status"] == "running" and job.restarts()
    done = job.run(2)
    assert done.returncode == 0 and "it is" in done.stderr and f"going on from layer {LAYERS} of sweep 2" in done.stderr, done.stderr
    job.matches(whole)
    assert exports(job) == exports(whole)


def test_killed_twice(whole, tmp_path):
    """Also where restart files are rare: the newest is of the end of the survey."""
    job, rare = Job(tmp_path, output=EXPORTS), ("--set", "restart.cost=0.000001")
    killed(job, MOMENTS["report"][0], *rare)
    killed(job, MOMENTS["first export"][0], *rare)
    done = job.run(1, *rare)
    assert done.returncode == 0 and "going on from layer 0 of sweep 2" in done.stderr, done.stderr
    job.matches(whole)
    assert exports(job) == exports(whole)


def test_killed_after_its_report(whole, tmp_path):
    """It has ended well: a new start is refused as ever, and removes what was left."""
    job = Job(tmp_path, output=EXPORTS)
    killed(job, "call=unlink path=pruned.h5.restart do=kill")
    assert job.report()["status"] == "ok" and job.restarts()
    done = job.run(1)
    assert done.returncode == CONFIG and "its run ended well; restart files that it left are removed" in done.stderr, done.stderr
    assert "pruned.h5 exists; [output] overwrite = yes would replace it" in done.stderr
    (job.dir / "report.failed.json").unlink()
    job.matches(whole)


@pytest.mark.parametrize("layers", [1, LAYERS + 2])
def test_another_checkpoint_stays(whole, tmp_path, layers):
    """One of the same job under the name, while it was interrupted in either sweep."""
    job = Job(tmp_path, output=EXPORTS)
    for _ in range(layers):
        job.stop(1)
    shutil.copy(whole.dir / "pruned.h5", job.dir)
    before = job.images()
    done = job.run(1)
    assert done.returncode == CONFIG and "pruned.h5 exists; [output] overwrite = yes would replace it" in done.stderr, done.stderr
    assert job.images() == before


def test_what_was_to_be_replaced_stays(whole, tmp_path):
    """Interrupted with overwrite = yes, started again without it."""
    job = Job(tmp_path)
    shutil.copy(whole.dir / "pruned.h5", job.dir)
    before = (job.dir / "pruned.h5").read_bytes()
    job.stop(1, "--set", "output.overwrite=yes")
    done = job.run(1)
    assert done.returncode == CONFIG and "pruned.h5 exists" in done.stderr, done.stderr
    assert (job.dir / "pruned.h5").read_bytes() == before


def test_stale_files_of_mpi(tmp_path):
    """What Open MPI leaves beside a file when a job over several nodes is killed goes; names that only begin so stay."""
    job = Job(tmp_path)
    stale, others = ["pruned.h5.part.data.0", "pruned.h5.part.metadata.12"], ["pruned.h5.part.data.x", "pruned.h5.part.data.", "other.h5.part.data.0"]
    for name in stale + others:
        (tmp_path / name).write_text("")
    done = job.run(2)
    assert done.returncode == 0, done.stderr
    assert [name for name in stale + others if (tmp_path / name).exists()] == others
