"""Classes and their indices: by name, by one rule."""

from __future__ import annotations

import ast

import pytest
from places import ROOT

from certero.data.labels import encode, index_of

HOME = ROOT / "src" / "certero" / "data" / "labels.py"


def test_labels_are_numbered_by_the_place_of_their_class() -> None:
    assert index_of(["calf", "cow"]) == {"calf": 0, "cow": 1}
    assert encode(["cow", "calf", "cow"], ["cow", "calf"]).tolist() == [0, 1, 0]
    assert encode([], ["cow"]).dtype == "int64"


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(KeyError, match="bull"):
        encode(["cow", "bull"], ["cow"])


def test_nothing_else_numbers_the_classes() -> None:
    """A second dictionary could number them in another order, and figures of one class would pass for another's."""
    elsewhere = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted((ROOT / "src" / "certero").rglob("*.py"))
        if file != HOME
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.DictComp) and _numbers_classes(node)
    ]
    assert elsewhere == [], "use certero.data.labels"


def _numbers_classes(node: ast.DictComp) -> bool:
    source = ast.unparse(node.generators[0].iter)
    return source.startswith("enumerate(") and (
        "class" in source or source in ("enumerate(names)", "enumerate(labels)")
    )
