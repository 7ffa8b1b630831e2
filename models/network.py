"""MiniLM with two heads (sentiment, tags) after the last layer and a second pair half-way; torch, training only.

Written out rather than imported, so that the graph which is trained and the graph which is exported are visibly the
same: embeddings, post-norm transformer layers, mean over the tokens, one linear map for each head.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F
from safetensors.torch import load_file  # type: ignore[import-not-found]  # train extra only
from torch import Tensor, nn

from models.labels import SENTIMENTS, TAGS

EPSILON = 1e-12

PAD = 0


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder; the defaults are those of all-MiniLM-L6-v2."""

    layers: int = 6
    hidden: int = 384
    heads: int = 12
    inner: int = 1536
    vocabulary: int = 30522
    positions: int = 512
    exit_layer: int = 3
    dropout: float = 0.1
    """Applied to the pooled vector only: inside the layers it took a tenth of the time, and most rows are seen only
    once or twice."""


class Layer(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """One post-norm transformer layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.out = nn.Linear(shape.hidden, shape.hidden)
        self.norm1 = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.up = nn.Linear(shape.hidden, shape.inner)
        self.down = nn.Linear(shape.inner, shape.hidden)
        self.norm2 = nn.LayerNorm(shape.hidden, eps=EPSILON)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Self-attention and feed-forward over `x` [rows, length, hidden]; `mask` is added to the attention logits."""
        rows, length, hidden = x.shape
        split = self.qkv(x).view(rows, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = split[0], split[1], split[2]
        weights = (q @ k.transpose(-1, -2)) / math.sqrt(hidden // self.heads) + mask
        weights = weights.softmax(dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(rows, length, hidden)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Network(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """`forward` returns (sentiment logits, tag logits) of the last layer, then those of the early exit."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.places = nn.Embedding(shape.positions, shape.hidden)
        self.kind = nn.Parameter(torch.zeros(shape.hidden))
        self.norm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(shape.hidden, size)
                for place in ("last", "exit")
                for name, size in ((f"{place}_sentiment", len(SENTIMENTS)), (f"{place}_tags", len(TAGS)))
            }
        )
        for head in self.heads.values():
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def forward(self, ids: Tensor, attention: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of the last layer and of the early exit; `attention` is 1 for tokens and 0 for padding."""
        places = self.places.weight[: ids.shape[1]]
        x = self.norm(self.words(ids) + places + self.kind)
        mask = (1.0 - attention[:, None, None, :].float()) * -1e4
        early = x
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, mask)
            if number == self.shape.exit_layer:
                early = x
        return (*self._read(x, attention, "last"), *self._read(early, attention, "exit"))

    def freeze(self, layers: int) -> None:
        """Exclude word vectors from training and, where `layers` > 0, also all other embeddings and the first `layers`.

        The word vectors are half of all parameters and cost a tenth of a step; each frozen layer saves an eighth.
        """
        frozen = [self.words, *([self.places, self.norm, *self.layers[:layers]] if layers else [])]
        for part in frozen:
            part.requires_grad_(False)
        if layers:
            self.kind.requires_grad_(False)

    def _read(self, x: Tensor, attention: Tensor, place: str) -> tuple[Tensor, Tensor]:
        weights = attention.float().unsqueeze(-1)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        mean = F.dropout(mean, self.shape.dropout, self.training)
        return self.heads[f"{place}_sentiment"](mean), self.heads[f"{place}_tags"](mean)


def pretrained(folder: Path) -> Network:
    """The base encoder of the student, from a folder with `model.safetensors`; the heads start small and random."""
    return _encoder(load_file(str(folder / "model.safetensors")), Shape())


def pretrained_teacher(path: Path) -> Network:
    """A deeper encoder of the same width and vocabulary, from an ONNX export of BERT as `transformers` writes it.

    Such a file stores vectors under their names, but matrices transposed and without a name of their own: their names
    are derived from the MatMul nodes that use them.
    """
    graph = onnx.load(str(path)).graph
    stored = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            name = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            stored[f"{name}.weight"] = stored[node.input[1]].T.contiguous()
    layers = sum(name.endswith("intermediate.dense.weight") for name in stored)
    return _encoder(stored, Shape(layers=layers, exit_layer=layers // 2))


def _encoder(stored: Mapping[str, Tensor], shape: Shape) -> Network:
    network = Network(shape)
    state = network.state_dict()
    state["words.weight"] = stored["embeddings.word_embeddings.weight"]
    state["places.weight"] = stored["embeddings.position_embeddings.weight"]
    state["kind"] = stored["embeddings.token_type_embeddings.weight"][0]
    for end in ("weight", "bias"):
        state[f"norm.{end}"] = stored[f"embeddings.LayerNorm.{end}"]
        for number in range(shape.layers):
            there, here = f"encoder.layer.{number}", f"layers.{number}"
            parts = [stored[f"{there}.attention.self.{name}.{end}"] for name in ("query", "key", "value")]
            state[f"{here}.qkv.{end}"] = torch.cat(parts)
            state[f"{here}.out.{end}"] = stored[f"{there}.attention.output.dense.{end}"]
            state[f"{here}.norm1.{end}"] = stored[f"{there}.attention.output.LayerNorm.{end}"]
            state[f"{here}.up.{end}"] = stored[f"{there}.intermediate.dense.{end}"]
            state[f"{here}.down.{end}"] = stored[f"{there}.output.dense.{end}"]
            state[f"{here}.norm2.{end}"] = stored[f"{there}.output.LayerNorm.{end}"]
    network.load_state_dict(state)
    return network


def load_averaged(*checkpoints: Path) -> Network:
    """The averaged network of a checkpoint, in evaluation mode; of several runs with a common ancestor, their mean.

    The mean of such runs, weight by weight, judges better than each run (Wortsman and others, 2022, Model soups).
    """
    runs = [torch.load(path, map_location="cpu", weights_only=True)["averaged"] for path in checkpoints]
    layers = sum(name.endswith(".qkv.weight") for name in runs[0])
    network = Network(Shape(layers=layers, exit_layer=layers // 2))
    network.load_state_dict({name: sum(run[name] for run in runs) / len(runs) for name in runs[0]})
    network.eval()
    return network


def pad(ids: Sequence[list[int]], rows: Sequence[int], device: torch.device) -> Tensor:
    """Token ids of the chosen rows, padded to the longest of them: [rows, tokens]."""
    longest = max(len(ids[row]) for row in rows)
    return torch.tensor([ids[row] + [PAD] * (longest - len(ids[row])) for row in rows], device=device)
