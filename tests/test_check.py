"""--check: it predicts what the run then does; a job that the run would refuse ends with the run's own exit code, and an
unwise one with a warning and code 0."""
import fcntl, json, os, re, subprocess

import pytest

from helpers import BINARY, DEMO, HANGS, environment, mpirun, run_job, write_config
from test_precision import NO_BF16, has_bf16
from test_restart import Job
from test_variants import build
from tiny_model import CONFIG, make_byte_model, make_hollow, make_ids, make_model

USAGE, INPUT, IO = 2, 3, 4


class Place:
    """A model of a few kilobytes and a config for it."""

    def __init__(self, directory, make=make_model, **sections):
        self.dir = directory
        make(directory / "model", layers=4)
        make_ids(directory / "calibration.npy", rows=8)
        make_ids(directory / "evaluation.npy", rows=8, seed=2)
        self.sections = {"model": {"path": "model"}, "prune": {"sparsity": 0.3, "mlp_num": 1, "ratio": 0.2},
                         "calibration": {"tokens": "calibration.npy", "samples": 8, "length": 8},
                         "evaluate": {"tokens": "evaluation.npy", "length": 8},
                         "output": {"checkpoint": "pruned.h5", "report": "report.json"}}
        for section, keys in sections.items():
            self.sections.setdefault(section, {}).update(keys)
        self.config = write_config(directory / "job.ini", self.sections)

    def start(self, *arguments, ranks=0, env=None):
        """Started where the config lies, so that paths after --set are beside it too."""
        if ranks:
            return mpirun(ranks, *arguments, self.config, env=env, cwd=self.dir)
        return subprocess.run([BINARY, *map(str, arguments), self.config], capture_output=True, text=True, timeout=HANGS,
                              env=environment(**(env or {})), cwd=self.dir)

    def check(self, *arguments, code=0, **more):
        done = self.start("--check", *arguments, **more)
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def images(self):
        return {path: path.read_bytes() for path in sorted(self.dir.rglob("*")) if path.is_file()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def field(done, name, pattern):
    return re.search(rf"^{name} +{pattern}", done.stdout, re.M)


def warned(text):
    return [line for line in re.findall(r"Z WARN  (.*)", text) if "ranks x" not in line and "threads on a node" not in line]


# ---- the sparsities ----

@pytest.mark.parametrize("settings", [{}, {"k": 1}, {"skip_lowest": 0.5}, {"ratio": 1, "count_branches": "yes", "mlp_num": 3}, {"fill": "yes", "ratio": 0.3}])
def test_the_range_is_what_is_accepted(tmp_path, settings):
    place = Place(tmp_path, prune=settings)
    most = float(field(place.check("--set", "prune.sparsity=0.1"), "allowed", r"0 to ([0-9.]+) with these")[1])
    assert 0.1 < most < 1
    place.check("--set", f"prune.sparsity={most}")
    refused = place.check("--set", f"prune.sparsity={most + 1.1e-4:.5f}", code=USAGE)
    assert f"allows a sparsity of 0 to {most:g}" in refused.stderr
    assert re.search("k = [0-9.]+ would allow it|no other k up to 10 allows it|a smaller skip_lowest a larger one", refused.stderr)
    ran = place.start("--set", f"prune.sparsity={most + 1.1e-4:.5f}")
    assert ran.returncode == USAGE and re.findall("ERROR (.*)", ran.stderr) == re.findall("ERROR (.*)", refused.stderr)


@pytest.mark.parametrize("counted", ["no", "yes"])
def test_the_sparsity_that_is_reached(place, counted):
    checked = place.check("--set", f"prune.count_branches={counted}")
    foreseen = float(field(checked, "sparsity", r"0.3 asked for, ([0-9.]+) to be reached")[1])
    assert place.start("--set", f"prune.count_branches={counted}").returncode == 0
    reached = json.loads((place.dir / "report.json").read_text())["parameters"]["sparsity_reached"]
    assert foreseen == pytest.approx(reached, abs=5.1e-5)
    assert (", counted" in checked.stdout) == (counted == "yes")


def test_mlp_num_says_its_most(place):
    assert "mlp_num = 4, expected at most 3" in place.check("--set", "prune.mlp_num=4", code=USAGE).stderr


# ---- what is unwise: a warning in --check and in the run ----

UNWISE = {
    "nothing goes": (1, ["prune.sparsity=0.001"], "sparsity = 0.001 removes nothing: the smallest that removes a rank or a neuron is "),
    "sparsity 0": (1, ["prune.sparsity=0"], "sparsity = 0 removes nothing"),
    "branches of rank 0": (1, ["prune.ratio=0.05"], "ratio = 0.05 of a hidden size of 16 gives branches of rank 0: no layer is calibrated; from 0.0625 on"),
    "no neuron goes": (1, ["model.path=narrow", "prune.sparsity=0.0625", "prune.skip_lowest=0"], "removes no FFN neuron, so no layer is calibrated"),
    "little is left": (1, ["prune.sparsity=0.47", "prune.k=30"], "leaves little of a part of every layer: query rank 1 of 16"),
    "few tokens": (1, ["calibration.samples=2", "calibration.length=7"], "14 tokens are fewer than the hidden size, 16: the statistics are rank-deficient"),
    "idle in calibration": (3, ["calibration.samples=2"], "1 of 3 ranks have no calibration sequence: there are 2"),
    "idle in evaluation": (3, ["evaluate.windows=1"], "2 of 3 ranks have no window of the evaluation: there are 1"),
}


@pytest.mark.parametrize("name", UNWISE)
def test_unwise(place, name):
    ranks, settings, text = UNWISE[name]
    build(place.dir / "narrow", config=dict(CONFIG, num_hidden_layers=4, intermediate_size=8))
    arguments = [x for setting in settings for x in ("--set", setting)]
    assert warned(place.check(ranks=ranks).stderr) == []
    for done in place.check(*arguments, ranks=ranks), place.check(*arguments, "--ranks", ranks), place.start(*arguments, ranks=ranks):
        told = warned(done.stderr)
        assert done.returncode == 0 and len(told) == 1 and text in told[0], done.stderr
    assert [w["count"] for w in json.loads((place.dir / "report.json").read_text())["warnings"] if text in w["text"]] == [1]


def test_more_threads_than_cores(place):
    cores = os.cpu_count()
    assert f"more than the {cores} cores of this one" in place.check("--ranks", cores + 1, "--ranks-per-node", cores + 1).stderr
    assert "more than the" not in place.check("--ranks", cores + 1, "--ranks-per-node", 1).stderr


def test_walltime(tmp_path):
    """A second is not enough for the demo; a day is."""
    for walltime, told in ("00:00:01", True), ("1-00:00:00", False):
        done = subprocess.run([BINARY, "--check", "--set", f"run.walltime={walltime}", "--set", f"output.checkpoint={tmp_path}/a.h5",
                               "--set", f"output.report={tmp_path}/a.json", DEMO / "config.ini"], capture_output=True, text=True,
                              timeout=HANGS, env=environment())
        assert done.returncode == 0 and ("is less than the expected" in done.stderr) == told, done.stderr


# ---- what lies there ----

def test_nothing_lies_there(place):
    before = place.images()
    assert "found " not in place.check(ranks=2).stdout and place.images() == before


def test_outputs_that_would_be_replaced(place):
    save = ["--set", "calibration.save=stats.h5"]
    assert place.start(*save).returncode == 0
    before = place.images()
    assert "exists; [output] overwrite = yes would replace it" in place.check(code=USAGE).stderr
    checked = place.check("--set", "output.overwrite=yes", *save, ranks=2).stdout
    assert re.findall(r"^found +(\S+) (?:\S*/)?(\S+): (.*)", checked, re.M) == [
        ("checkpoint", "pruned.h5", "would be replaced"), ("report", "report.json", "would be replaced"), ("statistics", "stats.h5", "would be read")]
    other = ["--set", "output.checkpoint=other.h5", "--set", "output.report=other.json", *save]
    assert "statistics" in place.check(*other, "--set", "prune.sparsity=0.2", "--set", "prune.count_branches=yes").stdout
    refused = place.check(*other, "--set", "prune.percdamp=0.4", code=USAGE)
    assert "stats.h5: is of another run: [prune] percdamp was 0.5, is 0.4" in refused.stderr
    assert "[output] overwrite = yes or --fresh replaces it" in refused.stderr
    for replace in ["--fresh"], ["--set", "output.overwrite=yes"]:
        assert "stats.h5: would be replaced" in place.check(*other, "--set", "prune.percdamp=0.4", *replace).stdout
    (place.dir / "precious.h5").write_text("anybody's")
    before[place.dir / "precious.h5"] = b"anybody's"
    assert "it stays" in place.check(*other, "--set", "calibration.save=precious.h5", code=INPUT).stderr
    assert place.images() == before


def test_restart_files(tmp_path):
    """What it says it would go on from is what the next start goes on from; another run is refused as there."""
    job, seen = Job(tmp_path), []
    while True:
        at = mpirun(2, *job.arguments("--check"))
        assert at.returncode == 0, at.stderr
        seen += re.findall(r"^found +.*\.restart\.\d: would go on from (layer \d of sweep \d) \(layers from 0\)$", at.stdout, re.M)
        if len(seen) == 4:
            break
        said = job.stop(2).stderr
        assert re.findall(r"going on from (layer \d of sweep \d)", said) == seen[-1:]
    assert len(set(seen)) == 4
    before = job.images()
    refused = mpirun(1, *job.arguments("--check", "--set", "prune.sparsity=0.25"))
    assert refused.returncode == USAGE and "is of another run: [prune] sparsity was 0.3, is 0.25 (--fresh starts over)" in refused.stderr
    counted = mpirun(1, *job.arguments("--check", "--set", "prune.count_branches=yes"))
    assert counted.returncode == USAGE and "[prune] count_branches was false, is true" in counted.stderr
    fresh = mpirun(1, *job.arguments("--check", "--set", "prune.sparsity=0.25", "--fresh"))
    assert fresh.returncode == 0 and "would be removed" in fresh.stdout
    assert job.images() == before


def test_lock(place):
    with open(place.dir / "pruned.h5.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for done in place.check(ranks=2, code=IO), place.start(ranks=2):
            assert done.returncode == IO and "another job is writing it (it holds" in done.stderr
    place.check()
    assert (place.dir / "pruned.h5.lock").exists()


# ---- inputs ----

MISSING = {"calibration.tokens": "none.npy", "evaluate.tokens": "none.npy", "calibration.text": "plain:none.txt", "evaluate.text": "none.txt",
           "evaluate.tasks": "boolq:none.jsonl", "model.path": "none", "model.tokenizer": "none"}


@pytest.mark.parametrize("name", MISSING)
def test_missing_inputs(tmp_path, name):
    """All are looked into, and missed with the code and the words of the run."""
    place = Place(tmp_path, make=make_byte_model)
    other = {"calibration.text": ["--set", "calibration.tokens="], "evaluate.text": ["--set", "evaluate.tokens="]}.get(name, [])
    if name == "model.tokenizer":
        other = ["--set", "evaluate.text=text.txt", "--set", "evaluate.tokens="]
        (place.dir / "text.txt").write_text("a text")
    arguments = [*other, "--set", f"{name}={MISSING[name]}"]
    ran = place.start(*arguments)
    checked = place.check(*arguments, code=ran.returncode)
    error = lambda done: re.findall(r"ERROR (.*)", done.stderr)
    assert ran.returncode in (INPUT, IO) and error(ran) == error(checked) != [] and "none" in error(ran)[0]


# ---- rates and time ----

def products(done):
    fp32, bf16, verdict = field(done, "products", r"fp32 ([0-9.]+) GFLOP/s a rank, bf16 ([0-9.]+): (.*)").groups()
    return float(fp32), float(bf16), verdict


def test_work_is_what_is_done(tmp_path):
    """The operations that the expected time rests on are those that a run books, within two per cent."""
    sections = {"model": {"path": DEMO}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 16, "length": 128},
                "prune": {"mlp_num": 2, "sparsity": 0.3}, "evaluate": {"tokens": DEMO / "evaluation.npy", "length": 128, "windows": 16}}
    for name, change in ("both", {}), ("prune", {"evaluate": {}}), ("evaluate", {"prune": {"method": "none"}}):
        whole = {**sections, **change, "output": {"checkpoint": tmp_path / f"{name}.h5", "report": tmp_path / f"{name}.json"}}
        checked = mpirun(1, "--check", write_config(tmp_path / "check.ini", whole))
        foreseen = float(field(checked, "work", r"([0-9.e+]+) floating-point")[1])
        phases = run_job(tmp_path, 1, whole, name=name)["phases"]
        booked = sum(1e9 * p.get("gflops", 0) * p["max_s"] for p in phases if "." not in p["name"] and p["name"] != "solve")
        solving = 0 if name == "evaluate" else 6 * (2.4 + 4) * 192 ** 3
        assert foreseen - solving == pytest.approx(booked, rel=0.02), name


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_which_precision_is_faster(place):
    fp32, bf16, verdict = products(place.check("--set", "compute.precision=bf16", env={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}))
    assert fp32 > 0 and bf16 > 0
    assert verdict in ("fp32 is faster here", "bf16 is faster here", "both are about as fast here")
    assert ("bf16" in verdict[:4]) <= (bf16 >= fp32) and ("fp32" in verdict[:4]) <= (fp32 >= bf16)


def test_no_bf16(place):
    assert field(place.check(env=NO_BF16), "products", r"fp32 [0-9.]+ GFLOP/s a rank, bf16 not on this processor$")


def test_the_time_of_other_ranks(place):
    own, other = place.check(ranks=2).stdout, place.check("--ranks", 64, "--ranks-per-node", 1).stdout
    assert re.search(r"^time +about [0-9.]+ s on 2 ranks like this one; files at [0-9.]+ GB/s, writing not counted$", own, re.M)
    assert re.search(r"^time +about [0-9.]+ s on 64 ranks like this one; .*; measured with other ranks than these$", other, re.M)


LLAMA_70B = dict(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8,
                 vocab_size=32000, max_position_embeddings=4096)


@pytest.mark.parametrize("ranks, per_node", [(16, 1), (64, 4)])
def test_refit_of_70b_fits_16_nodes(tmp_path, ranks, per_node):
    """A node has one layer's Gram of neurons and less than another, its part in blocks; the whole fits 256 GB a node."""
    place = Place(tmp_path, make=lambda directory, layers: make_hollow(directory, LLAMA_70B), prune={"method": "refit", "sparsity": 0.2},
                  compute={"precision": "fp32"})
    text = re.sub(r"^(mlp_num|ratio) .*\n", "", place.config.read_text(), flags=re.M)
    place.config.write_text(text)
    done = place.start("--check", "--ranks", ranks, "--ranks-per-node", per_node)
    assert done.returncode == 0 or done.returncode == IO and " are free in " in done.stderr, done.stderr
    print(done.stdout)
    gram, rank, node, statistics = 28672**2 * 8, *(float(x) * 2**20 for x in field(
        done, "memory", r"([\d.]+) MiB a rank .*, ([\d.]+) MiB a node; .*statistics and solver ([\d.]+)").groups())
    assert rank * per_node == pytest.approx(node, rel=0.01) and node < 0.25 * 256e9
    assert gram < statistics * per_node < 2 * gram
