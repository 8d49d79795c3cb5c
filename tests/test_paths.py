"""Paths: what they are relative to, quotation marks, `~` and variables; --output; a config from standard input."""
import json, os, subprocess

import pytest

from damage import Job, put, texts
from helpers import BINARY, HANGS, environment, write_config

USAGE, IO = 2, 4


class Place:
    """A job whose config lies in conf/, started from stand/."""

    def __init__(self, directory):
        self.job = Job(directory / "conf") if (directory / "conf").mkdir() is None else None
        self.conf, self.stand = directory / "conf", directory / "stand"
        self.stand.mkdir()
        put("output", checkpoint="out/pruned.h5", report="out/report.json")(self.job)

    def run(self, *arguments, ranks=0, config="../conf/config.ini", stdin=None, **env):
        write_config(self.conf / "config.ini", self.job.sections)
        command = [BINARY, *map(str, arguments), config]
        if ranks:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, cwd=self.stand, input=stdin,
                              env=environment(OMPI_MCA_mpi_yield_when_idle=1, **env))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def succeeds(done):
    assert done.returncode == 0, done.stderr


def test_the_command_line_is_seen_from_where_the_user_stands(place):
    """The config's own paths from where the config is."""
    texts()(place.job)
    (place.stand / "book.txt").write_text("some words " * 400)
    succeeds(place.run("--set=output.checkpoint=here.h5", "--dump-tokens=ids.npy", ranks=2))
    assert sorted(p.name for p in place.stand.iterdir()) == ["book.txt", "here.h5", "ids.npy"]
    assert sorted(p.name for p in (place.conf / "out").iterdir()) == ["report.json"]
    put("output", report="out/later.json")(place.job)
    done = place.run("--check", "--set=calibration.tokens=", "--set=calibration.text=plain:book.txt", "--set=calibration.samples=2")
    succeeds(done)
    assert "plain:book.txt: " in done.stdout
    done = place.run("--check", "--set=evaluate.tasks=piqa:none.jsonl")
    assert " none.jsonl: cannot open" in done.stderr, done.stderr
    done = place.run("--check", "--set=evaluate.tokens=", "--set=evaluate.text=none.txt")
    assert " none.txt: cannot open" in done.stderr, done.stderr


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotation_marks_go(place, quote):
    put("output", checkpoint=f"{quote}out/a b.h5{quote}", report=f"{quote}{quote}")(place.job)
    put("model", path=f"{quote}model{quote}")(place.job)
    succeeds(place.run())
    assert [p.name for p in (place.conf / "out").iterdir()] == ["a b.h5"]
    for wrong in f"{quote}out/p.h5", f"out/p.h5{quote}", f"{quote}out{quote}/p.h5", quote:
        put("output", checkpoint=wrong)(place.job)
        done = place.run("--check")
        assert done.returncode == USAGE and "[output] checkpoint" in done.stderr and "quotation marks" in done.stderr, done.stderr


def test_home_and_variables(place, tmp_path):
    """In the config and on the command line; rank 0's count, whatever the others have."""
    (tmp_path / "home").mkdir()
    (tmp_path / "big").mkdir()
    put("output", checkpoint="~/p.h5", report="${SCRATCH}/r$$.json")(place.job)
    env = {"HOME": tmp_path / "home", "SCRATCH": tmp_path / "big"}
    succeeds(place.run("--set=calibration.save=$SCRATCH/s.h5", "--dump-tokens=~/d.npy", **env))
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["d.npy", "p.h5"]
    assert sorted(p.name for p in (tmp_path / "big").iterdir()) == ["r$.json", "s.h5"]
    succeeds(place.run("--set=output.checkpoint=$PWD/here.h5", "--set=output.report=", **{**env, "PWD": "/"}))
    assert (place.stand / "here.h5").is_file()
    put("output", checkpoint="$RANK_HAS/q.h5", report="")(place.job)
    write_config(place.conf / "config.ini", place.job.sections)
    line = f'RANK_HAS={tmp_path}/$([ "$OMPI_COMM_WORLD_RANK" = 0 ] && echo big || echo other); export RANK_HAS; exec {BINARY} ../conf/config.ini'
    done = subprocess.run(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", "sh", "-c", line], capture_output=True, text=True, timeout=HANGS,
                          cwd=place.stand, env=environment(OMPI_MCA_mpi_yield_when_idle=1))
    succeeds(done)
    assert (tmp_path / "big/q.h5").is_file()


