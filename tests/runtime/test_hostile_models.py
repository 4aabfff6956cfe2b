"""Model files from anywhere: whatever is in them, one line says why, and no label comes from a wrong one."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from certero.cli.main import main
from certero.errors import ModelFileError
from certero.records.preprocessing import Preprocessing
from certero.runtime import deadline
from certero.runtime.card import Card, Fingerprints
from certero.runtime.model_file import _CARD_KEY, _HASH_KEY, _digest, _entry, _take_apart, with_card
from certero.runtime.network import Network

_SIDE = 8
_DEEP = 50_000


def _constant(name: str, value: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _network(
    nodes: list[onnx.NodeProto] | None = None,
    weights: list[onnx.TensorProto] | None = None,
    *,
    output: tuple[str, int, list[Any]] = ("probabilities", TensorProto.FLOAT, ["N", 2]),
    given: tuple[int, list[Any]] = (TensorProto.UINT8, ["N", _SIDE, _SIDE, 3]),
    functions: list[onnx.FunctionProto] | None = None,
) -> bytes:
    """An ONNX file: by default a sound one, which tells bright photos from dark ones by their mean."""
    if nodes is None:
        nodes, weights = _bright_or_dark(), [_constant("scale", np.float32([[0.1, -0.1]])), _axes()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", *given)],
        [helper.make_tensor_value_info(*output)],
        weights or [],
    )
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions or [])
    return bytes(model.SerializeToString())


def _axes() -> onnx.TensorProto:
    return _constant("size", np.int64([0, -1]))


def _bright_or_dark(last: str = "Softmax") -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "size"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["mean", "scale"], ["logits"]),
        helper.make_node(last, ["logits"], ["probabilities"]),
    ]


def _spoiled(last: str, scale: list[list[float]]) -> bytes:
    return _network(_bright_or_dark(last), [_constant("scale", np.float32(scale)), _axes()])


def _constant_answer(rows: list[list[float]]) -> bytes:
    """A network that says the same of any photo."""
    return _network(
        [helper.make_node("Identity", ["answer"], ["probabilities"])], [_constant("answer", np.float32(rows))]
    )


def _looping(turns: int) -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Add", ["x", "one"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 2]),
        ],
        [_constant("one", np.float32([[1, 1]]))],
    )
    return _network(
        [helper.make_node("Loop", ["turns", "go", "start"], ["probabilities"], body=body)],
        [
            _constant("turns", np.int64(turns)),
            _constant("go", True),
            _constant("start", np.zeros((1, 2), np.float32)),
        ],
    )


def _allocating(factor: int) -> bytes:
    """A network that makes zeros of as many times the photo's size."""
    return _network(
        [
            helper.make_node("Shape", ["image"], ["size"]),
            helper.make_node("Mul", ["size", "factor"], ["large"]),
            helper.make_node("ConstantOfShape", ["large"], ["zeros"]),
            helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
            helper.make_node("Expand", ["most", "shape"], ["probabilities"]),
        ],
        [_constant("factor", np.int64([1, factor, factor, 1])), _constant("shape", np.int64([1, 2]))],
    )


def _with_function() -> bytes:
    again = helper.make_node("Again", ["x"], ["y"], domain="own")
    function = helper.make_function("own", "Again", ["x"], ["y"], [again], [helper.make_opsetid("own", 1)])
    return _network([helper.make_node("Again", ["image"], ["probabilities"], domain="own")], functions=[function])


def _weights_elsewhere() -> bytes:
    model = onnx.load_from_string(_network())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return bytes(model.SerializeToString())


def _card() -> Card:
    return Card(
        classes=("dark", "bright"),
        preprocessing=Preprocessing(_SIDE, _SIDE, "stretch", "bilinear"),
        calibration={"source": "oof", "temperature": 1.0, "thresholds": {"0.9": 0.5}},
        training={"recipe": "probe"},
        fingerprints=Fingerprints(
            np.zeros((2, 16), np.uint8), np.zeros(2, np.uint64), np.zeros((2, 32), np.uint8), np.zeros(2, np.uint8)
        ),
        versions={"certero": "1"},
    )


