"""What the tests share: real photos where they are at hand, a small barn otherwise, and folders of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from places import SHARED_DATA

from certero.language import use_language

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from certero.pipelines.train import Run


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out what only torch can do where it is not installed."""
    if item.get_closest_marker("networks") and find_spec("torch") is None:
        pytest.skip("needs torch, of the [networks] extra")


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Caches and the log of openings of the tests never touch the user's, nor does the user's locale the tests."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LC_ALL", "C.UTF-8")
    patch.setenv("CERTERO_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("CERTERO_STATE", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def english() -> None:
    """What a test before chose to speak is forgotten, whichever tests run."""
    use_language("en")


@pytest.fixture(scope="session")
def grocery() -> Path:
    """The folder of the grocery photos."""
    return _real("grocery")


@pytest.fixture(scope="session")
def caetec() -> Path:
    """The folder of the barn photos."""
    return _real("caetec")


def _real(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the real photos of {name}, which are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def small_barn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a rendered barn of two short days."""
    from certero.barn.render import render_barn
    from certero.engine.threads import Threads

    folder = tmp_path_factory.mktemp("small") / "barn"
    render_barn(folder, days=2, interval_minutes=30, map=Threads().map)
    return folder


@pytest.fixture(scope="session")
def small_run(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model trained on the small barn, once a test session."""
    pytest.importorskip("onnx", reason="training needs the [train] extra")
    from certero.pipelines.train import train

    return train(small_barn / "beds.csv", output=tmp_path_factory.mktemp("small") / "run")


_BROWSER_OPTIONS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which keeps to itself."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the [dev] extra")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium, which is not on the path (apt-get install chromium)")
    with playwright.sync_playwright() as started:
        # A container's root may not use the browser's sandbox; it opens only the page written here.
        opened = started.chromium.launch(executable_path=program, args=_BROWSER_OPTIONS.split())
        yield opened
        opened.close()