@pytest.mark.parametrize("value, said", [("$NOT_SET/p.h5", "variable NOT_SET is not set"), ("${NOT_SET}/p.h5", "variable NOT_SET is not set"),
                                         ("$EMPTY/p.h5", "variable EMPTY is not set"), ("~other/p.h5", "another's is not looked up"),
                                         ("${HOME/p.h5", "behind a dollar sign"), ("a$/p.h5", "behind a dollar sign"), ("${A:-b}/p.h5", "behind a dollar sign"),
                                         ("file:///tmp/p.h5", "no URL"), ("file:p.h5", "no URL"), ("s3://bucket/p.h5", "no URL")])
def test_paths_that_mean_nothing(place, value, said):
    for where, arguments in ("config.ini:", []), ("--set: ", [f"--set=output.checkpoint={value}"]):
        if where == "config.ini:":
            put("output", checkpoint=value)(place.job)
        else:
            put("output", checkpoint="p.h5")(place.job)
        done = place.run("--check", *arguments, EMPTY="")
        assert done.returncode == USAGE and said in done.stderr and where in done.stderr and "[output] checkpoint" in done.stderr, done.stderr


def test_files_of_lists(place, tmp_path):
    """Each of them may be in quotation marks, in a home, behind a variable."""
    texts()(place.job)
    (place.conf / "a b.txt").write_text("some words " * 400)
    (tmp_path / "rows.jsonl").write_text('{"text": "%s"}\n' % ("some words " * 4) * 30)
    for text in ("""plain:"a b.txt"*2, jsonl:~/rows.jsonl""", """"plain:a b.txt*2", 'jsonl:$HOME/rows.jsonl:text'""",
                 """'plain:a b.txt*2, jsonl:${HOME}/rows.jsonl'"""):
        put("calibration", tokens="", text=text)(place.job)
        done = place.run("--check", HOME=tmp_path)
        succeeds(done)
        assert "a b.txt: " in done.stdout and f"jsonl:{tmp_path}/rows.jsonl: " in done.stdout
    put("calibration", text='plain:"a b.txt')(place.job)
    done = place.run("--check")
    assert done.returncode == USAGE and "quotation marks" in done.stderr, done.stderr
    put("calibration", text="plain:$LIST")(place.job)
    done = place.run("--check", LIST="a,plain:b")
    assert done.returncode == USAGE and "has a comma" in done.stderr, done.stderr


def test_output_takes_checkpoint_and_report(place):
    put("calibration", save="stats.h5")(place.job)
    planned = place.run("--check", "--output=new/deep")
    succeeds(planned)
    assert "new/deep, which a run makes" in planned.stdout and not list(place.stand.iterdir())
    succeeds(place.run("--output", "new/deep", ranks=2))
    assert sorted(p.name for p in (place.stand / "new/deep").iterdir()) == ["pruned.h5", "report.json"]
    assert not list((place.conf / "out").iterdir()) and (place.conf / "stats.h5").is_file()
    succeeds(place.run("--output=$PWD/", "--set=output.checkpoint=own.h5", "--set=output.overwrite=yes"))
    assert sorted(p.name for p in place.stand.iterdir()) == ["new", "own.h5", "report.json"]


def test_output_that_cannot_be_made(place):
    (place.stand / "file").touch()
    for arguments in [], ["--check"]:
        done = place.run("--output=file/x", *arguments)
        assert done.returncode == IO and "file/x" in done.stderr, done.stderr
    for arguments, said in (["--output="], "needs a directory"), (["--output=$NOT_SET"], "NOT_SET is not set"):
        done = place.run(*arguments)
        assert done.returncode == USAGE and said in done.stderr, done.stderr
    done = subprocess.run([BINARY, "--output=x", "--verify", "y.h5"], capture_output=True, text=True, env=environment())
    assert done.returncode == USAGE and "--output belongs to a run" in done.stderr, done.stderr


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_config_from_standard_input(place, ranks):
    """Its paths are as seen from where the user stands."""
    text = write_config(place.conf / "x.ini", {**place.job.sections, "model": {"path": "../conf/model"}, "output": {"checkpoint": "p.h5", "report": "r.json"},
                                               "calibration": {**place.job.sections["calibration"], "tokens": "../conf/calibration.npy"},
                                               "evaluate": {"tokens": "../conf/evaluation.npy", "length": 8}}).read_text()
    succeeds(place.run(config="-", stdin=text, ranks=ranks))
    assert json.loads((place.stand / "r.json").read_text())["status"] == "ok" and (place.stand / "p.h5").is_file()
    done = place.run(config="-", stdin="[modle]\n", ranks=ranks)
    assert done.returncode == USAGE and "standard input:1: unknown section" in done.stderr, done.stderr
    for stdin, said in ("", "standard input: [model] path is empty"), ("# " + "x" * (1 << 20), "expected a config file of at most"):
        done = place.run(config="-", stdin=stdin, ranks=ranks)
        assert done.returncode == USAGE and said in done.stderr, done.stderr
