"""Versions of libraries with known defects that affect certero, each with its source."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from certero.language import _


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect in some versions of a library, perhaps only on some machines.

    Args:
        package: name on PyPI.
        versions: affected versions, in pip's notation.
        here: whether this machine is affected.
        grave: whether it can spoil results, crash or do harm; otherwise certero works around it.
        what: what goes wrong.
        advice: what to do.
        source: where its developers or users describe it.
    """

    package: str
    versions: str
    here: bool
    grave: bool
    what: str
    advice: str
    source: str


def list_defects() -> tuple[Defect, ...]:
    """Every entry was verified at its source; the lower bounds in pyproject.toml already exclude older defects."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return (
        Defect(
            "Pillow",
            "<13.0.0",
            True,
            True,
            _("a crafted JPEG can overwrite memory; missing parts of a TIFF are filled with whatever memory held"),
            _("pip install --upgrade 'Pillow>=13'. Until then open only photos of your own."),
            "https://pillow.readthedocs.io/en/stable/releasenotes/13.0.0.html",
        ),
        Defect(
            "numpy",
            "==2.5.0",
            apple and _wheel_tag("numpy", "macosx_11_0"),
            True,
            _("products of float32 matrices can be wrong"),
            "pip install --upgrade numpy",
            "https://github.com/numpy/numpy/issues/31776",
        ),
        Defect(
            "onnxruntime",
            ">=1.29",
            True,
            False,
            _("would report its use to its makers; certero switches that off"),
            _("For other programs that use it, set ORT_DISABLE_TELEMETRY=1."),
            "https://github.com/microsoft/onnxruntime/pull/27379",
        ),
    )


def _wheel_tag(package: str, word: str) -> bool:
    try:
        return word in (metadata.distribution(package).read_text("WHEEL") or "")
    except metadata.PackageNotFoundError:
        return False


def known_defects() -> list[tuple[Defect, str]]:
    """The defects of the libraries installed here, each with the installed version."""
    from packaging.specifiers import SpecifierSet

    found: list[tuple[Defect, str]] = []
    for defect in list_defects():
        try:
            version = metadata.version(defect.package)
        except metadata.PackageNotFoundError:
            continue
        if SpecifierSet(defect.versions).contains(version, prereleases=True) and defect.here:
            found.append((defect, version))
    return found


def mismatched_torch() -> tuple[str, str] | None:
    """What is wrong between torch and torchvision and what to do, from their metadata; None if they fit.

    torchvision names the torch it was built for. With another one, or a build for another device, it does not load.
    Source: github.com/pytorch/vision/issues/9174 and /issues/8985.
    """
    from packaging.requirements import Requirement

    try:
        torch, vision = metadata.version("torch"), metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return None
    advice = _("pip install --upgrade torch torchvision, both in one command and from one index")
    for line in metadata.requires("torchvision") or []:
        needed = Requirement(line)
        if needed.name == "torch" and not needed.specifier.contains(torch, prereleases=True):
            return _("torchvision {vision} needs torch{needed}, torch is {torch}").format(
                vision=vision, needed=needed.specifier, torch=torch
            ), advice
    builds = {version.partition("+")[2] for version in (torch, vision)} - {""}
    if len(builds) > 1:
        return _("torch {torch} and torchvision {vision} are built for different devices").format(
            torch=torch, vision=vision
        ), advice
    return None
