"""What certero promises about a network in 8 bits: nearly the same answers, the same on every processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from certero.errors import ConfigError
from certero.machine.cache import BlobCache
from certero.photos import pixels
from certero.probe.backbones import Backbone, find_backbone
from certero.probe.export import count_parameters, export_backbone
from certero.probe.photo_blocks import read_in_blocks
from certero.probe.quantise import Channels, NotQuantisable, largest_pairs, quantise
from certero.runtime.network import Network, _adds_bytes_exactly
from certero.stages.embedder import choose_backend

onnx = pytest.importorskip("onnx", reason="networks are exported by the [train] extra")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

SIDE = 96


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return find_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def exports(backbone: Backbone) -> dict[str, bytes]:
    cache = BlobCache("networks")
    preprocessing = backbone.preprocessing(SIDE, "letterbox")
    found = {name: export_backbone(backbone, preprocessing, cache, name) for name in ("int8", "fp32")}
    cache.close()
    return found


@pytest.fixture(scope="module")
def images(backbone: Backbone, small_barn: Path) -> np.ndarray:
    photos = sorted(small_barn.glob("beds/*/*.jpg"))[::6][:33]
    preprocessing = backbone.preprocessing(SIDE, "letterbox")
    return np.stack([pixels.prepare(photo.read_bytes(), preprocessing) for photo in photos])


def test_eight_bits_answer_nearly_like_the_exact_network(exports: dict[str, bytes], images: np.ndarray) -> None:
    exact, fast = (Network(exports[name]).run(images, ["embedding", "map"]) for name in ("fp32", "int8"))
    error = np.linalg.norm(fast[0] - exact[0], axis=1) / np.linalg.norm(exact[0], axis=1)
    # The barn's smooth drawings stir the network less than photos do (there 7 %), so rounding weighs more.
    assert 0 < np.median(error) < 0.3
    # Far less than what tells two photos apart: each is nearest to itself.
    distances = np.linalg.norm(fast[0][:, None] - exact[0][None], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(len(images)))
    assert fast[1].shape == exact[1].shape
    assert np.corrcoef(fast[1].ravel(), exact[1].ravel())[0, 1] > 0.97


def test_an_answer_does_not_depend_on_the_company_of_other_photos(
    exports: dict[str, bytes], images: np.ndarray
) -> None:
    network = Network(exports["int8"])
    (together,) = network.run(images[:32], ["embedding"])
    for size in (1, 3):
        parts = [network.run(images[start : start + size], ["embedding"])[0] for start in range(0, 32, size)]
        # Sums of bytes are whole numbers: not a bit depends on how photos are grouped.
        assert np.array_equal(np.concatenate(parts)[:32], together[: len(np.concatenate(parts))])


def _answers(model: bytes, images: np.ndarray, exact: bool) -> np.ndarray:
    """With ONNX Runtime's exact way for processors without VNNI, or without it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(["embedding"], {"image": images})[0]
    return answer


def test_a_processor_that_adds_products_in_16_bits_gives_the_same_bits(
    exports: dict[str, bytes], images: np.ndarray
) -> None:
    """Weights are small enough for it, at the extremes too: pixels of 0 and 255 alone."""
    extreme = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), images.shape)
    for photos in (images, extreme):
        fast, exact = (_answers(exports["int8"], photos, way) for way in (False, True))
        assert np.array_equal(fast, exact)
        assert np.array_equal(Network(exports["int8"]).run(photos, ["embedding"])[0], exact)


def test_networks_of_others_take_the_exact_way_on_such_a_processor(
    exports: dict[str, bytes], images: np.ndarray
) -> None:
    """The same layers with weights of the full range, as older runs have them: sums of two overflow."""
    model = onnx.load_model_from_string(exports["int8"])
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".weight") and tensor.data_type == onnx.TensorProto.INT8:
            weights = numpy_helper.to_array(tensor).astype(np.int16)
            tensor.CopyFrom(numpy_helper.from_array(np.clip(weights * 2, -127, 127).astype(np.int8), tensor.name))
    others = model.SerializeToString()
    fast, exact = (_answers(others, images, way) for way in (False, True))
    assert np.array_equal(Network(others).run(images, ["embedding"])[0], exact)
    # Where products are added in 16 bits, the fast way gives something else: the mark is what keeps it away.
    assert np.array_equal(fast, exact) is _adds_bytes_exactly()


