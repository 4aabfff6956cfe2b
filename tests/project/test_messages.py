"""Every error can be said in another language: its class marks messages for the catalogue, and its message is whole."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

SOURCE = ROOT / "src" / "certero"
MODULES = sorted(SOURCE.rglob("*.py"))


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in MODULES:
        yield path, ast.parse(path.read_text("utf-8"))


def _errors() -> dict[str, set[str]]:
    """Classes that derive from CerteroError, with their bases by name."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"CerteroError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return {name: bases[name] for name in found}


ERRORS = _errors()


def test_every_error_is_a_mark_of_messages() -> None:
    marks = re.search(r"^MARKS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert marks is not None
    unmarked = sorted(set(ERRORS) - set(marks[1].split()))
    assert unmarked == [], "add them to MARKS in the Makefile, then run make catalogue"


def _name(call: ast.expr) -> str:
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_message_is_put_together(path: Path) -> None:
    """Of an f-string, a sum or a format nothing is found in a catalogue."""
    wrong = [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and _name(node) in {*ERRORS, "message", "sentence", "sentences"}
        and node.args
        and isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
    ]
    assert wrong == []
