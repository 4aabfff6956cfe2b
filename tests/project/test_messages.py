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


# Values that hold English letters and are no English text, with what they are.
_DATA = {
    "learn/devices.py asked": "the word of an option",
    "learn/loop.py precision": "an option",
    "cli/shells/__init__.py flag": "an option",
    "errors.py extra": "the name of an extra",
    "probe/backbones.py package": "the name of a package",
    "runs/stored.py file": "the name of a file",
    "stages/embedder.py asked": "the word of an option",
    "stages/embedder.py found": "the word of an option",
    "data/separation.py block": "a duration, as it would be typed",
    "data/separation.py flag": "an option, as it would be typed",
    "data/separation.py wish": "an option, as it would be typed",
    "learn/cnn.py classes": "a value of a recipe",
    "photos/resizing.py fast": "the name of a library",
    "photos/resizing.py numpy": "the name of a library",
    "photos/resizing.py variable": "the name of a variable",
    "runs/resume.py command": "a command to be typed",
    "runtime/card_check.py name": "a key of the card",
    "runtime/foreign.py types": "words of a card",
    "runtime/inputs.py kind": "None, as Python writes it",
}


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


def _english(value: ast.expr) -> Iterator[str]:
    """English pieces that a value may be made of; what is marked as a message, and the text of a list, is none."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        if any(letter.isalpha() for letter in value.value):
            yield value.value
    elif isinstance(value, ast.JoinedStr):
        for part in value.values:
            yield from _english(part)
    elif isinstance(value, ast.FormattedValue):
        yield from _english(value.value)
    elif isinstance(value, ast.IfExp):
        yield from (*_english(value.body), *_english(value.orelse))
    elif isinstance(value, ast.BinOp):
        yield from (*_english(value.left), *_english(value.right))
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _english(part)
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        for part in value.elts:
            yield from _english(part)
    elif isinstance(value, ast.ListComp | ast.GeneratorExp):
        yield from _english(value.elt)
    elif isinstance(value, ast.Starred | ast.Subscript):
        yield from _english(value.value)
    elif isinstance(value, ast.Dict):
        for part in value.values:
            yield from _english(part)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if value.func.attr == "join":  # " and " is English, ", " is not
            yield from (*_english(value.func.value), *(piece for part in value.args for piece in _english(part)))
        elif value.func.attr == "get":
            yield from (*_english(value.func.value), *(piece for part in value.args[1:] for piece in _english(part)))


def _assigned(scope: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What names get in it, and, in a module, what its functions return."""
    for node in ast.walk(scope):
        if isinstance(node, ast.FunctionDef) and isinstance(scope, ast.Module):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield f"{node.name}()", inner.value
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            targets = [node.target]
        for target in targets:
            assert isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr)
            if isinstance(target, ast.Name) and node.value is not None:
                yield target.id, node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(one, ast.Name):
                        yield one.id, value


def _glued(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Values of messages that are English and stay so in every language: keyword and piece."""
    module: dict[str, list[ast.expr]] = {}
    for name, value in _assigned(ast.Module([*(n for n in tree.body)], [])):
        if name.endswith("()"):
            module.setdefault(name, []).append(value)
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for name, value in _assigned(node):
                module.setdefault(name, []).append(value)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        local = dict(module)
        for name, value in _assigned(function):
            local[name] = [*local.get(name, []), value] if name not in module else [value]
        for call in ast.walk(function):
            if _name(call) not in {*ERRORS, "sentence", "sentences"}:
                continue
            assert isinstance(call, ast.Call)
            for keyword in call.keywords:
                value = keyword.value
                named = value.id if isinstance(value, ast.Name) else f"{_name(value)}()"
                if isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name):
                    named = value.value.id
                for made_of in (value, *local.get(named, [])):
                    for piece in _english(made_of):
                        yield str(keyword.arg), piece


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_english_piece_is_glued_into_a_message(path: Path) -> None:
    """A piece is marked, `message("...")`, or a sentence of its own: in Spanish it would stay English."""
    place = path.relative_to(SOURCE).as_posix()
    glued = {
        (keyword, piece)
        for keyword, piece in _glued(ast.parse(path.read_text("utf-8")))
        if f"{place} {keyword}" not in _DATA
    }
    assert glued == set()


def test_the_check_of_glued_pieces_finds_them() -> None:
    glued = """
def _why(file): return f"there is no {file}"
def check(file, many):
    kind = "one" if many else "several"
    raise DataError("%(kind)s %(why)s %(both)s %(few)s", kind=kind, why=_why(file), both=" and ".join(many),
                    few=message("few"))
"""
    found = {(keyword, piece) for keyword, piece in _glued(ast.parse(glued))}
    assert found == {("kind", "one"), ("kind", "several"), ("why", "there is no "), ("both", " and ")}


def test_every_exception_from_the_check_is_still_needed() -> None:
    needed = {
        f"{path.relative_to(SOURCE).as_posix()} {keyword}"
        for path, tree in _trees()
        for keyword, _piece in _glued(tree)
    }
    assert set(_DATA) - needed == set()
