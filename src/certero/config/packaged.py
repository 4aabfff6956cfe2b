"""The recipes that ship with certero."""

from __future__ import annotations

from importlib import resources


def recipe_names() -> tuple[str, ...]:
    """Their names, sorted."""
    files = resources.files("certero.recipes").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def packaged_recipe(name: str) -> bytes:
    """The TOML of one of `recipe_names`."""
    return (resources.files("certero.recipes") / f"{name}.toml").read_bytes()
