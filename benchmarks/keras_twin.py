"""A network of certero's recipes in Keras, timed on photos in memory; `grocery_cnn.py` runs it.

It runs in an environment of its own and imports nothing of certero: the plan of the network comes as JSON, the photos
as a NumPy file.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Parses the command line, trains a few steps, prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "plan", type=Path, help="JSON: layers, image_size, n_classes, batch_size, steps, warm_up, threads"
    )
    parser.add_argument("photos", type=Path, help=".npz with images uint8 [n, H, W, 3] and labels [n]")
    parser.add_argument("--bf16", action="store_true", help="Keras' mixed_bfloat16 policy")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    plan = json.loads(arguments.plan.read_text("utf-8"))
    tf.config.threading.set_intra_op_parallelism_threads(plan["threads"])
    if arguments.bf16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = build(plan)
    network.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    with np.load(arguments.photos) as file:
        images, labels = file["images"], file["labels"]
    size = plan["batch_size"]
    seconds = []
    for step in range(plan["warm_up"] + plan["steps"]):
        rows = np.arange(step * size, (step + 1) * size) % len(images)
        start = time.perf_counter()
        network.train_on_batch(images[rows].astype(np.float32), labels[rows])
        seconds.append(time.perf_counter() - start)
    kept = seconds[plan["warm_up"] :]
    print(json.dumps({"photos_per_second": size * len(kept) / sum(kept), "parameters": network.count_params()}))


def build(plan: dict) -> object:
    """The Keras network of the plan."""
    import keras
    from keras import layers as kinds

    network = keras.Sequential([keras.Input((plan["image_size"], plan["image_size"], 3)), kinds.Rescaling(1 / 255)])
    for layer in plan["layers"]:
        kind = layer["layer"]
        if kind == "conv":
            padding = "same" if layer.get("padding", 0) else "valid"
            network.add(kinds.Conv2D(layer["filters"], layer["kernel"], padding=padding))
        elif kind in ("max_pool", "average_pool"):
            network.add((kinds.MaxPooling2D if kind == "max_pool" else kinds.AveragePooling2D)(layer["size"]))
        elif kind == "relu":
            network.add(kinds.ReLU())
        elif kind == "flatten":
            network.add(kinds.Flatten())
        elif kind == "dropout":
            network.add(kinds.Dropout(layer["share"]))
        elif kind == "dense":
            is_last = layer["units"] == "classes"
            units = plan["n_classes"] if is_last else layer["units"]
            # The probabilities stay in float32 whatever the policy.
            more = {"activation": "softmax", "dtype": "float32"} if is_last else {}
            network.add(kinds.Dense(units, **more))
        else:
            raise SystemExit(f"no Keras twin of a layer {kind}")
    return network


if __name__ == "__main__":
    main()
