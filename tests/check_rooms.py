#!/usr/bin/env python3
"""Checks that the house is built as doc/architecture.md says. Standard library and nm only.

    tests/check_rooms.py [ROOT [OBJECTS]]      default: this repository, ROOT/build/release

One line for every breach, 'N passed, M failed' last, exit code 1 on a breach. What is checked:
  rooms     a file includes headers of its own room and of rooms below; one that says "Private to <room>" in its
            first comment only from that room
  cycles    the includes of modules (a .c file counts with the .h beside it) form no cycle
  headers   a header that others may include has its <module>.c beside it, and somebody else includes it
  program   src/main.c uses the installed header, include/olica.h, and nothing else of ours
  world     MPI_COMM_WORLD stands in src/main.c and in tests only
  globals   no object has data that can be written to
  names     what an object exports begins with olica_
  methods   nobody but a method knows its settings and facts by name
"""
import re, subprocess, sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# From the ground up: a room may include the rooms to its left.
ROOMS = "base par la io text model calib prune eval store config inspect plot report export run api".split()

# Each exception with its reason.
PRIVATE_HEADERS = {  # (file, what it includes)
    ("tests/unit/test_budget.c", "../../src/prune/olica/budget.h"): "the budget by itself: thousands of them",
    ("tests/bench/solvers.c", "../../src/prune/rotate.h"): "times both forms of the rotation by themselves",
    ("tests/mpi/test_solver.c", "../../src/la/backend.h"):
        "tries every algorithm of a back end by itself; the facade shows the first that passes its check",
}
WITHOUT_SOURCE = {"src/base/setting.h": "types alone", "src/text/tokens.h": "types alone", "src/text/known_patterns.h": "constants alone",
                  "src/export/types.h": "types alone", "src/export/kind.h": "types alone: read.c has its functions"}  # header: reason
HELPERS = "its .c hands work to a private module, which takes its types"
MUTUAL = {  # (module, a module that its .c alone includes, and that includes its .h): reason
    ("src/base/log", "src/base/env"): "its functions take the environment, which contains the log",
    ("src/base/memory", "src/base/env"): "its functions take the environment, which contains the count",
    ("src/par/context", "src/par/comm"): "makes the context that all communication takes",
    ("src/par/context", "src/par/shared"): "ends what is left of it",
    ("src/par/context", "src/par/watch"): "starts and ends it",
    ("src/io/hdf5", "src/io/hdf5_private"): HELPERS,
    ("src/model/forward", "src/model/passes"): HELPERS,
    ("src/model/source", "src/model/bind"): HELPERS,
    ("src/model/source", "src/model/contradictions"): HELPERS,
    ("src/text/rows", "src/text/scan"): HELPERS,
    ("src/text/surroundings", "src/text/classes"): HELPERS,
    ("src/text/tokenizer", "src/text/tokenizer_parts"): HELPERS,
    ("src/store/checkpoint", "src/store/schema"): HELPERS,
    ("src/model/weights", "src/model/tensors"): "the table has the fields of its layer, and lays them out",
    ("src/la/solver", "src/la/backend"): "its table of back ends, which take its types",
    ("src/prune/method", "src/prune/methods"): "its table of methods, which have its type",
    ("src/eval/tasks", "src/eval/published"): "its table of tasks, which have its type",
    ("src/store/writer", "src/store/format"): "its table of formats, which take its types",
}
GLOBALS = {  # (source, symbol)
    ("src/base/signals.c", "caught"): "what a signal handler notes: it gets no pointer",
    ("src/la/slepc.c", "name"): "argv of SlepcInitialize: PETSc wants char *, not const, and keeps it until it ends",
    ("src/la/slepc.c", "no_file"): "as name",
    ("src/la/slepc.c", "no_signals"): "as name",
}
EXPORTS = {("src/main.c", "main"): "the entry of a program"}
COMPILERS = re.compile(r"__x86\.get_pc_thunk\.|__odr_asan\.|\.L")  # made by the compiler, not by us

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<((?:%s)/[^>]+)>)' % "|".join(ROOMS), re.M)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


