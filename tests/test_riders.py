"""What rides along with a sweep: several evaluation texts in one run, each as if it had been alone; in restart files, in
saved statistics, in the plan."""
import json, re, shutil, subprocess

import numpy as np
import pytest

from helpers import BINARY, HANGS, environment, mpirun, write_config
from tiny_model import make_byte_model, make_ids

OK, USAGE, STOPPED, LENGTH = 0, 2, 75, 16
TEXTS = {"wikitext2": "wiki.txt", "ptb": "ptb.txt", "c-4_x": "c4.txt"}
LIST = ", ".join(f"{name}:{file}" for name, file in TEXTS.items())


class Place:
    """A directory with a model, ids to calibrate on and three texts."""

    def __init__(self, directory, **model):
        self.dir, random = directory, np.random.default_rng(4)
        make_byte_model(directory / "model", **({"layers": 3} | model), config={"max_position_embeddings": 64} | model.get("config", {}))
        make_ids(directory / "calibration.npy", rows=6, length=LENGTH)
        for file, size in zip(TEXTS.values(), (500, 130, 700)):
            (directory / file).write_bytes(bytes(random.integers(97, 123, size, dtype=np.uint8)))

    def config(self, name, **sections):
        whole = {"model": {"path": "model"}, "prune": {"mlp_num": 1, "ratio": 0.1, "sparsity": 0.3},
                 "calibration": {"tokens": "calibration.npy", "samples": 6, "length": LENGTH},
                 "evaluate": {"text": LIST, "length": LENGTH},
                 "output": {"checkpoint": f"{name}.h5", "report": f"{name}.json"}, "restart": {"cost": 1}}
        for section, keys in sections.items():
            whole[section] = whole.get(section, {}) | keys
        return write_config(self.dir / f"{name}.ini", whole)

    def run(self, name, *arguments, ranks=1, code=OK, **sections):
        """The report, and what was said."""
        done = mpirun(ranks, *arguments, self.config(name, **sections))
        assert done.returncode == code, done.stderr
        return json.loads((self.dir / f"{name}.json").read_text()), done


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("riders"))


@pytest.fixture(scope="module")
def alone(place):
    """The perplexity of every text in a run of its own."""
    return {name: place.run(f"alone-{name}", evaluate={"text": file})[0]["perplexity"] for name, file in TEXTS.items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name] == pytest.approx(expected[name], rel=1e-12), name  # a sum over ranks


# ---- several texts ----

@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("stride", [0, 5])
def test_each_text_as_if_alone(place, alone, ranks, stride):
    """At any number of ranks (with fewer windows than ranks among them), also where windows overlap."""
    name = f"all-{ranks}-{stride}"
    report, done = place.run(name, ranks=ranks, evaluate={"stride": stride})
    expected = alone if not stride else {n: place.run(f"{name}-{n}", evaluate={"text": f, "stride": stride})[0]["perplexity"]
                                         for n, f in TEXTS.items()}
    same(report["perplexities"], expected)
    assert report["perplexity"] == report["perplexities"]["wikitext2"]
    assert len({texts["pruned"] for texts in report["perplexities"].values()}) == 3
    for text, figures in report["perplexities"].items():
        row = re.search(rf"^perplexity {text} +(\S+) +(\S+)   (\S+) tokens, (\d+) windows$", done.stdout, re.M)
        assert [float(row[1]), float(row[2])] == pytest.approx([figures["dense"], figures["pruned"]], abs=1e-4)
        assert [int(row[3]), int(row[4])] == [figures["tokens"], figures["windows"]]
        for model in "dense", "pruned":
            assert f"{model} perplexity of {text} {figures[model]:.4f}" in done.stderr
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_a_checkpoint_alone(place, alone):
    """Nothing is pruned: the figure of the one model. A list of one has its name; a file alone has none."""
    place.run("written", output={"overwrite": "yes"})
    report, _ = place.run("evaluated", model={"path": "written.h5"}, prune={"method": "none", "mlp_num": 6, "ratio": 0.03})
    for name, figures in report["perplexities"].items():
        assert figures["model"] == pytest.approx(alone[name]["pruned"], rel=1e-6) and "dense" not in figures
    report, done = place.run("one", prune={"method": "none"}, evaluate={"text": "ptb:ptb.txt"})
    assert list(report["perplexities"]) == ["ptb"] and report["perplexity"]["model"] == pytest.approx(alone["ptb"]["dense"], rel=1e-12)
    assert "perplexity ptb " in done.stdout
    report, done = place.run("none", prune={"method": "none"}, evaluate={"text": "ptb.txt"})
    assert "perplexities" not in report and re.search(r"^perplexity  ", done.stdout, re.M)


