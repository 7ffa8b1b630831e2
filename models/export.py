"""Turn a training checkpoint into a bundle: `python -m models.export`. Needs the `train` extra.

Steps: float graph, ranges of its activations on training text, int8 graph, proof that the two agree, calibration on
held-out rows, manifest. `--exit` exports the smaller student that stops after layer 3.
"""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from tokenizers import Tokenizer

from models.bundle import DEFAULT, SHIPPED_FIT, Config, sha256, write_manifest
from models.calibration import Calibration, fit, identity, sigmoid, softmax
from models.graph import Builder, Range, best_range, column_factors, with_outputs
from models.labelled import counted, logits_of
from models.network import load_averaged
from models.scorer import OnnxScorer, open_session
from models.sources import Example, read_all
from models.train import base_folder

RANGE_TEXTS = 512
PROOF_TEXTS = 1600
TOKENS_PER_CHUNK = 120
EXACT_INPUTS = ("layers.0.gelu", "layers.1.gelu")
"""Inputs of the two of the 24 products that stay in float: in int8, they would cause half of all label flips."""
GELU_SHARE = 0.85
"""`share` of `column_factors` for GELU outputs; 0.5 elsewhere. A few neurons of the lower layers have outputs a hundred
times as large as the others, so more of their spread is moved to the weight."""
PRECISION = 0.7
Arrays = dict[str, npt.NDArray[np.float32]]


def weights_of(checkpoints: Sequence[Path]) -> Arrays:
    """The averaged weights of a checkpoint as arrays; for several finishing runs, the mean of these weights."""
    return {name: values.numpy() for name, values in load_averaged(*checkpoints).state_dict().items()}


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def scorer_of(model: Any, config: Config, calibration: Calibration | None = None) -> OnnxScorer:
    """A scorer over a model in memory."""
    return OnnxScorer(open_session(model.SerializeToString()), _tokenizer(), config, calibration or identity())


def measure_ranges(builder: Builder, model: Any, config: Config, texts: Sequence[str]) -> dict[str, Range]:
    """Run the float model over `texts`; choose a range for each input of a large product not in `EXACT_INPUTS`."""
    names = list(builder.products)
    scorer = scorer_of(with_outputs(model, names), config)
    seen: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    largest: dict[str, npt.NDArray[np.float32]] = {}
    dice = np.random.default_rng(0)
    for chunk in scorer.chunks(scorer.encode(texts)):
        real = chunk.feed["attention_mask"].astype(bool)
        for name, values in zip(names, scorer.session.run(names, chunk.feed), strict=True):
            tokens = values[real]
            top = np.abs(tokens).max(axis=0)
            largest[name] = np.maximum(largest.get(name, top), top)
            seen[name].append(tokens[dice.integers(0, len(tokens), TOKENS_PER_CHUNK)])
    small = [name for name in names if name not in EXACT_INPUTS]
    return {name: _range_of(builder, name, np.concatenate(seen[name]), largest[name]) for name in small}


def _range_of(builder: Builder, name: str, values: npt.NDArray[np.float32], largest: npt.NDArray[np.float32]) -> Range:
    share = GELU_SHARE if name.endswith(".gelu") else 0.5
    factors = column_factors(largest, builder.weights[f"{builder.products[name]}.weight"].T, share)
    return replace(best_range((values / factors).ravel()), factors=factors)