def _signed(network: bytes, card: str) -> bytes:
    """A model file with any text as its card, and a checksum that holds."""
    bare, _metadata = _take_apart(network, "test")
    return bare + _entry(_CARD_KEY, card) + _entry(_HASH_KEY, _digest(bare, card))


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    data = json.loads(_card().to_text())
    change(data)
    return _signed(_network(), json.dumps(data))


def _set(*keys_and_value: Any) -> bytes:
    *keys, last, value = keys_and_value

    def change(data: dict[str, Any]) -> None:
        for key in keys:
            data = data[key]
        data[last] = value

    return _changed(change)


_DROPPED = ("classes", "preprocessing", "calibration", "training", "fingerprints", "versions", "schema")
_TEXT = _card().to_text()

#: Files with a checksum that holds, of which none may give a label.
HOSTILE: dict[str, bytes] = {
    **{f"card without {key}": _changed(lambda data, key=key: data.pop(key)) for key in _DROPPED},  # type: ignore[misc]
    "card is a list": _signed(_network(), "[]"),
    "card is a number": _signed(_network(), "1"),
    "card is null": _signed(_network(), "null"),
    "card is empty": _signed(_network(), ""),
    "card is no json": _signed(_network(), _TEXT[:-20]),
    "card is nested without end": _signed(_network(), "[" * _DEEP),
    "card hides nesting": _signed(_network(), _TEXT[:-1] + ', "more": ' + "[" * _DEEP + "]" * _DEEP + "}"),
    "card has NaN": _signed(_network(), _TEXT.replace('"temperature": 1.0', '"temperature": NaN')),
    "card has a number of many digits": _signed(_network(), _TEXT.replace('"schema": 1', '"schema": ' + "9" * 9000)),
    "schema is a text": _set("schema", "1"),
    "schema is true": _set("schema", True),
    "schema is below 1": _set("schema", 0),
    "schema is of the future": _set("schema", 10**300),
    "classes are a text": _set("classes", "ab"),
    "classes are numbers": _set("classes", [1, 2]),
    "classes are empty": _set("classes", []),
    "classes have an empty name": _set("classes", ["dark", ""]),
    "classes are the same": _set("classes", ["dark", "dark"]),
    "classes are more than outputs": _set("classes", ["dark", "bright", "grey"]),
    "classes are fewer than outputs": _set("classes", ["dark"]),
    "class is no text that can be written": _set("classes", ["dark", "\ud800"]),
    "class is a book": _set("classes", ["dark", "x" * 100_000]),
    "height is a text": _set("preprocessing", "height", "8"),
    "height is 0": _set("preprocessing", "height", 0),
    "height is huge": _set("preprocessing", "height", 10**9),
    "height is of another network": _set("preprocessing", "height", 16),
    "width is a fraction": _set("preprocessing", "width", 8.5),
    "fit is unknown": _set("preprocessing", "fit", "squeeze"),
    "fit is a list": _set("preprocessing", "fit", []),
    "filter is unknown": _set("preprocessing", "filter", "nearest"),
    "pad is out of range": _set("preprocessing", "pad", 256),
    "pad is true": _set("preprocessing", "pad", True),
    "shorter side is negative": _set("preprocessing", "shorter_side", -1),
    "preprocessing is a list": _set("preprocessing", [8, 8]),
    "preprocessing knows more": _set("preprocessing", "crop", 3),
    "threshold is a text": _set("threshold", "0.5"),
    "threshold is above 1": _set("threshold", 1.5),
    "threshold is negative": _set("threshold", -0.5),
    "threshold is a list": _set("threshold", [0.5]),
    "threshold of no class": _set("threshold", {"purple": 0.5}),
    "threshold of a class is a text": _set("threshold", {"dark": "high"}),
    "temperature is 0": _set("calibration", "temperature", 0),
    "temperature is a text": _set("calibration", "temperature", "warm"),
    "temperature has no float": _set("calibration", "temperature", 10**400),
    "offsets are a list": _set("calibration", "offsets", [0.5, -0.5]),
    "an offset is a text": _set("calibration", "offsets", {"a": "high"}),
    "an offset of another class": _set("calibration", "offsets", {"zebra": 0.1}),
    "thresholds are a list": _set("calibration", "thresholds", [1]),
    "a stored threshold is a table": _set("calibration", "thresholds", {"0.9": {}}),
    "calibration is a text": _set("calibration", "yes"),
    "metrics are a list": _set("metrics", []),
    "recipe is a table": _set("training", "recipe", {}),
    "n is negative": _set("fingerprints", "n", -2),
    "n is more than there is": _set("fingerprints", "n", 3),
    "n is huge": _set("fingerprints", "n", 10**12),
    "hashes are no base64": _set("fingerprints", "pixel_hashes", "*" * 44),
    "hashes are a list": _set("fingerprints", "descriptors", []),
    "minutes are too many": _set("fingerprints", "minutes", "AAAA"),
    "near is a text": _set("fingerprints", "near", "no"),
    "near has a distance in words": _set("fingerprints", "near", {"distance": "far", "reason": None}),
    "answers are NaN": with_card(_constant_answer([[float("nan"), 1.0]]), _card()),
    "answers are infinite": with_card(_constant_answer([[float("inf"), 0.0]]), _card()),
    "answers overflow": with_card(_spoiled("Exp", [[10.0, 10.0]]), _card()),
    "answers are logits": with_card(_spoiled("Identity", [[0.1, 0.2]]), _card()),
    "answers sum to 2": with_card(_constant_answer([[1.0, 1.0]]), _card()),
    "answers sum to 0": with_card(_constant_answer([[0.0, 0.0]]), _card()),
    "an answer is below 0": with_card(_constant_answer([[-0.5, 1.5]]), _card()),
    "answers are of another number of photos": with_card(_constant_answer([[0.5, 0.5]] * 7), _card()),
    "answers are of another number of classes": with_card(
        _network(
            [helper.make_node("Identity", ["answer"], ["probabilities"])],
            [_constant("answer", np.float32([[0.2, 0.3, 0.5]]))],
            output=("probabilities", TensorProto.FLOAT, None),  # type: ignore[arg-type]
        ),
        _card(),
    ),
    "answers are whole numbers": with_card(
        _network(
            [helper.make_node("Identity", ["answer"], ["probabilities"])],
            [_constant("answer", np.int64([[0, 1]]))],
            output=("probabilities", TensorProto.INT64, ["N", 2]),
        ),
        _card(),
    ),
    "no output of probabilities": with_card(
        _network([helper.make_node("Identity", ["image"], ["same"])], output=("same", TensorProto.UINT8, None)),  # type: ignore[arg-type]
        _card(),
    ),
    "takes floats": with_card(
        _network([helper.make_node("Identity", ["image"], ["probabilities"])], given=(TensorProto.FLOAT, ["N", 2])),
        _card(),
    ),
    "loops without end": with_card(_looping(2**62), _card()),
    "allocates without end": with_card(_allocating(100_000), _card()),
    "calls itself": with_card(_with_function(), _card()),
    "weights are elsewhere": with_card(_weights_elsewhere(), _card()),
    "an operator that nobody knows": with_card(
        _network([helper.make_node("Launch", ["image"], ["probabilities"], domain="own")]), _card()
    ),
    "graph is empty": with_card(_network([]), _card()),
}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "bright.png"
    Image.new("RGB", (20, 20), (250, 240, 230)).save(path)
    return path


