"""`make install`: all is where it belongs, the manual and the completion know what the program knows, and `make uninstall`
leaves nothing. And packaging/: the recipes name what the Makefile wants. (packaging/test-*.sh run them for good.)"""
import os, re, subprocess, sys, types

import pytest
from helpers import BINARY, ROOT, environment

PREFIX = "/opt/olica"
COMPLETION = ROOT / "packaging" / "olica_mpi.bash"


def make(target, destination):
    done = subprocess.run(["make", "-s", target, f"BUILD={os.environ.get('OLICA_BUILD', 'release')}", f"PREFIX={PREFIX}",
                           f"DESTDIR={destination}"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def program(option):
    return subprocess.run([BINARY, option], capture_output=True, text=True, check=True).stdout


def options():
    return re.findall(r"^  (--\S+)", program("--help").split("\n\n")[2], re.M)


def settings():
    """Section and key of everything that may stand in a config file."""
    sections = re.split(r"\n\[(\w+)\]\n", program("--list").split("\nmethods")[0])
    return [(s, key) for s, body in zip(sections[1::2], sections[2::2]) for key in re.findall(r"^  (\w+) =", body, re.M)]


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    destination = tmp_path_factory.mktemp("destination")
    make("install", destination)
    return destination


def test_all_is_there(installed):
    version = program("--version").split()[1]
    found = {name[len(PREFIX):] for name in files(installed)}
    assert {"bin/olica_mpi", "share/man/man1/olica_mpi.1", "share/bash-completion/completions/olica_mpi",
            f"share/modulefiles/olica_mpi/{version}", "share/doc/olica_mpi/README.md", "share/doc/olica_mpi/doc/methods.md", "share/doc/olica_mpi/doc/perplexity.svg"} <= found
    expected = {f"share/olica_mpi/{path.relative_to(ROOT)}" for folder in ("input", "jobs", "tools") for path in (ROOT / folder).rglob("*")
                if path.is_file() and not path.name.startswith("test-")}
    assert {name for name in found if name.startswith("share/olica_mpi/")} == expected
    assert subprocess.run([installed / PREFIX[1:] / "bin/olica_mpi", "--version"]).returncode == 0
    for name in (f"share/modulefiles/olica_mpi/{version}", "share/man/man1/olica_mpi.1"):
        text = (installed / PREFIX[1:] / name).read_text()
        assert PREFIX in text and version in text and "@" not in text and str(installed) not in text


def test_links_of_documents_lead_somewhere(installed):
    seen = 0
    for path in (installed / PREFIX[1:] / "share").rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text()):
            seen += 1
            assert (path.parent / link).exists(), f"{path}: {link}"
    assert seen > 30


def without_blocks(text):
    return re.sub(r"(?ms)^```.*?^```", "", text)


def anchors(path):
    """Those that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(path.read_text()), re.M)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.strip().lower())) for heading in headings}


def test_anchors_of_documents_exist(installed):
    seen = 0
    for path in (installed / PREFIX[1:] / "share/doc").rglob("*.md"):
        for link, anchor in re.findall(r"\]\(([^)#:\s]*)#([^)]+)\)", without_blocks(path.read_text())):
            seen += 1
            target = path.parent / link if link else path
            assert anchor in anchors(target), f"{path}: {link}#{anchor}"
    assert seen > 20


def test_the_installed_demo_works(installed, tmp_path):
    """From anywhere, as a user who may not write where it lies, and over no file that this user may have."""
    config = installed / PREFIX[1:] / "share/olica_mpi/input/demo/config.ini"
    assert f"{PREFIX}/share/olica_mpi/input/demo/config.ini" in config.read_text() and "build" not in config.read_text()
    before = files(installed)
    (tmp_path / "pruned.h5").write_text("precious")
    done = subprocess.run([BINARY, "--set=evaluate.windows=4", "--set=calibration.samples=8", config], capture_output=True, text=True, cwd=tmp_path,
                          env=environment())
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"pruned.h5", "olica-demo-pruned.h5", "olica-demo-report.json"}
    assert (tmp_path / "pruned.h5").read_text() == "precious" and files(installed) == before
    (tmp_path / "mine").mkdir()
    done = subprocess.run([BINARY, "--check", "--output", "mine", config], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.returncode == 0 and "checkpoint   mine/olica-demo-pruned.h5, " in done.stdout, done.stdout + done.stderr


def test_uninstall_leaves_nothing(tmp_path):
    make("install", tmp_path)
    bystander = tmp_path / PREFIX[1:] / "bin" / "other"
    bystander.write_text("somebody else's\n")
    make("uninstall", tmp_path)
    assert files(tmp_path) == {str(bystander.relative_to(tmp_path))}
    assert not [path for path in tmp_path.rglob("*olica_mpi*")]


def test_manual(installed):
    page = installed / PREFIX[1:] / "share/man/man1/olica_mpi.1"
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout
    shown = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", page], capture_output=True, text=True, check=True).stdout
    shown = re.sub(".\b", "", shown)
    entries = shown[shown.index("\nOPTIONS"):shown.index("\nCONFIG FILE")]
    assert re.findall(r"^     (--\S+)", entries, re.M) == options()
    sections = re.split(r"\n   \[(\w+)\]\n", shown[:shown.index("\n   methods (")])
    described = [(s, key) for s, body in zip(sections[1::2], sections[2::2]) for key in re.findall(r"^     (\w+) =", body, re.M)]
    assert described == settings() and len(described) > 30
    codes = re.findall(r"^     (\d+) ", shown[shown.index("\nEXIT STATUS"):], re.M)
    assert codes == re.findall(r"\d+", program("--help")[program("--help").index("exit codes"):])


def complete(*words):
    """What bash would offer for the last word; it cuts a line at spaces and at '='."""
    script = f'. {COMPLETION}; compopt() {{ :; }}; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _olica_mpi; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script, "bash", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def methods():
    names = re.findall(r"^  (\S+) ", program("--list").split("methods ([prune] method)\n")[1].split("\n\n")[0], re.M)
    assert names[:3] == ["none", "olica", "magnitude"]
    return names


COMPLETIONS = {
    "one option": (["--verif"], ["--verify"]),
    "a section": (["--set", "solver."], ["solver.eigen=", "solver.precision=", "solver.block="]),
    "choices": (["--set", "prune.method", "="], methods),
    "a choice": (["--set", "solver.eigen", "=", "sc"], ["scalapack"]),
    "yes or no": (["--set", "output.overwrite", "=", ""], ["yes", "no"]),
    "a word or a number": (["--set", "compute.threads", "=", ""], ["auto"]),
    "a number": (["--set", "prune.sparsity", "=", ""], []),
    "the config file is a file": (["--quiet", "conf"], []),
}


@pytest.mark.parametrize("what", COMPLETIONS)
def test_completion(what):
    words, offered = COMPLETIONS[what]
    assert complete(BINARY, *words) == (offered() if callable(offered) else offered)


def test_completion_knows_everything():
    assert complete(BINARY, "-") == options()
    assert complete("mpirun", "-n", "2", BINARY, "--set", "") == [f"{s}.{key}=" for s, key in settings() if s != "io"]
    assert complete("mpirun", "-n", "") == []


def recipe():
    """The Spack recipe, run with stand-ins for what it uses of Spack: its class, and what it depends on."""
    needs = []
    spack = types.ModuleType("spack.package")
    spack.__dict__.update({"depends_on": lambda spec, **_: needs.append(re.split(r"[@+~ ]", spec)[0]), "version": lambda *_, **__: None,
                           "run_after": lambda *_, **__: lambda f: f, "on_package_attributes": lambda **_: lambda f: f})
    spack.__all__ = [name for name in spack.__dict__ if not name.startswith("_")]
    makefile = types.ModuleType("makefile")
    makefile.MakefilePackage = object
    stand_ins = {"spack": types.ModuleType("spack"), "spack.package": spack, "spack_repo.builtin.build_systems.makefile": makefile,
                 **{name: types.ModuleType(name) for name in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems")}}
    path = ROOT / "packaging/spack_repo/olica/packages/olica_mpi/package.py"
    scope = {"__file__": str(path), "__name__": "recipe"}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        exec(compile(path.read_text(), path, "exec"), scope)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    return scope["OlicaMpi"], needs, path.read_text()


def test_spack_recipe_names_what_the_makefile_wants():
    package, needs, text = recipe()
    assert package.git == ROOT.as_uri()
    makefile = (ROOT / "Makefile").read_text()
    of = {"$(SCALAPACK)": "netlib-scalapack", "$(HDF5)": "hdf5", "zlib": "zlib-api", "libpcre2-8": "pcre2", "libutf8proc": "utf8proc"}
    libraries = re.search(r"^packages +=(.*)", makefile, re.M).group(1).split()
    assert {of.get(name, name) for name in libraries} | {"openmpi", "onednn", "pkgconfig", "gmake", "c"} == set(needs)
    for variable in re.findall(r'f?"(\w+)=', text):
        assert re.search(rf"^{variable} +=", makefile, re.M), f"the Makefile has no {variable}"


def test_apptainer_definition_has_its_sections():
    text = (ROOT / "packaging/apptainer.def").read_text()
    assert re.search(r"^Bootstrap: docker\nFrom: debian:12\n", text, re.M)
    assert re.findall(r"^%(\w+)", text, re.M) == ["files", "post", "environment", "runscript", "test", "labels", "help"]
