"""Turn a bundle back into a checkpoint to train on from: `python -m models.thaw`. Needs the `train` extra.

Checkpoints are too large to ship. The weights of a bundle are theirs rounded to eight bits or fewer, which moves about
as many labels as int8 flips (`manifest.json`). The heads of the early exit are not in a bundle: they begin anew.

    python -m models.thaw --out .cache/thawed.pt
    python -m models.train --finish .cache/thawed.pt --out .cache/mine --rounds 0.3 --rate 5e-5
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.bundle import DEFAULT, verify
from models.network import Network, Shape

Constants = Mapping[str, Any]


def thawed(model: Any) -> Network:
    """The network of an exported int8 or float graph with six layers (`models.graph.Builder`), in evaluation mode."""
    constants = {one.name: numpy_helper.to_array(one).astype(np.float32) for one in model.graph.initializer}
    torch.manual_seed(0)
    network = Network(Shape())
    state = network.state_dict()
    found = {
        "words.weight": constants["words8"] * constants["words.scale"] if "words8" in constants else constants["words"],
        "places.weight": constants["places"],
        "kind": np.zeros(Shape().hidden, np.float32),  # the graph adds it to the places
    }
    norms = ["norm", *(f"layers.{number}.{name}" for number in range(Shape().layers) for name in ("norm1", "norm2"))]
    for name in norms:
        found |= {f"{name}.{end}": constants[f"{name}.{end}"] for end in ("weight", "bias")}
    for number in range(Shape().layers):
        for part in ("qkv", "out", "up", "down"):
            name = f"layers.{number}.{part}"
            found |= {f"{name}.weight": _matrix(constants, name), f"{name}.bias": constants[f"{name}.bias"]}
    for head in ("last_sentiment", "last_tags"):
        found |= {
            f"heads.{head}.weight": constants[f"{head}.weight"].T,
            f"heads.{head}.bias": constants[f"{head}.bias"],
        }
    state.update({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()})
    network.load_state_dict(state)
    network.eval()
    return network


def _matrix(constants: Constants, name: str) -> Any:
    """[out, in] weight of a product; int8 ones get back their scales by column and the factors by row."""
    if f"{name}.weight8" not in constants:
        return constants[f"{name}.weight"].T
    weight = constants[f"{name}.weight8"] * constants[f"{name}.b_scale"]
    if f"{name}.shrink" in constants:
        weight = weight * constants[f"{name}.shrink"][:, None]
    return weight.T


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m models.thaw", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="folder of the bundle (default: the shipped)")
    parser.add_argument("--out", type=Path, default=Path(".cache/thawed.pt"), help="checkpoint to write")
    given = parser.parse_args(arguments)
    verify(given.bundle)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"averaged": thawed(onnx.load(str(given.bundle / "model.onnx"))).state_dict()}, given.out)
    print(given.out)


if __name__ == "__main__":
    main()
