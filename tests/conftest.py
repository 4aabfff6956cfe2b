"""What the tests share: real photos where they are at hand, a small barn otherwise, and folders of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Caches and the log of openings of the tests never touch the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CERTERO_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("CERTERO_STATE", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


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
