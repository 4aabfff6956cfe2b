"""Networks from a specification: the source systems' to the letter, and clear words for what cannot be built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from certero.config.recipes import resolve
from certero.errors import ConfigError
from certero.learn.cnn import Cnn, build_cnn, plan_cnn

OUT = {"layer": "dense", "units": "classes"}
CONV = {"layer": "conv", "filters": 4, "kernel": 3}
FLAT = {"layer": "flatten"}


def _recipe(name: str, n_classes: int) -> Cnn:
    settings = resolve(name)
    assert settings.image_size is not None
    return plan_cnn(settings.layers, n_classes, settings.image_size)


COW = [
    ("conv", (32, 224, 224), 896),
    ("relu", (32, 224, 224), 0),
    ("max_pool", (32, 112, 112), 0),
    ("conv", (64, 112, 112), 18_496),
    ("relu", (64, 112, 112), 0),
    ("max_pool", (64, 56, 56), 0),
    ("conv", (128, 56, 56), 73_856),
    ("relu", (128, 56, 56), 0),
    ("max_pool", (128, 28, 28), 0),
    ("flatten", (100_352,), 0),
    ("dense", (128,), 12_845_184),
    ("relu", (128,), 0),
    ("dropout", (128,), 0),
    ("dense", (64,), 8_256),
    ("relu", (64,), 0),
    ("dense", (2,), 130),
]
GROCERY_1 = [
    ("conv", (64, 254, 254), 1_792),
    ("relu", (64, 254, 254), 0),
    ("max_pool", (64, 127, 127), 0),
    ("conv", (128, 125, 125), 73_856),
    ("relu", (128, 125, 125), 0),
    ("average_pool", (128, 62, 62), 0),
    ("conv", (256, 60, 60), 295_168),
    ("relu", (256, 60, 60), 0),
    ("flatten", (921_600,), 0),
    ("dense", (128,), 117_964_928),
    ("relu", (128,), 0),
    ("dense", (64,), 8_256),
    ("relu", (64,), 0),
    ("dense", (36,), 2_340),
]
GROCERY_2 = [
    ("conv", (64, 254, 254), 1_792),
    ("relu", (64, 254, 254), 0),
    ("max_pool", (64, 127, 127), 0),
    ("conv", (256, 125, 125), 147_712),
    ("relu", (256, 125, 125), 0),
    ("max_pool", (256, 62, 62), 0),
    ("flatten", (984_064,), 0),
    ("dense", (128,), 125_960_320),
    ("relu", (128,), 0),
    ("dense", (36,), 4_644),
]


@pytest.mark.parametrize(
    ("name", "n_classes", "table", "parameters"),
    [
        ("cow-cnn", 2, COW, 12_946_818),
        ("grocery-cnn-1", 36, GROCERY_1, 118_346_340),
        ("grocery-cnn-2", 36, GROCERY_2, 126_114_468),
    ],
)
def test_the_networks_of_the_source_systems_are_built_to_the_letter(
    name: str, n_classes: int, table: list[tuple[str, tuple[int, ...], int]], parameters: int
) -> None:
    cnn = _recipe(name, n_classes)
    assert [(layer.kind, layer.after, layer.parameters) for layer in cnn.layers] == table
    assert cnn.parameters == parameters


def test_the_recipes_of_the_source_systems_train_as_they_did() -> None:
    cow = resolve("cow-cnn")
    assert (cow.optimizer, cow.lr, cow.schedule, cow.batch_size, cow.epochs) == ("adam", 0.001, "constant", 32, 15)
    assert cow.class_weights == {"vaca_de_pie": 3.0, "vaca_acostada": 2.0}
    assert (cow.class_cap, cow.fit, cow.normalise) == (280, "stretch", "unit")
    for name in ("grocery-cnn-1", "grocery-cnn-2"):
        grocery = resolve(name)
        assert (grocery.optimizer, grocery.lr, grocery.batch_size, grocery.epochs) == ("adam", 0.001, 32, 10)
        # What the source does not name is recorded as assumed.
        assert {"optimizer", "lr", "batch_size", "epochs"} <= set(grocery.assumed)


@pytest.mark.parametrize("name", ["cow-cnn", "cnn"])
def test_other_class_counts_change_the_last_layer_alone(name: str) -> None:
    two, nine = _recipe(name, 2), _recipe(name, 9)
    assert two.layers[:-1] == nine.layers[:-1]
    assert nine.layers[-1].after == (9,)


@pytest.mark.parametrize(
    "layers",
    [
        resolve("cow-cnn").layers,
        resolve("cnn").layers,
        (
            {"layer": "conv", "filters": 6, "kernel": 5, "stride": 2, "padding": 1, "groups": 3, "bias": False},
            {"layer": "batch_norm"},
            {"layer": "silu"},
            {"layer": "max_pool", "size": 3, "stride": 2, "padding": 1},
            {"layer": "leaky_relu"},
            {"layer": "average_pool", "size": 2},
            {"layer": "global_max_pool"},
            {"layer": "batch_norm"},
            {"layer": "dense", "units": 5, "bias": False},
            {"layer": "gelu"},
            OUT,
        ),
    ],
    ids=["cow-cnn", "cnn", "every kind"],
)
def test_shapes_and_counts_are_those_of_the_module_that_is_built(layers: tuple[dict[str, Any], ...]) -> None:
    torch = pytest.importorskip("torch", reason="building needs the [networks] extra")
    cnn = plan_cnn(layers, 3, 64)
    module = build_cnn(cnn).eval()
    assert sum(p.numel() for p in module.parameters()) == cnn.parameters
    x = torch.zeros(2, 3, 64, 64)
    for layer, child in zip(cnn.layers, module, strict=True):
        x = child(x)
        assert tuple(x.shape) == (2, *layer.after), layer
    assert sum(p.numel() for p in module[-1].parameters()) == cnn.layers[-1].parameters


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([], "layers must list"),
        ([CONV, {"layer": "conf"}, FLAT, OUT], r"layer 2 \(conf\): layer must be one of conv, .*; found 'conf'"),
        ([CONV, {"filters": 3}, FLAT, OUT], "layer 2 .* must be a table with the key layer"),
        ([{"layer": "conv", "filters": 4}, FLAT, OUT], r"layer 1 \(conv\): conv needs kernel"),
        ([CONV | {"kernal": 3}, FLAT, OUT], "conv takes filters, kernel, .*; found kernal"),
        ([CONV | {"filters": 0}, FLAT, OUT], "filters must be a whole number from 1 to 1000000; found 0"),
        ([CONV | {"filters": 10**9}, FLAT, OUT], "filters must be a whole number from 1 to 1000000; found 1000000000"),
        ([CONV | {"stride": True}, FLAT, OUT], "stride must be a whole number from 1 to 1000000; found True"),
        ([CONV, FLAT, {"layer": "dropout", "share": 1.0}, OUT], "share must be a number from 0 to below 1"),
        ([CONV, OUT], r"layer 2 \(dense\): a dense layer cannot follow a map of 6x6 with 4 channels"),
        ([CONV, FLAT, CONV, OUT], r"layer 3 \(conv\): conv cannot follow: the map was flattened to 144 features"),
        ([CONV, FLAT, {"layer": "dense", "units": 3}], "the last layer, and no other, must be"),
        ([CONV, FLAT, OUT, OUT], r"layer 3 \(dense\): the last layer, and no other"),
        ([FLAT, OUT], "at least one conv"),
        ([CONV | {"groups": 2}, FLAT, OUT], "groups must divide the 3 channels .* and the 4 filters; found 2"),
        (
            [{"layer": "max_pool", "size": 8}, CONV, FLAT, OUT],
            r"layer 2 \(conv\): a 3x3 convolution cannot follow: the map is already 1x1",
        ),
        (
            [CONV, {"layer": "max_pool", "size": 7}, FLAT, OUT],
            "a 7x7 max pooling cannot follow: the map is already 6x6",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_one_line(layers: list[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        plan_cnn(layers, 2, 8)
    assert "\n" not in str(raised.value)


def test_an_image_too_small_for_the_network_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(ConfigError, match=r"cannot follow: the map is already .* larger --image-size than 32"):
        plan_cnn([*resolve("cow-cnn").layers[:9], *resolve("cow-cnn").layers[:9], FLAT, OUT], 2, 32)


def test_a_recipe_file_describes_a_network(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'fitting = "network"\n'
        "[[layers]]\nlayer = 'conv'\nfilters = 4\nkernel = 3\n"
        "[[layers]]\nlayer = 'global_average_pool'\n"
        "[[layers]]\nlayer = 'dense'\nunits = 'classes'\n"
    )
    settings = resolve(str(file))
    assert plan_cnn(settings.layers, 2, 32).parameters == 112 + 10
    # What config.toml of a run holds is the same recipe.
    again = tmp_path / "again.toml"
    again.write_text(re.sub(r"^recipe.*$", "", settings.to_toml(), flags=re.MULTILINE))
    assert resolve(str(again)).layers == settings.layers
