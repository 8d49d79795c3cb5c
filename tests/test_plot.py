"""--plot: data files that hold the reports' numbers, scripts that gnuplot draws without complaint at any number of layers, a
page that needs nothing else; what is no report is refused by its member, a directory of others is left alone."""
import html, json, math, re, shutil, subprocess

import pytest

from damage import Job
from helpers import BINARY, environment

OK, USAGE, INPUT, IO = 0, 2, 3, 4
GNUPLOT = shutil.which("gnuplot")
POINTS = 17


def made(layers, method="olica", sparsity=0.2, dense=134515008, perplexity=60.0):
    """The report of a job that nobody ran, with all that is drawn; numbers that differ from layer to layer."""
    wave = [0.5 + 0.4 * math.sin(0.7 * i) for i in range(layers)]
    rows = [{"layer": i, "q_rank": 100 + i % 7, "k_rank": 60, "vo_width": 160, "ffn_width": int(900 + 300 * wave[i]),
             "branch_rank": 16 * (i % 3 == 0), "q_error": 0.3 + 0.1 * wave[i], "k_error": 0.2 + 0.05 * wave[i],
             "q_energy": 0.97, "k_energy": 0.95, "q_spectrum": [math.exp(-0.2 * p * (1 + wave[i])) for p in range(POINTS)],
             "k_spectrum": [math.exp(-0.1 * p * (1 + wave[i])) for p in range(POINTS)],
             "ffn_importance": [0.2 * math.exp(0.3 * p * (0.5 + wave[i])) for p in range(POINTS)]} for i in range(layers)]
    if method != "olica":
        for row in rows:
            for key in [key for key in row if key[:2] in ("q_", "k_")]:
                row[key] = 0 if key.endswith("rank") else row.pop(key)
            row.update(q_rank=0, k_rank=0, vo_width=192, branch_rank=0, down_change=row["ffn_width"] / 2000)
            for key in ("q_spectrum", "k_spectrum", "q_energy", "k_energy", "q_error", "k_error"):
                row.pop(key, None)
    seconds = {"survey": 120.5, "advance": 60.25, "collect": 44.0, "solve": 12.5, "solve.query": 3.0, "read": 0.25, "evaluate": 33.0}
    phases = [{"name": name, "calls": layers, "min_s": s, "mean_s": s, "max_s": s, "slowest_rank": 0, "slowest_host": "node1",
               "comm_s": s / 10, **({"tokens_per_s": 1e5 / s} if name in ("survey", "advance", "evaluate") else {})} for name, s in seconds.items()]
    report = {"olica_mpi": {"version": "0"}, "status": "ok", "exit_code": 0,
              "run": {"ranks": 2, "nodes": 1, "threads": 1, "kernel": "OpenBLAS", "started": "2026-01-31T12:00:00Z", "wall_s": 271.0,
                      "command_line": "olica_mpi job.ini"},
              "settings": {"prune": {"method": method, "sparsity": sparsity}, "evaluate": {"text": "wikitext2-test.txt"}},
              "model": {"kind": "huggingface", "family": "llama", "layers": layers, "hidden": 576, "heads": 9, "kv_heads": 3, "head": 64,
                        "ffn": 1536, "vocabulary": 49152, "context": 2048, "tied": True},
              "parameters": {"dense": dense, "pruned": int(dense * (1 - sparsity)), "sparsity_requested": sparsity, "sparsity_reached": sparsity},
              "layers": rows,
              "layer_times": [{"layer": i, "sweep": sweep, "wall_s": 1 + wave[i] + (sweep == "prune")} for sweep in ("survey", "prune") for i in range(layers)],
              "perplexity": {"dense": perplexity, "pruned": perplexity * (1 + 4 * sparsity), "windows": 100, "tokens": 12700},
              "phases": phases, "warnings": [{"text": "a warning", "count": 2}]}
    if method == "olica":
        report.update(linearity_score=wave, calibrated_layers=[i for i in range(layers) if i % 3 == 0])
    else:
        report["probe_kl"] = [0.01 * math.exp(5 * w) for w in wave]
    return report


