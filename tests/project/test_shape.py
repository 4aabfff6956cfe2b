"""The shape of the house: every room is on the map, and no file, function or test file grows past what can be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

SOURCE = ROOT / "src" / "certero"
TESTS = ROOT / "tests"
#: Lines of a module, of a function, and what a function may be given.
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 500, 80, 8
#: What a user may set is a parameter each: options of a verb on the command line, settings of a verb in Python.
PUBLIC = {
    *(f"cli/{verb}.py command" for verb in ("audit", "compare", "evaluate", "predict", "train", "value")),
    *(f"pipelines/{verb}.py {verb}" for verb in ("audit", "compare", "evaluate", "value")),
}
#: Functions that are longer or take more, each with its reason.
LARGE: dict[str, str] = {}
#: Folders of tests that test no room: what the tests share, and the project itself.
BESIDE = {"examples", "project"}


def _modules(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def _functions(module: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods at any depth, as "file name"."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module.relative_to(SOURCE).as_posix()} {node.name}", node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    own = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - own + (given.vararg is not None) + (given.kwarg is not None)


def test_every_room_has_one_line_on_the_map_and_no_other_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text[text.index("## Where things are") : text.index("## How to add something")]
    rows = re.findall(r"^\| `([\w/]+)` \| (.+) \|$", section, re.MULTILINE)
    said = [name for name, _purpose in rows]
    rooms = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")} - {"."}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert sorted(said) == sorted(rooms | modules)
    assert all(10 <= len(purpose) <= 130 for _name, purpose in rows), "one line each"


@pytest.mark.parametrize("folder", [SOURCE, TESTS], ids=["src", "tests"])
def test_no_module_has_more_lines_than_can_be_read_at_once(folder: Path) -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in _modules(folder)}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_functions_fit_on_a_screen_but_for_those_that_are_named_with_their_reason() -> None:
    large = {
        name
        for module in _modules(SOURCE)
        for name, node in _functions(module)
        if _lines(node) > MOST_LINES_OF_A_FUNCTION or _parameters(node) > MOST_PARAMETERS
    }
    assert large - PUBLIC == set(LARGE), "shorten it, or name it with its reason; take off what is small again"
    assert len(LARGE) <= 8


def test_tests_stand_in_the_folder_that_mirrors_the_source() -> None:
    homes: dict[str, set[Path]] = {}
    for module in _modules(SOURCE):
        homes.setdefault(module.stem, set()).add(module.relative_to(SOURCE).parent)
    for module in TESTS.rglob("test_*.py"):
        folder = module.relative_to(TESTS).parent
        if not BESIDE & set(folder.parts[:1]):
            assert (SOURCE / folder).is_dir(), f"{module} tests a room that does not exist"
            named = homes.get(module.stem.removeprefix("test_"), {folder})
            assert folder in named, f"{module} bears the name of a module of {named}"


def _own_patches(module: Path) -> Iterator[int]:
    """Lines on which a test changes a module of certero under its feet."""
    tree = ast.parse(module.read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = {
        alias.asname or alias.name
        for node in imports
        if (node.module or "").startswith("certero")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            target = node.args[0]
            text = str(target.value) if isinstance(target, ast.Constant) else ast.unparse(target).split(".")[0]
            if text in own or text.startswith("certero."):
                yield node.lineno


def test_no_test_changes_our_own_code_without_saying_why_it_must() -> None:
    for module in _modules(TESTS):
        lines = module.read_text("utf-8").splitlines()
        for number in _own_patches(module):
            # One reason covers the patches that stand together.
            above = number - 2
            while ".setattr(" in lines[above]:
                above -= 1
            assert lines[above].lstrip().startswith("#"), f"{module}:{number}: a real fault, or the reason in a comment"
