"""The recipes that ship with certero."""

from __future__ import annotations

from pathlib import Path

# Not by importlib.resources, whose imports would be felt in the help of train.
_FOLDER = Path(__file__).parents[1] / "recipes"


def recipe_names() -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def packaged_recipe(name: str) -> bytes:
    """The TOML of one of `recipe_names`."""
    return (_FOLDER / f"{name}.toml").read_bytes()