def write(path, report):
    path.write_text(json.dumps(report))
    return path


def plot(out, *reports, code=OK, path=None, arguments=()):
    done = subprocess.run([BINARY, *arguments, "--plot", out, *reports], capture_output=True, text=True, timeout=120,
                          env=environment(**({"PATH": path} if path else {})))
    assert done.returncode == code, done.stdout + done.stderr
    return done


def numbers(path):
    """The lines of a data file as lists of words, without comments."""
    return [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]


def drawn(out):
    """Names of the pictures that are there, each whole."""
    for svg in out.glob("*.svg"):
        assert "</svg>" in svg.read_text(encoding="utf8")[-20:] and svg.with_suffix(".png").read_bytes()[-8:-4] == b"IEND"
    return {path.stem for path in out.glob("*.svg")}


OLICA = {"perplexity", "speed", "widths", "linearity", "errors", "spectra", "importance", "time", "layer-times"}


@pytest.mark.parametrize("layers", [1, 3, 80])
def test_all_pictures(tmp_path, layers):
    report = made(layers)
    done = plot(tmp_path / "out", write(tmp_path / "r.json", report))
    out = tmp_path / "out"
    assert {path.stem for path in out.glob("*.dat")} == {path.stem for path in out.glob("*.gp")} == OLICA
    assert done.stdout.startswith(f"{out}/index.html: {len(OLICA)} pictures of 1 report")
    if GNUPLOT:
        assert drawn(out) == OLICA and done.stderr == ""  # gnuplot's own warnings would be there
    widths = numbers(out / "widths.dat")
    assert [float(row[1]) for row in widths] == pytest.approx([100 * row["ffn_width"] / 1536 for row in report["layers"]], rel=1e-6)
    assert [float(row[4]) for row in widths] == pytest.approx([100 * row["q_rank"] / 576 for row in report["layers"]], rel=1e-6)
    assert [float(row[1]) for row in numbers(out / "linearity.dat")] == pytest.approx(report["linearity_score"])
    assert [float(word) for row in numbers(out / "perplexity.dat") for word in row] == pytest.approx([107.612006, 108.0, 134.515008, 60.0], rel=1e-7)
    times = {row[3].strip('"'): float(row[1]) for row in numbers(out / "time.dat")}
    assert times == {p["name"]: p["mean_s"] for p in report["phases"] if "." not in p["name"]}
    importance = [list(map(float, row)) for row in numbers(out / "importance.dat")]
    assert len(importance) == layers * (POINTS + 1)
    assert [row[2] for row in importance[:POINTS]] == pytest.approx([y / report["layers"][0]["ffn_importance"][POINTS // 2] for y in report["layers"][0]["ffn_importance"]], rel=1e-5)
    spectra = [row for row in numbers(out / "spectra.dat") if row[0] != "?"]
    assert len(spectra) == 2 * layers * POINTS and float(spectra[POINTS - 1][1]) == pytest.approx(100 * 100 / 576, rel=1e-5)


def test_several_reports(tmp_path):
    """Pictures of all, and of each under its number; a line for each method; names that tell them apart."""
    reports = [write(tmp_path / f"{m}{s}.json", made(3, m, s)) for m in ("olica", "refit") for s in (0.1, 0.3)]
    reports.append(write(tmp_path / "again.json", made(3, "olica", 0.1, perplexity=61)))
    out = tmp_path / "out"
    plot(out, *reports)
    names = {path.stem for path in out.glob("*.dat")}
    assert {"perplexity", "speed", "1-widths", "2-spectra", "3-sensitivity", "5-time"} <= names and "3-spectra" not in names
    assert {row[1] + row[2] + row[3] for row in map(lambda r: (r + [""] * 4), (re.findall(r'[^\s"]+', line) for line in (out / "speed.dat").read_text().splitlines()[1:]))} \
        >= {"olica10%", "refit30%"}
    assert '"olica 10 %, again.json"' in (out / "speed.dat").read_text()
    assert (out / "perplexity.gp").read_text().count("linespoints") == 2
    page = (out / "index.html").read_text()
    assert page.count("<h2>") == 5 and "refit 30 %" in page


def test_page_needs_nothing_else(tmp_path):
    report = made(3)
    report["message"] = "<script>alert(1)</script> & \"more\""
    report["status"] = "failed"
    report["run"]["command_line"] = "olica_mpi '<b>'"
    done = plot(tmp_path / "out", write(tmp_path / "r.json", report))
    assert "has the status failed" in done.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert not re.search(r"<script|<link|https?://|<b>|@import|url\(", page)
    assert html.escape(report["message"]) in page and "a warning (2 times)" in page and "prune.sparsity" in page
    assert 'name="viewport"' in page and "prefers-color-scheme:dark" in page
    assert "107 612 006" in page and "108.0000" in page
    assert all(source.startswith("data:image/svg+xml;base64,") for source in re.findall(r'src="([^"]*)', page))
    assert page.count("<figure>") == page.count("</figure>") == len(OLICA)
    assert not GNUPLOT or page.count("<img") == len(OLICA)


def test_names_stay_text(tmp_path):
    """Nothing of a report is run by gnuplot, or ends its strings."""
    report = made(3)
    report["settings"]["prune"]["method"] = '"`id`\\'
    report["phases"][0]["name"] = '"; system("touch ' + str(tmp_path / "run") + '"); "'
    report["settings"]["evaluate"]["text"] = '`touch x`".txt'
    other = made(3, sparsity=0.3)
    out = tmp_path / "out"
    plot(out, write(tmp_path / 'r`id`".json', report), write(tmp_path / "s.json", other))
    assert not (tmp_path / "run").exists() and not (out / "x").exists()
    assert not re.search(r'[^\\]`', "".join(path.read_text() for path in out.glob("*.gp")))


def missing(*keys):
    def change(report):
        for key in keys[:-1]:
            report = report[key]
        del report[keys[-1]]
    return change


def put(value, *keys):
    def change(report):
        for key in keys[:-1]:
            report = report[key]
        report[keys[-1]] = value
    return change


@pytest.mark.parametrize("change, words", [
    (missing("olica_mpi"), "olica_mpi is missing, expected an object"),
    (missing("status"), "status is missing"),
    (put([], "model"), "model is an array"),
    (put(0, "model", "layers"), "layers is 0"),
    (put(10**9, "model", "layers"), "layers is 1000000000"),
    (put({}, "layers"), "layers is an object"),
    (put("x", "layers", 1), 'layers is the string "x"'),
    (put("wide", "layers", 1, "ffn_width"), 'layers: ffn_width is the string "wide", expected a number'),
    (put([1, "a"], "layers", 0, "q_spectrum"), "layers: q_spectrum is an array"),
    (put(7, "phases", 0, "name"), "phases: name is 7, expected a string"),
    (put("fast", "phases", 0, "mean_s"), "phases: mean_s"),
    (put([1, None], "linearity_score"), "linearity_score is null"),
    (put({"0": 1}, "linearity_score"), "linearity_score is an object"),
    (put(3, "layer_times"), "layer_times is 3"),
    (put(5, "perplexity"), "perplexity is 5"),
])
def test_wrong_reports(tmp_path, change, words):
    good, report = write(tmp_path / "good.json", made(3)), made(3)
    change(report)
    done = plot(tmp_path / "out", good, write(tmp_path / "bad.json", report), code=INPUT)
    assert "bad.json" in done.stderr and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "not JSON", '{"pairs": []}'])
def test_no_reports(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    assert "r.json" in plot(tmp_path / "out", tmp_path / "r.json", code=INPUT).stderr
    assert "gone.json" in plot(tmp_path / "out", tmp_path / "gone.json", code=INPUT).stderr
    assert not (tmp_path / "out").exists()


def test_names_that_exist(tmp_path):
    report, out = write(tmp_path / "r.json", made(3)), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    for name in ("mine.txt", "index.html"):
        done = plot(out, report, code=USAGE)
        assert f"holds {name}" in done.stderr and [path.name for path in out.iterdir()] == [name]
        (out / name).rename(out / "index.html")
    assert "is no directory" in plot(report, report, code=USAGE).stderr
    assert plot(tmp_path / "no" / "out", report, code=IO).stderr.count("ERROR") == 1
    (out / "index.html").unlink()
    plot(out, report, write(tmp_path / "s.json", made(3, "refit")))
    (out / "notes.txt").write_text("kept")
    plot(out, report)  # its own earlier pictures go, other files stay
    assert not list(out.glob("[12]-*")) and (out / "notes.txt").read_text() == "kept" and (out / "widths.gp").exists()


def test_without_gnuplot(tmp_path):
    report, out, empty = write(tmp_path / "r.json", made(3)), tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    done = plot(out, report, path=empty)
    assert "gnuplot is not in PATH" in done.stderr and "gnuplot-nox" in done.stderr and "not drawn" in done.stdout
    assert {path.stem for path in out.glob("*.gp")} == {path.stem for path in out.glob("*.dat")} == OLICA
    assert not list(out.glob("*.svg")) and "gnuplot widths.gp" in (out / "index.html").read_text()
    (empty / "gnuplot").write_text("#!/bin/sh\nfor end in svg png; do echo '<svg></svg>' >${2%gp}$end; done\necho a warning of its own >&2\n")
    (empty / "gnuplot").chmod(0o755)
    assert "gnuplot: widths.gp: a warning of its own" in plot(out, report, path=f"{empty}:/usr/bin:/bin").stderr
    (empty / "gnuplot").write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    assert "failed: it is broken" in plot(out, report, path=f"{empty}:/usr/bin:/bin", code=IO).stderr


def test_other_texts_are_told(tmp_path):
    one, two = made(3), made(3, "refit")
    two["perplexity"]["tokens"] = 5000
    done = plot(tmp_path / "out", write(tmp_path / "r.json", one), write(tmp_path / "s.json", two))
    assert "perplexities of different texts cannot be compared" in done.stderr and "5000 tokens" in done.stderr
    assert "5000 tokens" in (tmp_path / "out" / "perplexity.gp").read_text()
    assert "cannot be compared" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("arguments, words", [(["--plot"], "--plot needs OUTDIR"), (["--plot", "out"], "needs reports"), (["--plot", "", "r.json"], "needs a directory"),
                                              (["--check", "--plot", "out", "r.json"], "expected one command")])
def test_command_line(tmp_path, arguments, words):
    write(tmp_path / "r.json", made(1))
    done = subprocess.run([BINARY, *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert done.returncode == USAGE and words in done.stderr


def test_report_of_a_run(tmp_path):
    """A run's own report, and a comparison's summary."""
    job = Job(tmp_path)
    run = job.run(2)
    assert run.returncode == OK, run.stderr
    report = json.loads((job.out / "report.json").read_text())
    done = plot(tmp_path / "pictures", job.out / "report.json")
    assert "ERROR" not in done.stderr
    names = {path.stem for path in (tmp_path / "pictures").glob("*.dat")}
    assert {"widths", "linearity", "time", "layer-times", "speed", "perplexity", "spectra", "importance"} <= names
    for layer in report["layers"]:
        assert layer["ffn_importance"] == sorted(layer["ffn_importance"]) and layer["q_spectrum"] == sorted(layer["q_spectrum"], reverse=True)
        assert len(layer["ffn_importance"]) == len(layer["k_spectrum"]) == POINTS and 0 < layer["q_energy"] <= 1 + 1e-6
    summary = {"olica_mpi": "0", "status": "ok", "dense": {}, "pairs": [{"method": "olica", "report": "report.json"}, {"method": "refit", "status": "config"}]}
    write(job.out / "summary.json", summary)
    done = plot(tmp_path / "compared", job.out / "summary.json")
    assert "pair 1 has no report" in done.stderr and "1 report" in done.stdout
    assert f"{report['parameters']['pruned'] / 1e6:.8g}" in (tmp_path / "compared" / "perplexity.dat").read_text()
