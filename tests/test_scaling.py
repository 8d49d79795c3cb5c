"""A scaling study, from jobs/scaling.sh to the tables and plots of jobs/scaling-report.py: their numbers are the reports', and
the time, calls and bytes of collectives in the reports add up."""
import csv, importlib.util, json, math, os, re, shutil, subprocess, sys

import pytest
from helpers import BINARY, DEMO, HANGS, ROOT, environment, run_job
from tiny_model import make_model

REPORT = ROOT / "jobs" / "scaling-report.py"
MODEL = ROOT / "jobs" / "model.py"
RATES = {"threads": 1, "fp32": 150.0, "bf16": 900.0, "fp64": 70.0, "copy": 28.0, "file": 1.0,
         **{name: {"seconds": 1e-6, "GB_s": 5.0} for name in ("bcast", "reduce", "allreduce")}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two runs of the demo: what the script printed, its folder, and both reports by their ranks."""
    out = tmp_path_factory.mktemp("study")
    done = subprocess.run([ROOT / "jobs" / "scaling.sh", "--local", "1 2", "--config", DEMO / "config.ini", "--runs", "1", "--out", out,
                           "--set", "calibration.samples=8", "--set", "evaluate.windows=4"],
                          capture_output=True, text=True, timeout=HANGS, env=environment(OLICA=BINARY, OMPI_MCA_mpi_yield_when_idle=1))
    assert done.returncode == 0, done.stdout + done.stderr
    return done, out, {ranks: json.loads((out / f"strong/{ranks}x1.1.json").read_text()) for ranks in (1, 2)}


def rows(out):
    return {(row["phase"], int(row["ranks"])): row for row in csv.DictReader((out / "strong.csv").open())}


def test_numbers_are_those_of_the_reports(study):
    done, out, reports = study
    table = rows(out)
    for ranks, report in reports.items():
        for phase in report["phases"]:
            row = table[phase["name"], ranks]
            for key in ("mean_s", "max_s", "comm_s", "comm_max_s", "comm_calls", "comm_bytes", "bytes"):
                assert float(row[key]) == pytest.approx(phase[key], abs=1e-9), (phase["name"], key)
        assert float(table["job", ranks]["mean_s"]) == report["run"]["wall_s"]
    one, two = (reports[ranks]["run"]["wall_s"] for ranks in (1, 2))
    job = table["job", 2]
    assert (job["base_ranks"], float(job["base_s"])) == ("1", one)
    if job["crowded"] == "0":  # else nothing is derived from its times
        assert float(job["speedup"]) == pytest.approx(one / two, abs=1e-3)
        assert float(job["efficiency"]) == pytest.approx(one / two / 2, abs=1e-3)
    assert f"base: 1 ranks x 1 threads, {one:.3f} s" in done.stdout and "fewer than 5" in done.stdout
    assert not list(out.glob("strong/*.h5"))


def test_spread_and_memory(study):
    """In the CSV: of each phase the least and the most of the runs, of the job the memory of the fullest rank."""
    for (name, ranks), row in rows(study[1]).items():
        report = study[2][ranks]
        if name == "job":
            assert float(row["memory_resident"]) == report["memory"]["resident"]["max"]
            assert float(row["memory_counted"]) == report["memory"]["counted"]["max"]
        else:
            assert row["memory_resident"] == row["memory_counted"] == ""
        assert row["max_s_lowest"] == row["max_s_highest"] == row["max_s"]  # of one run


PLOTS = ("time", "speedup", "communication", "calls", "volume")
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_plots(study):
    if not shutil.which("gnuplot"):
        assert "no gnuplot" in study[0].stderr
        return
    for name in PLOTS:
        for kind, magic in MAGIC.items():
            assert (study[1] / f"strong-{name}.{kind}").read_bytes().startswith(magic), (name, kind)


def fabricate(study, folder, cases, runs=2, change=lambda report, ranks: None):
    """Reports of more cases, made of the one at two ranks: the phases share the work, but `start`, and differ a little from run to run."""
    paths = []
    for ranks in cases:
        for run in range(runs):
            report = json.loads(json.dumps(study[2][2]))
            report["run"].update(ranks=ranks, nodes=1)
            report["warnings"] = []
            for phase in report["phases"]:
                factor = (1 if phase["name"] == "start" else 2 / ranks) * (1 + 0.1 * run)
                for key in ("min_s", "mean_s", "max_s", "comm_s", "comm_max_s"):
                    phase[key] *= factor
            report["run"]["wall_s"] = sum(p["mean_s"] for p in report["phases"] if "." not in p["name"])
            change(report, ranks)
            paths.append(folder / f"{ranks}.{run}.json")
            paths[-1].write_text(json.dumps(report))
    return paths


@pytest.fixture
def scripts(tmp_path):
    """A stand-in for gnuplot that keeps what it is to draw; by the plot's name."""
    (tmp_path / "gnuplot").write_text(f"#!/bin/sh\ncat >{tmp_path}/script.$$\n")
    (tmp_path / "gnuplot").chmod(0o755)

    def draw(*arguments, names=PLOTS):
        for path in tmp_path.glob("script.*"):
            path.unlink()
        done = subprocess.run([REPORT, "--out", tmp_path / "x", *arguments], capture_output=True, text=True,
                              env=dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}"))
        assert done.returncode == 0, done.stderr
        texts = [path.read_text() for path in tmp_path.glob("script.*")]
        return {name: next(t for t in texts if f"/x-{name}.png" in t) for name in names}
    return draw


def colours(script):
    """{phase: its colour}"""
    return {title: colour for colour, title in re.findall(r'linecolor rgb "(#\w+)" pointtype \d+ pointsize \S+ title "([^"]+)"', script)}


def test_what_is_drawn(study, tmp_path, scripts):
    """Titles, both axes logarithmic with a straight ideal, bars from the least to the most, one colour for a phase in all plots."""
    drawn = scripts(*fabricate(study, tmp_path, (1, 2, 4)))
    for name, script in drawn.items():
        assert 'set title "Strong scaling: ' in script and "set xlabel" in script and "set ylabel" in script, name
        assert [kind for kind in MAGIC if f'/x-{name}.{kind}"' in script] == list(MAGIC)
        assert len(set(colours(script).values())) == len(colours(script)) > 1 and "yerrorbars" in script
        for phase, colour in colours(script).items():
            assert colour == colours(drawn["time"]).get(phase, colour), (name, phase)
    for name, ideal in (("time", r"plot .* [\d.]+ \* 1 / x with lines"), ("speedup", r"plot .*, x / 1 with lines")):
        assert "set logscale x 2" in drawn[name] and "set logscale y" in drawn[name] and re.search(ideal, drawn[name]), drawn[name]
    job = re.search(r"\$d0 << EOD\n(.*?)\nEOD", drawn["time"], re.S)[1].splitlines()
    assert len(job) == 3
    for line, ranks in zip(job, (1, 2, 4)):
        x, middle, low, high = map(float, line.split())
        assert x == ranks and high == pytest.approx(1.1 * low, rel=1e-4) and middle == pytest.approx(1.05 * low, rel=1e-4)
    assert "pointtype 6" not in drawn["time"]
    weak = scripts("--weak", *fabricate(study, tmp_path, (2,)))
    assert 'set title "Weak scaling: ' in weak["time"] and " / x with lines" not in weak["time"]


def test_small_phases_are_left_out_and_named(study, tmp_path, scripts):
    def change(report, ranks):
        for phase in report["phases"]:
            if phase["name"] == "cut":
                phase["max_s"] = 0.005 * report["run"]["wall_s"]
            if phase["name"] == "write":  # counts at four ranks
                phase["max_s"] = (0.02 if ranks == 4 else 0.001) * report["run"]["wall_s"]
    drawn = scripts(*fabricate(study, tmp_path, (2, 4), change=change))["time"]
    assert "cut" not in colours(drawn) and "write" in colours(drawn)
    assert re.search(r"left out, below 1 % of the job's time: .*\bcut\b", drawn)


def test_crowded_cases_are_drawn_hollow(study, tmp_path, scripts):
    def change(report, ranks):
        if ranks == 8:
            report["warnings"] = [{"text": "ranks x threads on a node are more than its cores", "count": 1}]
    drawn = scripts(*fabricate(study, tmp_path, (2, 4, 8), change=change))
    for name, script in drawn.items():
        assert 'pointtype 6 pointsize scale title "more than the cores"' in script, name
        assert re.search(r"with yerrorbars linecolor rgb \S+ pointtype 6 pointsize 1.3\*scale notitle", script) and "dashtype 3" in script
    assert re.search(r"EOD\n8 [\d. ]+\nEOD", drawn["speedup"])


def test_a_pipe_that_ends_early(study, tmp_path):
    """... | head -1: no traceback, and the files are there."""
    done = subprocess.run(f"'{REPORT}' --out '{tmp_path}/x' '{study[1]}'/strong/*.json | head -1; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                          capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr and (tmp_path / "x.csv").exists()


def test_collectives_add_up(study):
    one, two = (study[2][ranks]["phases"] for ranks in (1, 2))
    keys = ("comm_s", "comm_max_s", "comm_calls", "comm_bytes")
    assert all(phase[key] == 0 for phase in one for key in keys)
    for phase in two:
        assert 0 <= phase["comm_s"] <= phase["comm_max_s"] <= phase["max_s"], phase
        assert phase["comm_s"] <= phase["mean_s"] and phase["comm_bytes"] <= phase["bytes"], phase
        assert (phase["comm_calls"] > 0) == (phase["comm_s"] > 0), phase
    # Of every layer both ranks give four vectors; AᵀA and AᵀB are in memory that they share.
    d, layers = (study[2][2]["model"][key] for key in ("hidden", "layers"))
    assert 2 * layers * 8 * 4 * d <= survey_bytes(study[2][2]) < 2 * layers * 8 * d * d


def survey_bytes(report):
    return next(phase["comm_bytes"] for phase in report["phases"] if phase["name"] == "survey")


def test_sums_go_between_nodes(tmp_path):
    """Two nodes of one rank: each gives AᵀA's triangle and AᵀB of every layer, in fp64."""
    job = {"model": {"path": DEMO}, "prune": {"mlp_num": 2}, "calibration": {"tokens": DEMO / "calibration.npy", "samples": 4},
           "evaluate": {"tokens": DEMO / "evaluation.npy", "windows": 2}}
    report = run_job(tmp_path, 2, job, env={"OLICA_RANKS_PER_NODE": 1})
    d, layers = (report["model"][key] for key in ("hidden", "layers"))
    expected = 2 * layers * 8 * (d * (d + 1) / 2 + d * d + 4 * d)
    assert expected <= survey_bytes(report) < 1.1 * expected


def test_layers_add_up(study):
    for report in study[2].values():
        times, layers = report["layer_times"], report["model"]["layers"]
        assert [(t["sweep"], t["layer"]) for t in times] == [(s, i) for s in ("survey", "prune") for i in range(layers)]
        for t in times:
            assert sum(v for k, v in t.items() if k.endswith("_s") and "." not in k and k != "wall_s") <= t["wall_s"] + 1e-4
        collect = next(p for p in report["phases"] if p["name"] == "collect")
        assert collect["min_s"] - 1e-4 <= sum(t.get("collect_s", 0) for t in times) <= collect["max_s"] + 1e-4


@pytest.mark.parametrize("change, said", [
    (lambda r: r["settings"]["calibration"].update(samples=16), "calibration tokens is 2048, expected 1024"),
    (lambda r: r.update(restart={"runs_before": 1}), "the run went on with an interrupted one, expected a whole run"),
    (lambda r: r.update(survey="read from s.h5"), "survey is read, expected made"),
    (lambda r: r.update(status="failed"), "status is failed, expected ok"),
    (lambda r: r["phases"][0].pop("comm_s"), "no report of olica_mpi with communication times")])
def test_what_cannot_be_compared_is_refused(study, tmp_path, change, said):
    other = json.loads(json.dumps(study[2][2]))
    change(other)
    (tmp_path / "other.json").write_text(json.dumps(other))
    done = subprocess.run([REPORT, "--out", tmp_path / "x", study[1] / "strong/1x1.1.json", tmp_path / "other.json"], capture_output=True, text=True)
    assert done.returncode == 1 and said in done.stderr and not list(tmp_path.glob("x*")), done.stderr


def test_repetitions_are_medians_and_crowds_have_no_speed(study, tmp_path):
    walls = (5.0, 1.0, 3.0)
    for i, wall in enumerate(walls):
        other = json.loads(json.dumps(study[2][2]))
        other["run"]["wall_s"] = wall
        other["warnings"] = [{"text": "ranks x threads on a node are more than its cores", "count": 1}]
        (tmp_path / f"{i}.json").write_text(json.dumps(other))
    done = subprocess.run([REPORT, "--out", tmp_path / "x", study[1] / "strong/1x1.1.json", *tmp_path.glob("*.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = (r for r in csv.DictReader((tmp_path / "x.csv").open()) if (r["phase"], r["ranks"]) == ("job", "2"))
    assert (float(row["mean_s"]), row["runs"], row["speedup"], row["efficiency"]) == (3.0, "3", "", "") and "(3.000)" in done.stdout


def test_slurm_gets_an_array_for_each_case(tmp_path):
    fake = tmp_path / "sbatch"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "a b.ini").touch()
    env = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", CORES=96, SBATCH_OPTIONS="--account=me --time=02:00:00")
    done = subprocess.run([ROOT / "jobs" / "scaling.sh", "--slurm", "24x4 48x4 3", "--config", "a b.ini", "--runs", "7", "--out", tmp_path / "out",
                           "--weak", "8", "--set", "prune.k=3"], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    submitted = [line for line in done.stdout.splitlines() if line.startswith("--time=01:00:00 --account=me --time=02:00:00 ")]  # the user's time counts
    assert len(submitted) == 6 and all("--array=1-7 " in line and "--set prune.k=3" in line for line in submitted)
    for line, (name, nodes, each, threads) in zip(submitted, [("strong-24x4", 1, 24, 4), ("strong-48x4", 2, 24, 4), ("strong-3", 1, 3, 1)]):
        assert f"--job-name=olica-{name} " in line and f"--nodes={nodes} --ntasks-per-node={each} --cpus-per-task={threads} " in line
        assert f"--task {name.replace('-', ' ')} --config a b.ini" in line


@pytest.fixture
def stand_in(tmp_path):
    """mpirun writes down what it is given, and leaves what a run leaves that has failed."""
    fake = tmp_path / "mpirun"
    fake.write_text("""#!/bin/bash
{ printf '%s|' "$@"; echo "$OMP_WAIT_POLICY|$OMPI_MCA_mpi_yield_when_idle"; } >>calls
for word; do case $word in output.checkpoint=*) touch "${word#*=}" "${word#*=}".{part,lock,restart.0} ;; esac; done
exit ${CODE:-0}
""")
    fake.chmod(0o755)
    (tmp_path / "my config.ini").touch()

    def run(*arguments, cases="1 4096", **variables):
        (tmp_path / "calls").unlink(missing_ok=True)
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OLICA": "true", "REPORT": "/dev/null", **variables}
        done = subprocess.run([ROOT / "jobs" / "scaling.sh", "--local", cases, "--runs", "1", "--out", "the out", *arguments], cwd=tmp_path,
                              capture_output=True, text=True, env=env)
        calls = tmp_path / "calls"
        return done, [line.split("|") for line in calls.read_text().splitlines()] if calls.exists() else []
    return run


def test_a_study_measures_whole_runs(stand_in, tmp_path):
    """Each run starts anew, with a survey of its own, and leaves no file that the next one could go on with."""
    done, calls = stand_in("--config", "my config.ini", "--set", "prune.sparsity=0.4")
    assert len(calls) == 2
    for call in calls:
        assert "--fresh" in call and "calibration.save=" in call and "prune.sparsity=0.4" in call and call[-3] == "my config.ini"
    assert not list((tmp_path / "the out" / "strong").glob("*.h5*"))
    assert stand_in("--config", "my config.ini", CODE="75")[0].returncode == 75 and not list((tmp_path / "the out" / "strong").glob("*.h5*"))


def test_a_study_leaves_the_environment_alone(stand_in):
    one, many = stand_in("--config", "my config.ini")[1]
    assert one[-2:] == ["passive", ""] and "mpi_yield_when_idle" not in one and "mpi_yield_when_idle" in many
    one, many = stand_in("--config", "my config.ini", OMP_WAIT_POLICY="active", OMPI_MCA_mpi_yield_when_idle="0")[1]
    assert one[-2:] == many[-2:] == ["active", "0"] and "mpi_yield_when_idle" not in many


def test_a_study_names_a_missing_config_file(stand_in):
    done, calls = stand_in("--config", "none.ini")
    assert done.returncode == 2 and "no config file none.ini" in done.stderr and not calls


def test_the_model_without_numpy(study):
    """-S: a Python without packages. Only the fit wants one."""
    plain = lambda *arguments: subprocess.run([sys.executable, "-I", "-S", MODEL, *arguments], capture_output=True, text=True)
    assert "usage: model.py" in plain("--help").stdout
    done = plain("--machine", "/dev/null", "--fit", study[1] / "strong/1x1.1.json")
    assert done.returncode == 1 and "model.py: --fit needs NumPy" in done.stderr and "Traceback" not in done.stderr


def load_model():
    spec = importlib.util.spec_from_file_location("model", MODEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_model_finds_what_the_times_were_made_of(study, tmp_path):
    """Reports whose times follow the model exactly: the fit predicts every one of them, and the class of machine is said to be a prediction."""
    model = load_model()
    known = {"products": 1.5, "sums": 2.0, "passes": 3.0, "weights": 5.0, "solvers": 4.0, "files": 2.0, "datasets": 1e-3, "calls": 1e-4, "start": 0.3}
    machines = [{"ranks": ranks, **RATES} for ranks in (1, 2)]
    (tmp_path / "machine.json").write_text("\n".join(map(json.dumps, machines)))
    for (ranks, report), machine in zip(study[2].items(), machines):
        for samples in (8, 64, 512):
            made = json.loads(json.dumps(report))
            made["settings"]["calibration"]["samples"] = samples
            seconds = model.predict(model.features(model.from_report(made), machine), known)
            for phase in made["phases"]:
                phase["max_s"] = seconds.get(phase["name"], phase["max_s"])
            made["run"]["wall_s"] = sum(seconds.values())
            (tmp_path / f"{ranks}.{samples}.json").write_text(json.dumps(made))
    done = subprocess.run([sys.executable, MODEL, "--machine", tmp_path / "machine.json", "--fit", *tmp_path.glob("?.*.json"), "--save", tmp_path / "c.json",
                           "--predict", ROOT / "jobs" / "machine-class.json", "--ranks", "64,4096"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    judged = [cell.strip(" %") for line in done.stdout.splitlines() for cell in line.split("|")[8:9] if cell.endswith("% ")]
    assert len(judged) > 20 and all(abs(float(off)) <= 1 for off in judged), done.stdout
    assert "PREDICTION, not measured: 7b" in done.stdout
    saved = json.loads((tmp_path / "c.json").read_text())
    assert all(value >= 0 for value in saved["coefficients"].values())
    assert saved["error"]["jobs"] == 6 and saved["error"]["largest"] < 1e-2  # each by coefficients fitted to the five others
    assert re.search(r"\| +[\d.]+ \| +[\d.]+-[\d.]+ \| +[\d.]+ \|", done.stdout), "no interval"


@pytest.mark.parametrize("config, told", [
    ({"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 5632, "vocab_size": 32000, "model_type": "llama"}, True),
    ({"text_config": {"hidden_size": 512, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
                      "intermediate_size": 2048, "vocab_size": 1000, "model_type": "starcoder2"}}, True),
    ({"d_model": 5}, False)])
def test_model_takes_any_config(tmp_path, config, told):
    """Sizes as the file has them; a plain FFN has two matrices; an interval where the coefficients came with their errors."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    flat = {"products": 1.5, "sums": 2.0, "passes": 3.0, "weights": 5.0, "solvers": 4.0, "files": 2.0, "datasets": 1e-3, "calls": 1e-4, "start": 0.3}
    (tmp_path / "c.json").write_text(json.dumps({"coefficients": flat, "error": {"jobs": 5, "mean": 0.1, "sd": 0.2, "largest": 0.3}}))
    done = subprocess.run([sys.executable, MODEL, "--coefficients", tmp_path / "c.json", "--predict", ROOT / "jobs" / "machine-class.json", "--model",
                           tmp_path / "config.json", "--ranks", "8", "--precision", "fp32"], capture_output=True, text=True)
    assert (done.returncode == 0) == told, done.stderr
    if not told:
        assert f"model.py: {tmp_path}/config.json: no config.json of a model with its sizes" in done.stderr
        return
    model = load_model()
    shape = model.shape_of(tmp_path / "config.json")
    work = model.Work(shape, {"calibration": {"samples": 1, "length": 8}, "evaluate": {"length": 8, "dense": True}, "prune": {"sparsity": 0.2, "k": 3, "mlp_num": 2, "ratio": 0.03}},
                      {"ranks": 1, "threads": 1, "nodes": 1, "precision": "fp32"}, 0)
    d, q, kv, f = shape["hidden"], shape["heads"] * shape["head"], shape["kv_heads"] * shape["head"], shape["ffn"]
    assert work.numbers == 2 * d * (q + kv) + (2 if "text_config" in config else 3) * d * f
    job, low, high = re.search(r"\| +([\d.]+) \| +([\d.]+)-([\d.]+) \|", done.stdout).groups()
    half = 2.776 * 0.2 * (1 + 1 / 5) ** 0.5
    assert float(low) == pytest.approx(float(job) * math.exp(0.1 - half), abs=0.1) and float(high) == pytest.approx(float(job) * math.exp(0.1 + half), abs=0.1)


def load_methods():
    sys.path.insert(0, str(ROOT / "jobs"))
    try:
        import scaling_methods
        return scaling_methods
    finally:
        sys.path.remove(str(ROOT / "jobs"))


def test_intervals():
    """Student's t of the logarithms, by hand for three runs; Welch's of a ratio of runs with equal variances is that of their pooled ones."""
    statistics = load_methods()
    low, high = statistics.interval([1.0, math.e, math.e**2])
    half = 4.303 / 3**0.5
    assert (math.log(low), math.log(high)) == pytest.approx((1 - half, 1 + half))
    low, high = statistics.ratio_interval([1.0, math.e, math.e**2], [math.e, math.e**2, math.e**3])
    half = 2.776 * (2 / 3) ** 0.5
    assert (math.log(low), math.log(high)) == pytest.approx((-1 - half, -1 + half))
    assert statistics.interval([1.0, 2.0]) is None and statistics.interval([1.0, 0.0, 2.0]) is None


def test_intervals_and_methods_are_printed(study, tmp_path):
    paths = fabricate(study, tmp_path, (1, 2, 4), runs=4)
    done = subprocess.run([REPORT, "--out", tmp_path / "x", *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    walls = [json.loads(path.read_text())["run"]["wall_s"] for path in paths if path.name.startswith("1.")]
    low, high = load_methods().interval(walls)
    (row,) = (r for r in csv.DictReader((tmp_path / "x.csv").open()) if (r["phase"], r["ranks"]) == ("job", "1"))
    assert float(row["interval_low"]) == pytest.approx(low) and float(row["interval_high"]) == pytest.approx(high) and f"{low:.3f}-{high:.3f}" in done.stdout
    paragraph = done.stdout[done.stdout.index("Methods. "):]
    for words in ("strong scaling of olica_mpi", "3 cases", "was run 4 times", "Student's t", "8 × 128 calibration tokens", "hidden size 192", "1 × 1 on 1, 2 × 1 on 1, 4 × 1 on 1"):
        assert words in paragraph, paragraph


def test_labels_are_cases(study, tmp_path):
    """io: a table of the files by stripes, with rates of all ranks together; binding: its words are a column."""
    for label in ("1", "8"):
        report = json.loads(json.dumps(study[2][2]))
        report["settings"]["io"] = {"striping_factor": label}
        (tmp_path / f"2x1@{label}.1.json").write_text(json.dumps(report))
    done = subprocess.run([REPORT, "--kind", "io", "--out", tmp_path / "x", *sorted(tmp_path.glob("*.json"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report, rows = study[2][2], [line.split("|") for line in done.stdout.split("stripes")[1].splitlines() if line.startswith("|")]
    write = next(p for p in report["phases"] if p["name"] == "write")
    expected = f"{sum(r['bytes_written'] for r in report['ranks']) / write['max_s'] / 1e6:.1f}"
    assert [row[2].strip() for row in rows[1:3]] == ["1", "8"] and all(row[9].strip() == expected for row in rows[1:3]), done.stdout
    assert "with 1, 2 × 1 on 1 with 8" in done.stdout
    assert {r["label"] for r in csv.DictReader((tmp_path / "x.csv").open())} == {"1", "8"}


def test_bars_of_labels(study, tmp_path, scripts):
    """io: MB/s of all ranks, a bar for each stripe count at each number of ranks; binding: seconds of the job; from the least to the most of the runs."""
    def labelled(labels, change):
        paths = []
        for label in labels:
            (tmp_path / label).mkdir()
            for path in fabricate(study, tmp_path / label, (1, 2), change=lambda report, ranks: change(report, label)):
                ranks, run, _ = path.name.split(".")
                paths.append(path.rename(tmp_path / f"{ranks}x1@{label}.{run}.json"))
        return paths

    def bars(script):
        return [[list(map(float, line.split())) for line in lines.splitlines()] for lines in re.findall(r"\$d\d+ << EOD\n(.*?)\nEOD", script, re.S)]

    drawn = scripts("--kind", "io", *labelled(("1", "8"), lambda report, label: report["settings"].setdefault("io", {}).update(striping_factor=label)), names=("read", "write"))
    report = study[2][2]
    least = sum(r["bytes_written"] for r in report["ranks"]) / next(p["max_s"] for p in report["phases"] if p["name"] == "write") / 1.1 / 1e6
    one, eight = bars(drawn["write"])
    assert [round(x, 3) for x, *_ in one] == [-0.2, 0.8] and [round(x, 3) for x, *_ in eight] == [0.2, 1.2]
    for x, middle, low, high in one[1:] + eight[1:]:
        assert low == pytest.approx(least, rel=1e-4) and high == pytest.approx(1.1 * least, rel=1e-4) and low < middle < high
    for name in drawn:
        assert '"1 × 1" 0, "2 × 1" 1' in drawn[name] and 'title "8"' in drawn[name] and "MB/s" in drawn[name]
    for path in tmp_path.glob("*.json"):
        path.unlink()
    job = scripts("--kind", "binding", *labelled(("core", "none"), lambda report, label: None), names=("job",))["job"]
    assert 'title "core"' in job and len(bars(job)) == 2 and "time of the job" in job


def test_weak_by_layers(study, tmp_path):
    """Twice the layers on twice the ranks are the same work of a rank; other models are refused."""
    paths = fabricate(study, tmp_path, (1, 2), change=lambda report, ranks: report["model"].update(layers=3 * ranks))
    done = subprocess.run([REPORT, "--kind", "weak-layers", "--out", tmp_path / "x", *paths], capture_output=True, text=True)
    assert done.returncode == 0 and "weak scaling by layers" in done.stdout and "3 layers a rank" in done.stdout, done.stderr
    paths = fabricate(study, tmp_path, (1, 2))
    done = subprocess.run([REPORT, "--kind", "weak-layers", "--out", tmp_path / "x", *paths], capture_output=True, text=True)
    assert done.returncode == 1 and "model is " in done.stderr


def test_a_deeper_model(tmp_path):
    """Layer i is layer i mod L of the model; it loads, whatever its shards and lists by layer."""
    config = {"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}
    make_model(tmp_path / "model", config=config)
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    done = subprocess.run([ROOT / "jobs" / "deepen.py", tmp_path / "model", "5", tmp_path / "deep"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = (stored(tmp_path / name / "model.safetensors") for name in ("model", "deep"))
    assert len(after) == len(before) + 3 * sum(name.startswith("model.layers.0.") for name in before)
    for name, raw in after.items():
        assert raw == before[re.sub(r"layers\.(\d+)", lambda m: f"layers.{int(m[1]) % 2}", name)], name
    assert json.loads((tmp_path / "deep" / "config.json").read_text())["layer_types"] == ["full_attention", "sliding_attention"] * 2 + ["full_attention"]
    assert (tmp_path / "deep" / "tokenizer.json").read_text() == "{}"


def stored(path):
    """{name: bytes} of a safetensors file."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    return {name: raw[8 + size + x["data_offsets"][0]:8 + size + x["data_offsets"][1]] for name, x in header.items() if name != "__metadata__"}


def test_modes_of_a_study(stand_in, tmp_path):
    """Every kind has its folder, its cases with their labels, and only its own settings."""
    make_model(tmp_path / "m")
    (tmp_path / "c.ini").write_text("[model]\npath = m ; here\n[evaluate]\ntokens = x.npy\n")
    done, calls = stand_in("--config", "c.ini", "--weak", "4", "--weak-layers", "2", "--stripes", "1 8", "--bindings", "none core", "--skip-strong", "yes", cases="1 3", PYTHON=sys.executable)
    told = [next(word for word in call if word.startswith("output.report=")).split("the out/")[1] for call in calls]
    assert told == [f"{kind}/{ranks}x1{label}.1.json" for kind, labels in (("weak", [""]), ("weak-layers", [""]), ("io", ["@1", "@8"]), ("binding", ["@none", "@core"]))
                    for ranks in (1, 3) for label in labels]
    by = dict(zip(told, calls))
    assert f"model.path={tmp_path}/the out/models/2" in by["weak-layers/1x1.1.json"] and "evaluate.tokens=" in by["weak-layers/1x1.1.json"]
    assert "io.striping_factor=8" in by["io/3x1@8.1.json"] and not any(w.startswith("io.") for w in by["weak/1x1.1.json"])
    assert by["binding/1x1@core.1.json"][1] == "core" and by["io/1x1@1.1.json"][1] == "none" and "evaluate.tokens=" not in by["binding/1x1@core.1.json"]