def _mixed(examples: Sequence[Example], count: int) -> list[str]:
    dice = np.random.default_rng(1)
    ours = [example.text for example in examples if example.source == "corpus"]
    all_texts = [example.text for example in examples]
    return [str(text) for text in (*dice.choice(ours, count // 2), *dice.choice(all_texts, count // 2))]


def agreement(exact: OnnxScorer, small: OnnxScorer, texts: Sequence[str]) -> dict[str, float]:
    """Compare int8 with float on `texts`: probability differences, and how often the label or a tag flips."""
    encodings = exact.encode(texts)
    (sentiment, tags), (sentiment8, tags8) = exact.run(encodings), small.run(encodings)
    p, p8, t, t8 = softmax(sentiment), softmax(sentiment8), sigmoid(tags), sigmoid(tags8)
    return {
        "texts": len(texts),
        "sentiment_max_difference": round(float(np.abs(p - p8).max()), 4),
        "sentiment_mean_difference": round(float(np.abs(p - p8).mean()), 5),
        "tags_max_difference": round(float(np.abs(t - t8).max()), 4),
        "tags_mean_difference": round(float(np.abs(t - t8).mean()), 5),
        "label_flips": round(float((p.argmax(1) != p8.argmax(1)).mean()), 5),
        "tag_flips": round(float(((t > 0.5) != (t8 > 0.5)).mean()), 5),
    }


def same_tokens(texts: Sequence[str], bundle: Path) -> bool:
    """Whether the bundle's tokenizer gives the same ids as the base model's tokenizer, with which training ran."""
    ours = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    ours.no_padding()
    ours.no_truncation()
    theirs = _tokenizer()
    return all(ours.encode(text).ids == theirs.encode(text).ids for text in texts)


def _save(folder: Path, model: Any, config: Config, calibration: Calibration) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    shutil.copyfile(base_folder() / "tokenizer.json", folder / "tokenizer.json")
    _write_json(folder / "config.json", config)
    _write_json(folder / "calibration.json", calibration)
    # A kept calibration belongs to the previous weights and must not become the prior for these.
    (folder / SHIPPED_FIT).unlink(missing_ok=True)


def _write_json(path: Path, value: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n")


def _version(model: Any, place: str) -> str:
    # A hash of the content: the same weights get the same version wherever they are exported.
    digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()[:10]
    return f"undertone-{'l6' if place == 'last' else 'l3'}-{digest}"


def small_model(weights: Arrays, layers: int, place: str, train_rows: Sequence[Example]) -> tuple[Any, Any]:
    """The int8 and the float graph of one student; ranges are measured on training text."""
    draft = Config(model_version="draft")
    builder = Builder(weights, layers, place, None)
    exact = builder.build()
    ranges = measure_ranges(builder, exact, draft, _mixed(train_rows, RANGE_TEXTS))
    return Builder(weights, layers, place, ranges).build(), exact


def export(
    checkpoints: Sequence[Path], examples: Sequence[Example], folder: Path, place: str = "last"
) -> dict[str, Any]:
    """Write the bundle of one student (`place` "last" or "exit"); return what its manifest says about its making."""
    held_out = [example for example in examples if example.part == "dev"]
    train_rows = [example for example in examples if example.part == "train"]
    small, exact = small_model(weights_of(checkpoints), 6 if place == "last" else 3, place, train_rows)
    config = Config(model_version=_version(small, place), base="all-MiniLM-L6-v2")
    scorer = scorer_of(small, config)
    proof_texts = _mixed(held_out, PROOF_TEXTS)
    proof = agreement(scorer_of(exact, config), scorer, proof_texts)
    calibration = fit(logits_of(scorer, counted(held_out)), precision=PRECISION)
    _save(folder, small, config, calibration)
    made = {
        "proof": proof,
        "checkpoints": [sha256(one) for one in checkpoints],
        "same_tokens": same_tokens(proof_texts, folder),
    }
    write_manifest(folder, made)
    return made


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """Add the option `--checkpoint`, which names the files with the trained weights."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        default=[Path(".cache/train/checkpoint.pt")],
        help="of one run, or of several finishing runs of a common ancestor: their mean is taken",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m models.export", description=__doc__.split("\n")[0])
    shared = os.environ.get("UNDERTONE_TRAINING_DATA")
    parser.add_argument("--data", type=Path, default=shared, help="folder of the sets")
    add_checkpoints(parser)
    parser.add_argument("--out", type=Path, default=DEFAULT, help="folder of the bundle")
    parser.add_argument("--exit", action="store_true", help="export the student that stops after layer 3")
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("say where the data is: --data FOLDER or UNDERTONE_TRAINING_DATA")
    made = export(given.checkpoint, read_all(Path(given.data)), given.out, "exit" if given.exit else "last")
    print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode(), file=sys.stdout)


if __name__ == "__main__":
    main()
