"""Tokenizers of the model families, made with their pipelines and classes by tokenizer_families.py: the ids and the text that transformers
gives, 5.24.0 for files that it has written itself, 4.46.3 for the others; a warning where only 5 builds another pipeline."""
import json, shutil

import pytest
from helpers import mpirun
from pathlib import Path
from tokenizer_families import assemble, text_of

DATA = json.loads((Path(__file__).parent / "tokenizers" / "families.json").read_text())
FAMILIES = DATA["families"]


def run(*arguments):
    done = mpirun(1, *arguments)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("name", FAMILIES)
def test_ids(name, tmp_path):
    one, text = FAMILIES[name], tmp_path / "text"
    assemble(DATA["models"], one, tmp_path / "d")
    text.write_bytes(text_of(one["tokens"]))
    done, expected = run("--tokenize", tmp_path / "d", text, "--special"), one["expected"]
    ids = list(map(int, done.stdout.split()))
    assert ids == expected["before"] + expected["ids"], done.stderr
    assert ("transformers 5 gives other ids" in done.stderr) == ("ids" in one["differs"] and "backend" not in one["config"]), done.stderr
    if "shown" in expected:
        text.write_text(" ".join(map(str, ids)))
        assert run("--detokenize", tmp_path / "d", text).stdout == expected["shown"].replace("\r\n", "\n")  # as Python reads a pipe


def test_sentencepiece_of_gemma(tmp_path):
    """The file alone, as the slow GemmaTokenizer reads it: user-defined pieces, no space in front."""
    one, text = DATA["gemma.model"], tmp_path / "text"
    shutil.copy(Path(__file__).parent / "tokenizers" / "gemma.model", tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(one["config"]))
    text.write_bytes(text_of(FAMILIES["gemma3"]["tokens"], last=b""))
    expected = one["expected"]
    assert list(map(int, run("--tokenize", tmp_path, text, "--special").stdout.split())) == expected["before"] + expected["ids"]


@pytest.mark.parametrize("written, told", [("\v", False), ("<0x0b>", True)])
def test_byte_written_as_itself(written, told, tmp_path):
    """Gemma's tokenizer.json has the tabulator where its tokenizer.model has <0x09>: the same ids, so nothing is told."""
    assemble(DATA["models"], FAMILIES["gemma3"], tmp_path / "d")
    shutil.copy(Path(__file__).parent / "tokenizers" / "gemma.model", tmp_path / "d" / "tokenizer.model")
    path, text = tmp_path / "d" / "tokenizer.json", tmp_path / "text"
    path.write_text(path.read_text().replace('"<0x0B>"', json.dumps(written)))
    text.write_bytes(b"a\vb")
    done = run("--tokenize", tmp_path / "d", text)
    assert ("tokenizer.model beside it has other tokens" in done.stderr) == told, done.stderr
    if not told:
        path.unlink()
        assert run("--tokenize", tmp_path / "d", text).stdout == done.stdout