def test_how_a_list_is_written(place, alone, tmp_path):
    """Blanks, quotation marks, variables; relative to the config, or of --set to where the user stands."""
    (tmp_path / "else").mkdir()
    shutil.copy(place.dir / "ptb.txt", tmp_path / "else" / "p.txt")
    for n, (text, where) in enumerate([(f'  ptb : {place.dir}/ptb.txt', None), (f'ptb:"{place.dir}/ptb.txt" ,two:\'wiki.txt\'', None),
                                       ("ptb:$TEXTS/p.txt,two:${TEXTS}/p.txt", None), ("ptb:~/p.txt", None), ('"ptb:ptb.txt, two:wiki.txt"', None),
                                       ("ptb:else/p.txt", tmp_path), ("ptb:$PWD/else/p.txt", tmp_path)]):
        name = f"written-{n}"
        config = place.config(name, prune={"method": "none"}, evaluate={} if where else {"text": text})
        done = subprocess.run([BINARY, *(["--set", f"evaluate.text={text}"] if where else []), config], cwd=where, capture_output=True, text=True,
                              timeout=HANGS, env=environment(TEXTS=str(tmp_path / "else"), HOME=str(tmp_path / "else")))
        if n == 0:  # a name has no blank
            assert done.returncode != OK and "ptb.txt" in done.stderr
            continue
        assert done.returncode == OK, done.stderr
        report = json.loads((place.dir / f"{name}.json").read_text())
        assert report["perplexities"]["ptb"]["model"] == pytest.approx(alone["ptb"]["dense"], rel=1e-12), text


@pytest.mark.parametrize("text, said", [
    ("a:wiki.txt, ptb.txt", '"ptb.txt", expected NAME:FILE'), ("a:wiki.txt, b:", '"b:", expected NAME:FILE'),
    ("a:wiki.txt,", '"", expected NAME:FILE'), ("a:wiki.txt, a:ptb.txt", '"a:ptb.txt", expected a name that no other text has'),
    ("a:wiki.txt, \u00e4:ptb.txt", "expected NAME:FILE"), ("a:wiki.txt, b c:ptb.txt", "expected NAME:FILE"),
    (f"{'n' * 25}:wiki.txt", "expected a name of at most 24 characters"),
    (", ".join(f"t{i}:wiki.txt" for i in range(33)), "expected at most 32 texts"), ('a:"https://host/x"', "expected a path, no URL"),
    ("a:wiki.txt, b:'x", "quotation marks"), ("a:$NO_SUCH/x", "NO_SUCH is not set")])
@pytest.mark.parametrize("ranks", [1, 2])
def test_lists_that_are_refused(place, text, said, ranks):
    config = place.config("refused", evaluate={"text": text})
    done = mpirun(ranks, "--check", config)
    assert done.returncode == USAGE and said in done.stderr, done.stderr
    assert "[evaluate] text" in done.stderr and f"{config}:" in done.stderr


def test_a_file_named_like_a_list(place, alone):
    """It is that file, and the log says so; without it the name is a list, and what is missing is named."""
    shutil.copy(place.dir / "ptb.txt", place.dir / "run:1.txt")
    for ranks in 1, 2:
        report, done = place.run(f"colon-{ranks}", ranks=ranks, prune={"method": "none"}, evaluate={"text": "run:1.txt"})
        assert "run:1.txt is a file, and no list of NAME:FILE" in done.stderr and "perplexities" not in report
        assert report["perplexity"]["model"] == pytest.approx(alone["ptb"]["dense"], rel=1e-12)
    (place.dir / "run:1.txt").unlink()
    done = mpirun(1, "--check", place.config("colon", output={"report": "gone.json"}, prune={"method": "none"}, evaluate={"text": "run:1.txt"}))
    assert done.returncode == 3 and "/1.txt" in done.stderr