def test_the_sound_file_behind_all_of_these_answers(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(with_card(_network(), _card()))
    assert main(["predict", str(tmp_path / "model.onnx"), str(photo), "--quiet", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["label"] == "dark"  # the first class: its logit is a tenth of the mean
    assert row["probability"] > 0.99


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_gives_one_line_and_no_label(
    kind: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(HOSTILE[kind])
    assert main(["predict", str(tmp_path / "model.onnx"), str(photo), "--quiet", "--json", "-"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "model.onnx" in said.err
    assert len(said.err) < 800


def test_a_flipped_bit_gives_one_line_or_the_same_answer(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    whole = with_card(_network(), _card())
    rng = np.random.default_rng(7)
    for place, bit in zip(rng.integers(0, len(whole), 500), rng.integers(0, 8, 500), strict=True):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << bit
        path.write_bytes(spoiled)
        code = main(["predict", str(path), str(photo), "--quiet", "--json", "-"])
        said = capsys.readouterr()
        assert code == 2, (place, bit)
        assert said.out == ""
        assert said.err.count("\n") == 1


def test_a_foreign_network_that_repeats_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    # Minutes otherwise; the limit is reached by the real network, only sooner.
    monkeypatch.setattr("certero.runtime.network.CALL_SECONDS", 0.5)
    monkeypatch.setattr("certero.runtime.network.PHOTO_SECONDS", 0.0)
    network = Network(_looping(2**62), "foreign.onnx", trusted=False)
    started = time.monotonic()
    with pytest.raises(ModelFileError, match=r"foreign\.onnx did not come back"):
        network.run(np.zeros((1, _SIDE, _SIDE, 3), np.uint8), ["probabilities"])
    assert time.monotonic() - started < 20


def test_a_foreign_network_that_allocates_without_end_is_ended() -> None:
    network = Network(_allocating(100_000), "foreign.onnx", trusted=False)
    with pytest.raises(ModelFileError, match="more memory"):
        network.run(np.zeros((1, _SIDE, _SIDE, 3), np.uint8), ["probabilities"])


def test_a_call_that_heeds_no_mark_is_reported_to_whoever_can_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options:
        terminate = False

    told: list[str] = []
    # `when_stuck` is there to be set; the command line sets it to what ends the process, and with it the tests.
    monkeypatch.setattr(deadline, "when_stuck", told.append)
    monkeypatch.setattr(deadline, "_GRACE_SECONDS", 0.1)
    options = Options()
    with deadline.ended_after(0.1, options, "stuck.onnx") as was_ended:
        for _turn in range(100):
            time.sleep(0.1)
            if told:
                break
        assert was_ended()
    assert options.terminate
    assert told[0] == "stuck.onnx"


def test_the_command_ends_though_a_single_layer_does_not(photo: Path, tmp_path: Path) -> None:
    """One convolution of some hours: ONNX Runtime looks at no mark inside it."""
    side = 3000
    network = _network(
        [
            helper.make_node("ConstantOfShape", ["large"], ["zeros"]),
            helper.make_node("ConstantOfShape", ["kernel"], ["weights"]),
            helper.make_node("Conv", ["zeros", "weights"], ["found"]),
            helper.make_node("ReduceMax", ["found"], ["most"], keepdims=0),
            helper.make_node("Expand", ["most", "shape"], ["probabilities"]),
        ],
        [
            _constant("large", np.int64([1, 1, side, side])),
            _constant("kernel", np.int64([1, 1, side // 2 + 1, side // 2 + 1])),
            _constant("shape", np.int64([1, 2])),
        ],
    )
    (tmp_path / "model.onnx").write_bytes(with_card(network, _card()))
    program = (
        "import sys\n"
        "from certero.runtime import deadline, network\n"
        "network.CALL_SECONDS, network.PHOTO_SECONDS, deadline._GRACE_SECONDS = 0.5, 0.0, 0.5\n"
        "from certero.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "predict", str(tmp_path / "model.onnx"), str(photo), "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "model.onnx" in ended.stderr


@pytest.mark.parametrize("place", ["wire type", "dimension", "length"])
def test_a_foreign_file_that_is_no_onnx_is_one_line(
    place: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = {"wire type": b"\x2a\x02\x0f\x01", "dimension": b"\x2a\x03\x0a\x01\xff", "length": b"\x2a\x04\x42\x09ab"}[
        place
    ]
    (tmp_path / "other.onnx").write_bytes(b"\x3a" + struct.pack("B", len(graph)) + graph)
    (tmp_path / "other.toml").write_text('classes = ["a", "b"]\nanswers = "logits"\nheight = 8\nwidth = 8\n')
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "b").mkdir()
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "photos" / name).write_bytes(photo.read_bytes())
    (tmp_path / "own.onnx").write_bytes(with_card(_network(), _card()))
    arguments = [str(tmp_path / "own.onnx"), str(tmp_path / "other.onnx"), "--data", str(tmp_path / "photos")]
    assert main(["compare", *arguments, "--card", str(tmp_path / "other.toml"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "itself failed" not in said
