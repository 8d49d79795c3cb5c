"""tests/check_rooms.py: it reports nothing in this repository, and every kind of breach in a repository that has it."""
import re, subprocess, sys

import pytest
from helpers import OBJECTS, ROOT

SCRIPT = ROOT / "tests" / "check_rooms.py"


def check(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_members_of_the_report():
    """doc/report.md names every member that report.json can have, and each phase."""
    told = (ROOT / "doc" / "report.md").read_text()  # `wall` gets its _s when it is put
    sources = [(ROOT / "src" / "report" / name).read_text() for name in ("report_json.c", "passage.c")]
    members = {word for text in sources for word in re.findall(r'"([a-z_]{2,})"', text)}
    everything = "".join(path.read_text() for path in (ROOT / "src").glob("**/*.c"))
    methods = "".join(path.read_text() for path in (ROOT / "src" / "prune").glob("**/*.c"))
    members |= set(re.findall(r'(?:\[OLICA_FACT_\w+\] =|olica_finding\)) ?\{"(\w+)"', methods))
    phases = set(re.findall(r'(?:olica_timer_start|OLICA_TIMED)\([^;"]*"([a-z]+)"', everything))
    assert len(members) > 60 and len(phases) > 5 and {"q_error", "calibrated_layers"} <= members
    assert not [word for word in sorted((members | phases) - {"wall"}) if f"`{word}`" not in told]


def test_rooms():
    done = check(ROOT, OBJECTS)
    assert done.returncode == 0, done.stdout + done.stderr


# What is added to a file -> what is said about it. Walls and headers are read from the text:
IN_TEXT = {
    "above": ("src/base/a.c", '#include "par/b.h"\n', "src/base/a.c:4: includes par/b.h: par lies above base"),
    "above in a header": ("src/base/a.h", "#include <par/b.h>\n", "par lies above base"),
    "private of a peer": ("src/par/b.c", '#include "base/secret.h"\n', "private: by its name alone"),
    "private of a peer, by its path": ("src/par/b.c", '#include "../base/secret.h"\n', "neither a room's header nor"),
    "private in public": ("src/base/a.h", '#include "secret.h"\n', "a public header includes a private one"),
    "private in a test": ("tests/unit/test_a.c", '#include "../../src/base/secret.h"\n', "neither a room's header nor"),
    "no such header": ("src/base/a.c", '#include "base/none.h"\n', "there is no src/base/none.h"),
    "program": ("src/main.c", '#include "par/b.h"\n', "the program uses the installed header alone"),
    "installed header": ("src/par/b.c", '#include "olica.h"\n', "the installed header is api's"),
    "unknown room": ("src/cellar/c.c", '#include "base/a.h"\n', "cellar is no known room"),
    "no source": ("src/base/c.h", "\n", "there is no src/base/c.c"),
    "method's setting": ("src/par/b.c", "/* lowest_num */\n", "knows lowest_num of the method first"),
    "method's fact": ("src/par/b.c", "/* its_error */\n", "knows its_error of the method first"),
    "method's header": ("src/prune/b.c", '#include "first/a.h"\n', "neither a room's header nor"),
    "room's private": ("src/prune/first/a.c", '#include "../../par/b.h"\n', "neither a room's header nor"),
    "world": ("src/par/b.c", "int MPI_COMM_WORLD(void);\n", "src/par/b.c:3: MPI_COMM_WORLD"),
    "not built": ("src/base/d.c", "\n", "build first"),
}
# ... the rest from the objects.
IN_OBJECTS = {
    "variable": ("src/base/a.c", "int olica_a_count = 3;\n", "olica_a_count is a variable"),
    "zero variable": ("src/base/a.c", "int olica_a_zero;\n", "olica_a_zero is a variable"),
    "static in a function": ("src/base/a.c", "int olica_a_next(void) { static int n; return n++; }\n", "n is a variable"),
    "thread variable": ("src/base/a.c", "_Thread_local int olica_a_local;\n", "olica_a_local is a variable"),
    "name": ("src/base/a.c", "int helper(void) { return 1; }\n", "exports helper, expected olica_..."),
}


def build_house(root):
    """Two rooms in which all is well, with what must not be taken for a breach."""
    files = {
        "src/base/a.h": "int olica_a_one(void); /* not MPI_COMM_WORLD */\n",
        "src/par/b.h": '#include "base/a.h"\n',
        "src/base/a.c": '#include "base/a.h"\n'
                        "static const char *const words[] = {\"MPI_COMM_WORLD\", \"b\"};\n"
                        "int olica_a_one(void) { return words[0][0]; }\n",
        "src/base/secret.h": "/* Private to base. */\n",
        "src/par/b.c": '#include "par/b.h"\nint olica_b_two(void) { return olica_a_one(); }\n',
        "src/prune/shared.h": "/* Private to prune. */\n",
        "src/prune/first/a.h": "\n",
        "src/prune/first/a.c": '#include "../shared.h"\n#include "a.h"\n'
                               '/*\n  SETTING(lowest_num, 1)\n    [X] = {"its_error", ""}\n*/\nint olica_first_one(void) { return 1; }\n',
        "include/olica.h": "int olica_one(void);\n",
        "src/main.c": '#include "olica.h"\nint MPI_COMM_WORLD(void);\nint main(void) { return olica_one(); }\n',
        "tests/unit/test_a.c": '#include "base/a.h"\n#include "par/b.h"\n',
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def compile_house(root):
    for source in root.glob("src/**/*.c"):
        target = root / "build/release" / source.relative_to(root).with_suffix(".o")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-fPIC", f"-I{root}/src", f"-I{root}/include", "-c", source, "-o", target], check=True)


def add(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + text)


def expect_breach(root, said):
    done = check(root)
    assert done.returncode == 1 and said in done.stdout, done.stdout + done.stderr
    assert not done.stdout.splitlines()[-1].endswith(" 0 failed")


def test_sound_house(tmp_path):
    build_house(tmp_path)
    compile_house(tmp_path)
    done = check(tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith(" passed, 0 failed"), done.stdout


@pytest.mark.parametrize("kind", IN_TEXT)
def test_text_is_read(kind, tmp_path):
    build_house(tmp_path)
    compile_house(tmp_path)
    name, text, said = IN_TEXT[kind]
    add(tmp_path, name, text)
    expect_breach(tmp_path, said)


@pytest.mark.parametrize("suffix", [".h", ".c"])
def test_cycle_is_found(suffix, tmp_path):
    """A includes B, B includes C, and C includes A, by its header or by its source alone."""
    build_house(tmp_path)
    add(tmp_path, "src/par/b.h", '#include "c.h"\n')
    add(tmp_path, "src/par/c.h", "/* Private to par. */\n#include \"d.h\"\n")
    add(tmp_path, "src/par/d.h", "/* Private to par. */\n")
    compile_house(tmp_path)
    assert "cycle" not in check(tmp_path).stdout
    add(tmp_path, f"src/par/d{suffix}", '#include "par/b.h"\n')
    expect_breach(tmp_path, "src/par/b: a cycle of includes: src/par/b -> src/par/c -> src/par/d -> src/par/b")


@pytest.mark.parametrize("kind", IN_OBJECTS)
def test_objects_are_read(kind, tmp_path):
    build_house(tmp_path)
    name, text, said = IN_OBJECTS[kind]
    add(tmp_path, name, text)
    compile_house(tmp_path)
    expect_breach(tmp_path, said)