def test_check_tells_each_text(place):
    done = mpirun(2, "--check", place.config("check"))
    assert done.returncode == OK, done.stderr
    lines = re.findall(r"^evaluation +(\S+): (\d+) windows? of 16 tokens, of (\d+) in (\S+)$", done.stdout, re.M)
    assert [(line[0], line[3].split("/")[-1]) for line in lines] == list(TEXTS.items())
    assert all(int(line[1]) == int(line[2]) // LENGTH for line in lines)
    for text, said in ("a:wiki.txt, b:none.txt", "none.txt"), ("a:wiki.txt, b:short.txt", "short.txt: 3 ids make 0 windows of 16"):
        (place.dir / "short.txt").write_text("ab")
        done = mpirun(2, "--check", place.config("check", evaluate={"text": text}))
        assert done.returncode == 3 and said in done.stderr
    out = mpirun(1, "--check", place.config("check", output={"report": "ptb.txt"}))
    assert out.returncode == USAGE and "would be written over [evaluate] text" in out.stderr


def test_outputs_do_not_take_a_text(place):
    """Nor do they in a run; the text stays."""
    before = (place.dir / "c4.txt").read_bytes()
    done = mpirun(1, place.config("clash", output={"checkpoint": "c4.txt", "overwrite": "yes"}))
    assert done.returncode == USAGE and "[evaluate] text" in done.stderr and (place.dir / "c4.txt").read_bytes() == before


@pytest.mark.parametrize("ranks", [1, 3])
def test_interrupted(place, alone, ranks, tmp_path):
    """One layer a start, at other numbers of ranks: the same figures, the same bytes."""
    name = f"stops-{ranks}"
    stops = 0
    while True:
        done = mpirun(1 + (ranks + stops) % 3, "--set", "run.walltime=00:00:01", place.config(name))
        if done.returncode == OK or stops > 12:
            break
        assert done.returncode == STOPPED, done.stderr
        stops += 1
    assert stops >= 5 and done.returncode == OK
    same(json.loads((place.dir / f"{name}.json").read_text())["perplexities"], alone)


def test_another_text_is_another_run(place):
    """A restart file is of its texts: by what they are, and by their names."""
    done = mpirun(1, "--set", "run.walltime=00:00:01", place.config("other"))
    assert done.returncode == STOPPED
    done = mpirun(1, place.config("other", evaluate={"text": LIST.replace("ptb.txt", "wiki.txt")}))
    assert done.returncode == 3 and "evaluation ptb was" in done.stderr
    done = mpirun(1, place.config("other", evaluate={"text": "wikitext2:wiki.txt"}))
    assert done.returncode == 3 and "evaluation ptb" in done.stderr


def test_saved_statistics(place, alone):
    """Texts are told by what they are: some of them, in another order, under other names, or one alone are read; one that
    is not there, or another stride, is measured anew."""
    place.run("saves", ranks=2, calibration={"save": "texts.stats.h5"})
    for n, (text, names, anew) in enumerate([
            (LIST, dict(zip(TEXTS, TEXTS)), False), ("x:c4.txt, ptb:wiki.txt", {"x": "c-4_x", "ptb": "wikitext2"}, False),
            ("ptb.txt", None, False), ("ptb:ptb.txt, y:book.txt", {"ptb": "ptb"}, True)]):
        (place.dir / "book.txt").write_text("another one " * 9)
        report, done = place.run(f"reads-{n}", ranks=1 + n % 2, calibration={"save": "texts.stats.h5"}, evaluate={"text": text})
        assert report["survey"].startswith("read from") and ("evaluated anew" in done.stderr) == anew
        if names is None:
            assert report["perplexity"] == pytest.approx(alone["ptb"], rel=1e-12)
        else:
            same({new: report["perplexities"][new] for new in names}, {new: alone[old] for new, old in names.items()})
    _, done = place.run("reads-stride", calibration={"save": "texts.stats.h5"}, evaluate={"stride": 3})
    assert "evaluated anew" in done.stderr
    # One that a single text has saved serves a list, too.
    place.run("saves-one", calibration={"save": "one.stats.h5"}, evaluate={"text": "ptb.txt"})
    report, done = place.run("reads-one", calibration={"save": "one.stats.h5"}, evaluate={"text": "p:ptb.txt"})
    assert "evaluated anew" not in done.stderr
    same(report["perplexities"], {"p": alone["ptb"]})


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_memory_is_foreseen(tmp_path, ranks):
    """A job that is mostly its texts counts no more than the estimate, and at most a tenth less."""
    place = Place(tmp_path, layers=1)  # which is the last one, and never calibrated
    for n, file in enumerate(TEXTS.values()):
        (tmp_path / file).write_text("words " * (6000 + 9000 * n))
    report, _ = place.run("memory", ranks=ranks, prune={"mlp_num": 0, "sparsity": 0.1}, evaluate={"length": 64})
    counted, estimate = report["memory"]["counted"]["max"], report["memory"]["estimate"]
    assert counted <= estimate < 1.1 * counted, (counted, estimate)