@pytest.mark.parametrize("shape", [(3, 10, 1, 1), (2, 3, 3, 3), (4, 1, 3, 3)])
def test_the_largest_pair_is_that_of_all_pairs_that_may_meet(shape: tuple[int, int, int, int]) -> None:
    weights = np.random.default_rng(5).normal(size=shape)
    found = largest_pairs(weights)
    for row, largest in zip(weights.reshape(shape[0], -1), found, strict=True):
        near = 4 if shape[2] == 1 else len(row)
        pairs = [(row[i], row[j]) for i in range(len(row)) for j in range(i) if i // near == j // near]
        same_sign = [abs(a + b) if a * b > 0 else max(abs(a), abs(b)) for a, b in pairs]
        assert largest == (0 if shape[1] == 1 else pytest.approx(max(same_sign)))


def test_no_two_weights_overflow_sixteen_bits(exports: dict[str, bytes]) -> None:
    graph = onnx.load_model_from_string(exports["int8"]).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    largest = [
        255 * largest_pairs(weights.astype(np.float64)).max()
        for name, weights in stored.items()
        if name.endswith(".weight") and weights.dtype == np.int8
    ]
    assert len(largest) > 40
    assert 0.95 * 2**15 < max(largest) < 2**15


def test_eight_bits_keep_the_layers_and_a_quarter_of_the_size(exports: dict[str, bytes]) -> None:
    # timm counts 3,371,024 in EfficientNet-Lite0 without its classifier; normalisations are folded into the layers.
    assert count_parameters(exports["int8"]) == count_parameters(exports["fp32"])
    assert 3_300_000 < count_parameters(exports["fp32"]) < 3_400_000
    assert len(exports["int8"]) < 0.35 * len(exports["fp32"])
    onnx.checker.check_model(onnx.load_model_from_string(exports["int8"]), full_check=True)


@pytest.mark.parametrize("size", [(8, 12), (9, 8)])
def test_the_photo_read_in_blocks_gives_the_same_bits(size: tuple[int, int]) -> None:
    """At odd sides it is read as before."""
    rng = np.random.default_rng(3)
    scales = {"photo.scale": 1 / 128, "w.scale": 0.01, "y.scale": 0.05}
    stored = [numpy_helper.from_array(np.float32(value), name) for name, value in scales.items()]
    stored += [numpy_helper.from_array(np.uint8(value), name) for name, value in (("mean", 127), ("zero", 128))]
    stored.append(numpy_helper.from_array(rng.integers(-127, 128, (16, 3, 3, 3), dtype=np.int8), "w"))
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("DequantizeLinear", ["t", "photo.scale", "mean"], ["photo"]),
        helper.make_node("DequantizeLinear", ["w", "w.scale"], ["w_real"]),
        helper.make_node("Conv", ["photo", "w_real"], ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["x", "y.scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", 2, ["N", *size, 3])],
        [helper.make_tensor_value_info("y", 2, ["N", 16, -(-size[0] // 2), -(-size[1] // 2)])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = rng.integers(0, 256, (3, *size, 3), dtype=np.uint8)
    (expected,) = Network(model.SerializeToString()).run(images, ["y"])
    read_in_blocks(model)
    assert ("Concat" in {node.op_type for node in model.graph.node}) is (size == (8, 12))
    (answer,) = Network(model.SerializeToString()).run(images, ["y"])
    assert len(np.unique(answer)) > 100
    assert np.array_equal(answer, expected)


def test_the_mean_of_clipped_channels_is_that_of_drawn_values() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = np.array([-4.0, 0.3, 2.0, 9.0]), np.array([1.0, 2.0, 0.5, 3.0])
    clipped = Channels.spread(mean, deviation).clipped(0.0, 6.0)
    drawn = np.clip(rng.normal(mean, deviation, (400_000, 4)), 0, 6).mean(axis=0)
    assert np.abs(clipped.mean - drawn).max() < 0.01
    assert (clipped.low, clipped.high) == (0.0, 6.0)


def _toy(rng: np.random.Generator, kind: str = "Conv") -> bytes:
    """A photo of 8 x 8 through two pointwise convolutions with a clip between."""
    shapes = {"w1": (16, 3, 1, 1), "b1": (16,), "w2": (8, 16, 1, 1), "b2": (8,)}
    stored = [numpy_helper.from_array(rng.normal(0, 0.4, s).astype(np.float32), n) for n, s in shapes.items()]
    constants = {"mean": np.full((1, 3, 1, 1), 127), "deviation": np.full((1, 3, 1, 1), 128), "zero": 0, "six": 6}
    stored += [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in constants.items()]
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["c"], to=1),
        helper.make_node("Sub", ["c", "mean"], ["s"]),
        helper.make_node("Div", ["s", "deviation"], ["x"]),
        helper.make_node("Conv", ["x", "w1", "b1"], ["y"], name="first"),
        helper.make_node("Clip", ["y", "zero", "six"], ["z"]),
        helper.make_node(kind, ["z", "w2", "b2"] if kind == "Conv" else ["z"], ["map"], name="second"),
        helper.make_node("GlobalAveragePool", ["map"], ["p"]),
        helper.make_node("Flatten", ["p"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", 2, ["N", 8, 8, 3])],
        [
            helper.make_tensor_value_info("embedding", 1, ["N", 8]),
            helper.make_tensor_value_info("map", 1, ["N", 8, 8, 8]),
        ],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_rounding_the_weights_shifts_no_mean() -> None:
    """Shown where the channels are what they are said to be."""
    rng = np.random.default_rng(1)
    model = _toy(rng)
    images = rng.integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    session_exact = Network(_with_output(model, "y"))
    (first,) = session_exact.run(images, ["y"])
    (exact,) = Network(model).run(images, ["map"])
    told = [Channels.spread(v.mean(axis=(0, 2, 3)), v.std(axis=(0, 2, 3))) for v in (first, exact)]
    (fast,) = Network(quantise(model, told, 127.0, 128.0)).run(images, ["map"])
    step = (told[1].high - told[1].low) / 255
    assert np.abs(fast - exact).max() < 4 * step
    assert np.abs((fast - exact).mean(axis=(0, 2, 3))).max() < 0.25 * step


def _with_output(model: bytes, name: str) -> bytes:
    graph = onnx.load_model_from_string(model)
    graph.graph.output.append(helper.make_tensor_value_info(name, 1, ["N", 16, 8, 8]))
    return graph.SerializeToString()


def test_what_is_not_known_in_eight_bits_is_refused() -> None:
    rng = np.random.default_rng(2)
    channels = [Channels.spread(np.zeros(n), np.ones(n)) for n in (16, 8)]
    with pytest.raises(NotQuantisable, match="Sigmoid"):
        quantise(_toy(rng, "Sigmoid"), channels, 127.0, 128.0)
    with pytest.raises(NotQuantisable, match="second"):
        quantise(_toy(rng), channels[:1], 127.0, 128.0)
    with pytest.raises(NotQuantisable, match="more batch normalisations"):
        quantise(_toy(rng), [*channels, channels[0]], 127.0, 128.0)
    with pytest.raises(NotQuantisable, match="whole number"):
        quantise(_toy(rng), channels, 127.5, 128.0)


@pytest.mark.networks
def test_what_torch_computes_ships_in_full(backbone: Backbone) -> None:
    assert choose_backend("cpu", "bf16", backbone).shipped_precision == "fp32"


def test_eight_bits_are_for_a_processor_and_a_backbone_that_has_them(backbone: Backbone) -> None:
    import dataclasses

    other = dataclasses.replace(backbone, name="resnet18", traced=True)
    assert str(choose_backend("cpu", "auto", backbone)) == "cpu int8"
    assert str(choose_backend("cpu", "auto", other)) == "cpu fp32"
    assert str(choose_backend("auto", "int8", backbone)) == "cpu int8"
    with pytest.raises(ConfigError, match="resnet18 has not"):
        choose_backend("cpu", "int8", other)
    with pytest.raises(ConfigError, match="--precision int8 runs on a CPU"):
        choose_backend("cuda", "int8", backbone)