class Checks:
    def __init__(self, root, objects):
        self.root, self.objects, self.passed, self.failed = root, objects, 0, 0

    def expect(self, good, text):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(text)

    def files(self, *patterns):
        return sorted(p for pattern in patterns for p in self.root.glob(pattern))

    def name(self, path):
        return path.relative_to(self.root).as_posix()


def blanked(text):
    """Without comments and strings, every line in its place."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def room_of(name):
    """The room of a file, 'main' or 'tests'."""
    parts = name.split("/")
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "main"
    return "tests"


def is_private(path):
    """A header whose first comment names the room that may include it."""
    return re.search(r"\bPrivate\s+(\*\s+)?to\b", path.read_text().split("*/")[0]) is not None


def included_by(path):
    return [match.group(1) or match.group(2) for match in INCLUDE.finditer(path.read_text())]


def breach_of_include(checks, name, included):
    """What is wrong with it, or None."""
    room, folder = room_of(name), (checks.root / name).parent
    if room not in ROOMS + ["main", "tests"]:
        return f"{room} is no known room"
    if (name, included) in PRIVATE_HEADERS:
        return None
    if included == "olica.h":  # the library's own header, installed
        return None if room in ("api", "main", "tests") else "the installed header is api's"
    if room == "main":
        return "the program uses the installed header alone"
    if "/" not in included:
        if not (folder / included).is_file():
            return "not a header of the file's own folder"
        header = folder / included
    elif included.startswith("../") and name.count("/") > 2 and included.count("/") == 1:
        header = folder / included  # a folder in a room sees the room's private headers
        if not header.is_file():
            return f"there is no {included}"
        return None
    else:
        header, other = checks.root / "src" / included, included.split("/")[0]
        if other not in ROOMS or included.count("/") != 1:
            return "neither a room's header nor one of the file's own folder"
        if not header.is_file():
            return f"there is no src/{included}"
        if is_private(header):
            return "private: by its name alone, from its own folder"
        if room in ROOMS and ROOMS.index(other) > ROOMS.index(room):
            return f"{other} lies above {room}"
    if name.endswith(".h") and room != "tests" and not is_private(checks.root / name) and is_private(header):
        return "a public header includes a private one"
    return None


def check_rooms(checks):
    for path in checks.files("src/*.c", "src/*/*.[ch]", "src/*/*/*.[ch]", "tests/*/*.[ch]"):
        name, text = checks.name(path), path.read_text()
        for match in INCLUDE.finditer(text):
            included = match.group(1) or match.group(2)
            line = text.count("\n", 0, match.start()) + 1
            breach = breach_of_include(checks, name, included)
            checks.expect(breach is None, f"{name}:{line}: includes {included}: {breach}")


def includes_of_modules(checks):
    """(module, module that it includes) -> suffixes of the files that do; a module is a path without suffix."""
    edges = {}
    for path in checks.files("src/*/*.[ch]", "src/*/*/*.[ch]"):
        module = path.with_suffix("")
        for included in included_by(path):
            for header in (path.parent / included, checks.root / "src" / included):
                if header.is_file() and header.resolve().with_suffix("") != module:
                    used = header.resolve().with_suffix("")
                    edges.setdefault((checks.name(module), checks.name(used)), set()).add(path.suffix)
    return edges


def check_cycles(checks):
    edges, graph, done = includes_of_modules(checks), {}, set()
    for (module, used), suffixes in edges.items():
        if (module, used) not in MUTUAL or suffixes != {".c"}:
            graph.setdefault(module, []).append(used)
    if checks.root == REPOSITORY:
        for pair in sorted(set(MUTUAL) - set(edges)):
            checks.expect(False, f"{pair[0]}: does not include {pair[1]}, expected no exception for it (MUTUAL)")

    def visit(module, way):
        if module in way:
            cycle = way[way.index(module):] + [module]
            checks.expect(False, f"{module}: a cycle of includes: {' -> '.join(cycle)}")
        elif module not in done:
            for used in sorted(graph.get(module, ())):
                visit(used, way + [module])
            done.add(module)
            checks.expect(True, "")

    for module in sorted(graph):
        visit(module, [])


def check_headers(checks):
    users = checks.files("src/*.c", "src/*/*.[ch]", "src/*/*/*.[ch]", "tests/*/*.[ch]")
    wanted = set()  # by another room, or by a header that another room may include
    for user in users:
        room, public = room_of(checks.name(user)), user.suffix == ".h" and not is_private(user)
        wanted |= {header for header in included_by(user) if public or header.split("/")[0] != room}
    for path in checks.files("src/*/*.h"):
        name = checks.name(path)
        if is_private(path):
            continue
        checks.expect(name in WITHOUT_SOURCE or path.with_suffix(".c").is_file(), f"{name}: there is no {name[:-1]}c")
        checks.expect(name[len("src/"):] in wanted, f"{name}: no other room includes it, expected 'Private to {room_of(name)}.'"
                                                    " in its first comment")


def check_world(checks):
    for path in checks.files("src/*/*.[ch]", "src/*/*/*.[ch]"):
        text = blanked(path.read_text())
        found = re.search(r"\bMPI_COMM_WORLD\b", text)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        checks.expect(not found, f"{checks.name(path)}:{line}: MPI_COMM_WORLD, expected a communicator of the context")


def words_of(folder):
    """Settings and facts of the method in that folder, but for words that anybody may use."""
    text = "".join(path.read_text() for path in folder.glob("*.c"))
    words = set(re.findall(r"^  SETTING\((\w+),", text, re.M)) | set(re.findall(r'^    \[\w+\] = \{"(\w+)"', text, re.M))
    return {word for word in words if "_" in word or word in ("percdamp", "ond")}


def check_methods(checks):
    folders = sorted(p for p in (checks.root / "src/prune").glob("*") if p.is_dir())
    for folder in folders:
        words = words_of(folder)
        known = re.compile(r"\b(" + "|".join(sorted(words) or ["$^"]) + r")\b")
        for path in checks.files("src/*.c", "src/*/*.[ch]", "src/*/*/*.[ch]"):
            if folder in path.parents:
                continue
            own = {word for other in folders if other in path.parents for word in words_of(other)}  # of the same name
            found = next((match for match in known.finditer(path.read_text()) if match.group() not in own), None)
            checks.expect(not found, f"{checks.name(path)}: knows {found and found.group()} of the method {folder.name}")


def symbols(path):
    """(name, class letter, section) of every symbol that the object defines."""
    text = subprocess.run(["nm", "-f", "sysv", str(path)], capture_output=True, text=True, check=True).stdout
    rows = [[field.strip() for field in line.split("|")] for line in text.splitlines() if line.count("|") >= 6]
    return [(row[0], row[2], row[6]) for row in rows if row[2] not in "Uwv"]


def is_writable(kind, section):
    """Tables of pointers lie in .data.rel.ro: the loader fills them in, then they are read-only."""
    return (kind == "C" or section.startswith((".bss", ".tbss", ".tdata", ".data", ".sdata", ".sbss", "*COM"))) \
        and not section.startswith(".data.rel.ro")


def check_objects(checks):
    for path in checks.files("src/*.c", "src/*/*.c", "src/*/*/*.c"):
        source = checks.name(path)
        compiled = checks.objects / (source[:-1] + "o")
        checks.expect(compiled.is_file(), f"{source}: no {compiled}: build first (make)")
        if not compiled.is_file():
            continue
        found = [s for s in symbols(compiled) if not COMPILERS.match(s[0])]
        for symbol, kind, section in found:
            plain = symbol.split(".")[0]  # a static of a function is called name.N
            if is_writable(kind, section):
                checks.expect((source, plain) in GLOBALS, f"{source}: {plain} is a variable outside of functions ({section})")
            if kind.isupper():
                good = symbol.startswith("olica_") or (source, symbol) in EXPORTS
                checks.expect(good, f"{source}: exports {symbol}, expected olica_...")
        checks.expect(bool(found), f"{compiled}: has no symbols")


def main(arguments):
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    checks = Checks(root, Path(arguments[1]).resolve() if len(arguments) > 1 else root / "build" / "release")
    for check in (check_rooms, check_cycles, check_headers, check_world, check_methods, check_objects):
        check(checks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
