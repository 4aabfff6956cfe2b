"""The first convolution over blocks of 2 x 2 pixels: the same sums, in two thirds of the time.

A convolution of 3 x 3 pixels and stride 2 gathers three short rows of bytes for each of its outputs, and that takes
longer than the products. Over blocks of 2 x 2 pixels, 12 channels deep, it is one of 2 x 2 blocks and stride 1: two
longer rows. The kernel has zeros where the blocks reach beyond it (docs/decisions/0018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

_CHANNELS = 3
#: Channels, rows and columns of a kernel over blocks.
BLOCK_KERNEL = (4 * _CHANNELS, 2, 2)


def read_in_blocks(model: ModelProto) -> None:
    """Rewrites the graph in place, if it begins with such a convolution and the photo's sides are even.

    Args:
        model: in 8 bits; `image` uint8 [N, H, W, 3] is transposed, given its meaning, and reaches the convolution.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    transpose = graph.node[0]
    first = next(node for node in graph.node if node.op_type == "Conv")
    height, width = (graph.input[0].type.tensor_type.shape.dim[axis].dim_value for axis in (1, 2))
    if transpose.op_type != "Transpose" or not _is_strided(first) or height % 2 or width % 2:
        return
    source = next(node.input[0] for node in graph.node if node.output[0] == first.input[1])
    stored = next(tensor for tensor in graph.initializer if tensor.name == source)
    kernel = numpy_helper.to_array(stored)
    if kernel.shape[1] != _CHANNELS:
        return
    stored.CopyFrom(numpy_helper.from_array(in_blocks(kernel), source))
    del first.attribute[:]
    for name, value in (("kernel_shape", [2, 2]), ("strides", [1, 1]), ("pads", [1, 1, 0, 0]), ("group", 1)):
        first.attribute.append(helper.make_attribute(name, value))
    row = _CHANNELS * width
    shapes = {
        "pairs_of_rows": [0, height // 2, 2 * row],
        "row_sizes": [row, row],
        "pairs": [0, height // 2, width // 2, 2 * _CHANNELS],
    }
    graph.initializer.extend(numpy_helper.from_array(np.array(shape), name) for name, shape in shapes.items())
    # Splitting and joining copies whole rows, then six bytes at a time: less than half of what a transposition takes.
    nodes = [
        helper.make_node("Reshape", ["image", "pairs_of_rows"], ["rows"], name="rows"),
        helper.make_node("Split", ["rows", "row_sizes"], ["upper_rows", "lower_rows"], name="split_rows", axis=2),
        helper.make_node("Reshape", ["upper_rows", "pairs"], ["upper"], name="upper"),
        helper.make_node("Reshape", ["lower_rows", "pairs"], ["lower"], name="lower"),
        helper.make_node("Concat", ["upper", "lower"], ["blocks"], name="blocks", axis=3),
    ]
    transpose.input[0] = "blocks"
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def in_blocks(kernel: NDArray[Any]) -> NDArray[Any]:
    """Kernels [K, 3, 3, 3] as [K, 12, 2, 2] over blocks; the second block is the one at the kernel's middle.

    A block's channels are its rows, in them its columns, in them the colours.
    """
    # Padded by one pixel before the first row and column, the kernel begins where a block does.
    whole = np.pad(kernel, ((0, 0), (0, 0), (1, 0), (1, 0)))
    parts = whole.reshape(len(kernel), _CHANNELS, 2, 2, 2, 2)  # kernel, colour, block row, row, block column, column
    return np.ascontiguousarray(parts.transpose(0, 3, 5, 1, 2, 4)).reshape(len(kernel), *BLOCK_KERNEL)


def _is_strided(node: NodeProto) -> bool:
    values = {attribute.name: list(attribute.ints) or attribute.i for attribute in node.attribute}
    wanted = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "group": 1}
    return all(values.get(name, 1) == value for name, value in wanted.items())
