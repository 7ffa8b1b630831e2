"""The encoder as an ONNX graph, in float or in int8; needs the `train` extra (onnx), not torch.

Int8 here is static: activations have fixed ranges, measured once on training text, so the result of a row does not
depend on the other rows of its batch (dynamic quantisation has one range per batch, so replays would differ). Weights
have one scale per output column and seven bits: on AVX2 without VNNI the eight-bit multiply-add saturates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, npt.NDArray[np.float32]]
WEIGHT_LEVELS = 63
CONTRIB = "com.microsoft"
EPSILON = 1e-12
HEADS = 12


@dataclass(frozen=True)
class Range:
    """Fixed scale and zero point of one activation tensor, unsigned eight bits.

    Its columns are first divided by `factors`, and the rows of the weight multiplied by them: a few columns of a layer
    norm's output are far larger than the others, which would otherwise fall into very few of the 256 steps.
    """

    scale: float
    zero: int
    factors: npt.NDArray[np.float32] | None = None


@dataclass
class Graph:
    """Collects nodes and constants; a node has the name of the tensor that it makes, so names are unique."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add an initialiser."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; node and output have the same name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output


def quantise_weight(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 of an [in, out] matrix with one scale per column, and the scales.

    >>> q, s = quantise_weight(np.array([[1.0, -2.0], [0.5, 1.0]], np.float32))
    >>> q.tolist()
    [[63, -63], [32, 32]]
    """
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / WEIGHT_LEVELS
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


class Builder:
    """Builds one graph from named weights. A product whose input has an entry in `ranges` is int8, else float."""

    def __init__(self, weights: Arrays, layers: int, place: str, ranges: Mapping[str, Range] | None) -> None:
        self.weights, self.layers, self.place, self.ranges = weights, layers, place, ranges
        self.graph = Graph()
        self.products: dict[str, str] = {}
        """Input tensor of each large product -> name of its weight, for measuring ranges."""

    def linear(self, x: str, name: str) -> str:
        """One affine map of the last axis."""
        self.products[x] = name
        weight, bias = self.weights[f"{name}.weight"].T, self.weights[f"{name}.bias"]
        offset = self.graph.constant(f"{name}.bias", bias)
        known = self.ranges.get(x) if self.ranges else None
        if known is None:
            product = self.graph.node("MatMul", [x, self.graph.constant(f"{name}.weight", weight)], f"{name}.product")
            return self.graph.node("Add", [product, offset], f"{name}.out")
        if known.factors is not None:
            weight = weight * known.factors[:, None]
            shrink = self.graph.constant(f"{name}.shrink", (1.0 / known.factors).astype(np.float32))
            x = self.graph.node("Mul", [x, shrink], f"{name}.even")
        quantised, scale = quantise_weight(weight)
        a_scale = self.graph.constant(f"{name}.a_scale", np.array(known.scale, np.float32))
        a_zero = self.graph.constant(f"{name}.a_zero", np.array(known.zero, np.uint8))
        small = self.graph.node("QuantizeLinear", [x, a_scale, a_zero], f"{name}.in8")
        matrix = self.graph.constant(f"{name}.weight8", quantised)
        b_scale = self.graph.constant(f"{name}.b_scale", scale)
        inputs = [small, matrix, a_scale, b_scale, a_zero, "", offset]
        return self.graph.node("MatMulIntegerToFloat", inputs, f"{name}.out", CONTRIB)

    def embeddings(self) -> str:
        """Layer-normalised sum of word and position vectors; with `ranges`, word vectors are int8 with a scale each."""
        words = self.weights["words.weight"]
        if self.ranges is None:
            x = self.graph.node("Gather", [self.graph.constant("words", words), "input_ids"], "words.float")
        else:
            x = self._small_words(words)
        places = self.graph.constant("places", self.weights["places.weight"] + self.weights["kind"])
        shape = self.graph.node("Shape", ["input_ids"], "ids.length", start=1, end=2)
        start = self.graph.constant("zero", np.array([0], np.int64))
        used = self.graph.node("Slice", [places, start, shape], "places.used")
        return self.normalised("norm", self.graph.node("Add", [x, used], "embedded.sum"), None)

    def _small_words(self, words: npt.NDArray[np.float32]) -> str:
        steps = np.abs(words).max(axis=1, keepdims=True) / 127
        table = self.graph.constant("words8", np.rint(words / np.maximum(steps, 1e-12)).astype(np.int8))
        taken = self.graph.node("Gather", [table, "input_ids"], "words.taken")
        wide = self.graph.node("Cast", [taken], "words.wide", to=TensorProto.FLOAT)
        scales = self.graph.constant("words.scale", steps.astype(np.float32))
        scale = self.graph.node("Gather", [scales, "input_ids"], "words.taken_scale")
        return self.graph.node("Mul", [wide, scale], "words.float")

    def normalised(self, name: str, x: str, skip: str | None) -> str:
        """Layer normalisation of `x`, or of `x + skip`."""
        gain = self.graph.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        shift = self.graph.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        if skip is not None:
            # Not ONNX Runtime's SkipLayerNormalization, which does both at once and takes four times as long.
            x = self.graph.node("Add", [x, skip], f"{name}.sum")
        return self.graph.node("LayerNormalization", [x, gain, shift], f"{name}.out", axis=-1, epsilon=EPSILON)

    def layer(self, x: str, number: int) -> str:
        """One transformer layer."""
        name = f"layers.{number}"
        parts = [f"{name}.{part}" for part in ("q", "k", "v")]
        joined = self.linear(x, f"{name}.qkv")
        self.graph.nodes.append(helper.make_node("Split", [joined, "thirds"], parts, name=f"{name}.split", axis=-1))
        inputs = [*parts, "", "mask32"]
        mixed = self.graph.node("MultiHeadAttention", inputs, f"{name}.mixed", CONTRIB, num_heads=HEADS)
        x = self.normalised(f"{name}.norm1", self.linear(mixed, f"{name}.out"), x)
        inner = self.graph.node("Gelu", [self.linear(x, f"{name}.up")], f"{name}.gelu", CONTRIB)
        return self.normalised(f"{name}.norm2", self.linear(inner, f"{name}.down"), x)

    def pooled(self, x: str) -> str:
        """Mean over the tokens, as a product with the mask divided by its sum."""
        mask = self.graph.node("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
        axis = self.graph.constant("last_axis", np.array([1], np.int64))
        share = self.graph.node("Div", [mask, self.graph.node("ReduceSum", [mask, axis], "mask.sum")], "mask.share")
        row = self.graph.node("Unsqueeze", [share, axis], "mask.row")
        mean = self.graph.node("MatMul", [row, x], "mean.row")
        return self.graph.node("Squeeze", [mean, axis], "mean")

    def build(self) -> Any:
        """The finished model."""
        self.graph.constant("thirds", np.array([384, 384, 384], np.int64))
        self.graph.node("Cast", ["attention_mask"], "mask32", to=TensorProto.INT32)
        x = self.embeddings()
        for number in range(self.layers):
            x = self.layer(x, number)
        mean = self.pooled(x)
        outputs = []
        for output, head in (("sentiment", f"{self.place}_sentiment"), ("emotions", f"{self.place}_tags")):
            weight = self.graph.constant(f"{head}.weight", self.weights[f"heads.{head}.weight"].T)
            bias = self.graph.constant(f"{head}.bias", self.weights[f"heads.{head}.bias"])
            self.graph.node("Gemm", [mean, weight, bias], output)
            size = len(self.weights[f"heads.{head}.bias"])
            outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size]))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ]
        graph = helper.make_graph(self.graph.nodes, "undertone", inputs, outputs, self.graph.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="undertone")


def with_outputs(model: Any, names: list[str]) -> Any:
    """A copy of the model that also returns the tensors `names`."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in dict.fromkeys(names):
        watched.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return watched


def column_factors(
    largest: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], share: float = 0.5
) -> npt.NDArray[np.float32]:
    """Divisors that move `share` of the columns' spread from activation to weight; `largest` are column maxima."""
    rows = np.abs(weight).max(axis=1)
    factors = np.maximum(largest, 1e-3) ** share / np.maximum(rows, 1e-3) ** (1 - share)
    even: npt.NDArray[np.float32] = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return even


def best_range(values: npt.NDArray[np.float32]) -> Range:
    """The unsigned eight-bit range with the least squared error: clipping rare outliers makes the steps finer.

    >>> best_range(np.linspace(0, 1, 500, dtype=np.float32)).zero
    0
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 1e-6)
    best, least = Range(1.0, 0), float("inf")
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        scale = (high - low) * share / 255
        zero = int(np.clip(np.rint(-low * share / scale), 0, 255))
        back = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
        error = float(np.square(back - values).mean())
        if error < least:
            best, least = Range(scale, zero), error
    return best
