"""The model file: read whole or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from certero.errors import ModelFileError
from certero.probe.export import head_alone
from certero.probe.probe import Head
from certero.records.preprocessing import Preprocessing
from certero.runtime.card import Card, Fingerprints
from certero.runtime.model_file import read_model, with_card


def _head() -> bytes:
    rng = np.random.default_rng(0)
    return head_alone(Head(np.zeros(8), np.ones(8), rng.normal(size=(3, 8)), np.zeros(3)), 1.0)


def _card(**changes: object) -> Card:
    rng = np.random.default_rng(1)
    values: dict[str, object] = {
        "classes": ("empty", "lying", "de pie ñ"),
        "preprocessing": Preprocessing(224, 200, "letterbox", "bicubic", 127),
        "calibration": {"source": "oof", "temperature": 1.5},
        "training": {"recipe": "probe"},
        "fingerprints": Fingerprints(
            rng.integers(0, 256, (5, 16), np.uint8),
            rng.integers(0, 2**64, 5, np.uint64),
            rng.integers(0, 256, (5, 32), np.uint8),
        ),
        "versions": {"certero": "1"},
    }
    return Card(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(with_card(_head(), _card()))
    return path


def test_the_card_comes_back_as_it_was_written(model: Path) -> None:
    _data, card = read_model(model)
    written = _card()
    assert (card.classes, card.preprocessing, card.calibration) == (
        written.classes,
        written.preprocessing,
        written.calibration,
    )
    assert np.array_equal(card.fingerprints.pixel_hashes, written.fingerprints.pixel_hashes)
    assert np.array_equal(card.fingerprints.perceptual_hashes, written.fingerprints.perceptual_hashes)
    assert np.array_equal(card.fingerprints.descriptors, written.fingerprints.descriptors)


def test_any_onnx_tool_can_open_the_file_and_sees_the_card(model: Path) -> None:
    loaded = onnx.load(model)
    onnx.checker.check_model(loaded)
    metadata = {entry.key: entry.value for entry in loaded.metadata_props}
    assert json.loads(metadata["certero"])["classes"] == ["empty", "lying", "de pie ñ"]


def test_a_second_card_replaces_the_first_and_leaves_the_network_alone(model: Path) -> None:
    data = model.read_bytes()
    model.write_bytes(with_card(data, _card(threshold=0.7)))
    again = onnx.load(model)
    assert read_model(model)[1].threshold == 0.7
    assert len(again.metadata_props) == 2
    assert again.graph == onnx.load_model_from_string(data).graph


def test_the_same_card_gives_the_same_bytes() -> None:
    assert with_card(_head(), _card()) == with_card(with_card(_head(), _card(threshold=0.1)), _card())


def test_every_flipped_byte_is_noticed(model: Path) -> None:
    whole = model.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, 1, len(whole) - 1, *rng.integers(0, len(whole), 200).tolist()]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x10
        model.write_bytes(spoiled)
        with pytest.raises(ModelFileError):
            read_model(model)


def test_every_cut_is_noticed(model: Path) -> None:
    whole = model.read_bytes()
    for length in [0, 1, 10, *np.linspace(11, len(whole) - 1, 60).astype(int).tolist()]:
        model.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            read_model(model)


def test_a_foreign_network_is_refused_with_what_to_do(model: Path) -> None:
    model.write_bytes(_head())
    with pytest.raises(ModelFileError, match="no certero card"):
        read_model(model)


def test_a_newer_card_is_refused_with_what_to_do(model: Path) -> None:
    model.write_bytes(with_card(_head(), _card(schema=99)))
    with pytest.raises(ModelFileError, match="newer certero"):
        read_model(model)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n", b"\xff" * 1000, b"\x00" * 1000])
def test_something_else_is_refused(model: Path, content: bytes) -> None:
    model.write_bytes(content)
    with pytest.raises(ModelFileError):
        read_model(model)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        read_model(tmp_path / "none.onnx")
