"""Classifiers that others made: their card, their pixels, their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certero.engine.threads import Threads
from certero.errors import ConfigError, ModelFileError, PhotoError
from certero.photos.pixels import fit, prepare
from certero.records.preprocessing import Preprocessing
from certero.runtime.foreign import ForeignClassifier
from certero.runtime.model_file import is_foreign, take_stock

onnx = pytest.importorskip("onnx", reason="making an ONNX file needs the [train] extra")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def write_mean_colour(
    place: Path,
    *,
    layout: str = "NCHW",
    kind: int = TensorProto.FLOAT,
    size: object = 8,
    batch: object = "n",
    weights: Any = None,
    softmax: bool = False,
) -> Path:
    """A network whose outputs are a linear function of the photo's mean colour (of the three channels, in order)."""
    matrix = np.eye(3, dtype=np.float32) if weights is None else np.asarray(weights, np.float32)
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    shape = [batch, 3, size, size] if layout == "NCHW" else [batch, size, size, 3]
    nodes = [
        helper.make_node("Cast", ["photo"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["sums" if softmax else "answers"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["sums"], ["answers"], axis=1))
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("photo", kind, shape)],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, [batch, matrix.shape[1]])],
        [numpy_helper.from_array(matrix, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, place)
    return place


CARD = 'classes = ["red", "green", "blue"]\nanswers = "logits"\n'


def classifier(tmp_path: Path, card: str = CARD, **network: Any) -> ForeignClassifier:
    model = write_mean_colour(tmp_path / "mean.onnx", **network)
    (tmp_path / "mean.toml").write_text(card, "utf-8")
    return ForeignClassifier(model, tmp_path / "mean.toml", Threads(2).map)


def answers(model: ForeignClassifier, photos: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.asarray(row) for row in model.probabilities(photos)])


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = [(8, 8), (20, 30), (33, 9), (64, 48), (8, 8)]
    return [generator.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def by_hand(photos: list[np.ndarray], low: float, high: float, mean: list[float], std: list[float]) -> np.ndarray:
    """Mean colours as the card describes them, from the pixels that certero feeds every network."""
    found = [fit(photo, Preprocessing(8, 8, "stretch")).astype(np.float64).mean(axis=(0, 1)) for photo in photos]
    return (low + np.stack(found) / 255 * (high - low) - mean) / std


def softmax(table: np.ndarray) -> np.ndarray:
    powers = np.exp(table - table.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_pixels_reach_the_network_as_the_card_says(
    tmp_path: Path, photos: list[np.ndarray], layout: str, kind: int, batch: object
) -> None:
    card = CARD + "range = [-1, 1]\nmean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.25, 2]\n"
    found = answers(classifier(tmp_path, card, layout=layout, kind=kind, batch=batch), photos)
    expected = softmax(by_hand(photos, -1, 1, [0.1, 0.2, 0.3], [0.5, 0.25, 2]))
    assert found == pytest.approx(expected, abs=1e-5 if kind == TensorProto.FLOAT else 5e-3)


def test_bgr_uint8_and_probabilities(tmp_path: Path, photos: list[np.ndarray]) -> None:
    card = 'classes = ["blue", "green", "red"]\nanswers = "probabilities"\nchannels = "BGR"\ndtype = "uint8"\n'
    model = classifier(tmp_path, card, kind=TensorProto.UINT8, weights=np.eye(3) / 50, softmax=True)
    raw = by_hand(photos, 0, 255, [0, 0, 0], [1, 1, 1])[:, ::-1] / 50
    assert answers(model, photos) == pytest.approx(softmax(raw), abs=1e-5)


def test_a_single_output_is_the_second_class(tmp_path: Path, photos: list[np.ndarray]) -> None:
    card = 'classes = ["no", "yes"]\nanswers = "logits"\n'
    found = answers(classifier(tmp_path, card, weights=[[1.0], [2.0], [-1.0]]), photos)
    logits = by_hand(photos, 0, 1, [0, 0, 0], [1, 1, 1]) @ [1.0, 2.0, -1.0]
    assert found[:, 1] == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(1)


def test_a_photo_that_cannot_be_read_has_its_reason(tmp_path: Path, photos: list[np.ndarray]) -> None:
    rows = list(classifier(tmp_path).probabilities([photos[0], b"no photo", photos[1]]))
    assert [isinstance(row, PhotoError) for row in rows] == [False, True, False]


def test_the_crop_is_torchvisions(tmp_path: Path) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="needs torchvision, of the [networks] extra")
    from PIL import Image

    generator = np.random.default_rng(1)
    for height, width in ((300, 400), (400, 300), (257, 511), (224, 224), (100, 180)):
        smooth = np.asarray(
            Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((width, height), 3)
        )
        expected = np.asarray(
            transforms.Compose([transforms.Resize(128), transforms.CenterCrop(112)])(Image.fromarray(smooth))
        )
        found = fit(smooth, Preprocessing(112, 112, "crop", shorter_side=128))
        assert found.shape == (112, 112, 3)
        difference = np.abs(found.astype(int) - expected)
        assert difference.mean() < 0.6
        assert difference.max() <= 3
    # A JPEG decoded at half its size is cut at the same place.
    Image.fromarray(smooth).resize((1440, 800)).save(tmp_path / "large.jpg", quality=95)
    data = (tmp_path / "large.jpg").read_bytes()
    small = prepare(data, Preprocessing(112, 112, "crop", shorter_side=128)).astype(int)
    whole = fit(np.asarray(Image.open(tmp_path / "large.jpg")), Preprocessing(112, 112, "crop", shorter_side=128))
    assert np.abs(small - whole).mean() < 1.5


def test_weights_in_a_file_beside_it_are_found_and_counted(tmp_path: Path, photos: list[np.ndarray]) -> None:
    plain = classifier(tmp_path)
    (tmp_path / "split").mkdir()
    model = onnx.load(tmp_path / "mean.onnx")
    place = tmp_path / "split" / "mean.onnx"
    onnx.save_model(model, place, save_as_external_data=True, location="mean.onnx.data", size_threshold=0)
    (tmp_path / "split" / "mean.toml").write_text(CARD)
    split = ForeignClassifier(place, tmp_path / "split" / "mean.toml", Threads(1).map)
    assert answers(split, photos) == pytest.approx(answers(plain, photos))
    sizes = [file.stat().st_size for file in (tmp_path / "split").iterdir() if file.suffix != ".toml"]
    assert len(sizes) == 2
    assert split.size_bytes == sum(sizes)
    assert split.parameters == plain.parameters == 9


def test_foreign_and_own_files_are_told_apart(tmp_path: Path, small_run: Any) -> None:
    assert is_foreign(write_mean_colour(tmp_path / "mean.onnx"))
    own = small_run.path / "model.onnx"
    assert not is_foreign(own)
    size, numbers = take_stock(own.read_bytes(), own)
    assert size == own.stat().st_size
    assert numbers == pytest.approx(small_run.metrics["parameters"], rel=0.05)


@pytest.mark.parametrize(
    ("card", "network", "words"),
    [
        ('answers = "logits"', {}, "must name at least 2 classes"),
        ('classes = ["a", "b", "c"]', {}, 'answers = "logits" or answers = "probabilities"'),
        ('classes = ["a", "b"]\nanswers = "logits"', {}, "it names 2, .* has 3 outputs"),
        ('classes = ["a", "b", "a"]\nanswers = "logits"', {}, "found twice: a"),
        ('classes = "missing.txt"\nanswers = "logits"', {}, "must be a list, or a readable text file"),
        (CARD + "sice = 3", {}, "has sice. Take it out"),
        (CARD + 'layout = "CHW"', {}, "layout in .* must be NCHW or NHWC; found 'CHW'"),
        (CARD + "height = 9", {}, "height in .* must be 8, which .* takes; found 9"),
        (CARD, {"size": "side"}, "must say the height of the input"),
        (CARD + "width = 0\nheight = 8", {"size": "side"}, "width in .* must be a whole number"),
        (CARD + 'dtype = "uint8"', {}, "dtype in .* must be float32"),
        (CARD + "std = [1, 1, 0]", {}, "std in .* must be above 0"),
        (CARD + "range = [0]", {}, "range in .* must be a list of 2 numbers"),
        (CARD + "mean = [0, 0, 0]", {"kind": TensorProto.UINT8}, "are for floating-point inputs"),
        (CARD + "shorter_side = 9", {}, 'shorter_side in .* goes with fit = "crop"'),
        (CARD + 'input = "image"', {}, "input in .* must be 'photo'"),
        (CARD + 'output = "label"', {}, "output in .* must be one of answers"),
        (CARD + "pad = 300", {}, "pad in .* must be a grey level"),
        (CARD.replace("logits", "probabilities"), {}, "needs outputs that sum to 1"),
        ("classes = [", {}, "must be valid TOML"),
    ],
)
def test_a_card_that_does_not_fit_is_one_line(tmp_path: Path, card: str, network: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        classifier(tmp_path, card, **network)
    assert "\n" not in str(caught.value)


def test_what_is_no_classifier_of_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="must take photos as float32, float16 or uint8"):
        classifier(tmp_path, kind=TensorProto.INT64)
    with pytest.raises(ModelFileError, match="gave NaN or infinity"):
        classifier(tmp_path, weights=[[np.nan] * 3] * 3)
    (tmp_path / "mean.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelFileError, match="must be a whole ONNX file"):
        is_foreign(tmp_path / "mean.onnx")
    with pytest.raises(ModelFileError, match="must be a readable ONNX file"):
        ForeignClassifier(tmp_path / "none.onnx", tmp_path / "mean.toml", Threads(1).map)


def test_classes_may_stand_in_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("red\ngreen\n\nblue\n")
    model = classifier(tmp_path, 'classes = "names.txt"\nanswers = "logits"\n')
    assert model.classes == ("red", "green", "blue")
