"""Measure all figures of the model card: `python -m models.report`. Needs the `train` extra.

Writes `evaluation.json` and `drift.json` into the bundle and the result tables into its `MODEL_CARD.md`. Probabilities
are cross-fitted: the held-out rows are cut in two by scenario, each half is calibrated on the other, and both are then
measured together; the calibration that ships uses both. Speed is CPU time of one thread, so a busy machine changes it
little.

Exit status: 0; 2 wrong arguments or bundle (the reason is on standard error).
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.baseline import vader
from models.bundle import DEFAULT, BundleError, Config, verify, write_manifest
from models.calibration import Applied, Calibrator, Costs, LabelledLogits, expected_error, fit
from models.card import results, update_card
from models.drift import Window, save
from models.evaluate import Block, sentiment_block, tag_block
from models.export import add_checkpoints, scorer_of, small_model, weights_of
from models.graph import Builder
from models.labelled import JUDGED_SENTIMENT, half, logits_of, take
from models.labels import CHANNELS, NEGATIVE_TAGS, TAGS
from models.measures import wilson
from models.scorer import Encodings, OnnxScorer, lacks_evidence
from models.sources import OWN_LABELS, Example, read_all
from models.unseen import measure

SPEED_TEXTS = 512
TASK_TALK = frozenset({"banking77", "nlupp"})
MOST_PROBABLE: dict[str, Costs] = {}
"""Costs under which the label is the most probable one."""
LEAST_POSITIVES = 5
"""A tag with fewer positives in a group is not reported for it."""


def cross_fitted(
    rows: LabelledLogits, examples: Sequence[Example], precision: float, costs: Mapping[str, Costs]
) -> Applied:
    """Calibrated outputs of all rows; each half is calibrated by a fit of the other half."""
    halves = np.array([half(example) for example in examples])
    parts: dict[int, Applied] = {}
    for side in (0, 1):
        fitted = fit(take(rows, np.flatnonzero(halves != side).tolist()), precision=precision, costs=costs)
        mine = take(rows, np.flatnonzero(halves == side).tolist())
        parts[side] = Calibrator(fitted).apply(mine.sentiment_logits, mine.tag_logits, mine.channels)
    joined = []
    for place in range(len(Applied._fields)):
        shape = (len(examples), *parts[0][place].shape[1:])
        whole = np.zeros(shape, parts[0][place].dtype)
        for side in (0, 1):
            whole[halves == side] = parts[side][place]
        joined.append(whole)
    return Applied(*joined)


def noise_floor(p: npt.NDArray[np.floating], repeats: int = 20) -> float:
    """Calibration error that a perfectly calibrated model with these probabilities would show at this sample size."""
    dice = np.random.default_rng(0)
    totals = np.cumsum(p, axis=1)
    drawn = [(dice.random((len(p), 1)) > totals / totals[:, -1:]).sum(axis=1) for _ in range(repeats)]
    return round(float(np.mean([expected_error(p, truths) for truths in drawn])), 4)


def sentiment_results(applied: Applied, examples: Sequence[Example]) -> Block:
    """Sentiment by channel and by source, over rows whose sentiment people judged."""
    truths = np.array([example.sentiment if example.source in JUDGED_SENTIMENT else -1 for example in examples])
    channels = np.array([example.channel for example in examples])
    sources = np.array([example.source for example in examples])
    found: Block = {"channels": {}, "sources": {}}
    for kind, names, values in (("channels", ("all", *CHANNELS), channels), ("sources", JUDGED_SENTIMENT, sources)):
        for name in sorted(names):
            chosen = (truths >= 0) & ((values == name) | (name == "all"))
            if chosen.any():
                block = sentiment_block(
                    applied.p[chosen], applied.labels[chosen], applied.unsure[chosen], truths[chosen]
                )
                block["calibration_error_by_chance"] = noise_floor(applied.p[chosen])
                found[kind][name] = block
    return found


def tag_results(applied: Applied, examples: Sequence[Example]) -> Block:
    """Measures of the tags in three separate groups: shared sets, our corpus, and posts that we labelled."""
    group_of = np.array([OWN_LABELS.get(example.source, "shared") for example in examples])
    targets = np.array([example.tag_targets for example in examples])
    known = np.array([example.tags_annotated for example in examples])
    found: Block = {"shared": {}, **{name: {} for name in OWN_LABELS.values()}}
    for name in found:
        for place, tag in enumerate(TAGS):
            chosen = (group_of == name) & known[:, place]
            if (targets[chosen, place] > 0.5).sum() >= LEAST_POSITIVES:
                block = tag_block(applied.tags[chosen, place], applied.flagged[chosen, place], targets[chosen, place])
                found[name][tag] = block
    return found


def _is_task_talk(example: Example) -> bool:
    plain = example.sentiment == 1 and not any(target > 0.5 for target in example.tag_targets)
    return plain and example.speaker == "customer" and example.channel != "survey"


def task_talk(applied: Applied, examples: Sequence[Example]) -> Block:
    """How often plain requests and questions are called negative or get a negative tag.

    These are customers' texts that are labelled neutral and carry no tag; survey answers are verdicts, not task talk.
    """
    bad = [TAGS.index(tag) for tag in NEGATIVE_TAGS]
    alarmed = (applied.labels == 0) | applied.flagged[:, bad].any(axis=1)
    found: Block = {}
    for name, sources in (("shared", TASK_TALK), ("corpus", {"corpus"})):
        chosen = np.array([e.source in sources and _is_task_talk(e) for e in examples])
        hits = int(alarmed[chosen].sum())
        found[name] = {
            "rows": int(chosen.sum()),
            "flagged_share": round(hits / max(int(chosen.sum()), 1), 4),
            "interval": wilson(hits, int(chosen.sum())),
        }
    return found


def _cpu_rates(scorers: dict[str, OnnxScorer], encodings: Encodings, repeats: int = 7) -> dict[str, float]:
    """Messages per second of CPU time: the best of `repeats` runs of each scorer, in turns, as other load varies."""
    chunks = {name: scorer.chunks(encodings) for name, scorer in scorers.items()}
    best = dict.fromkeys(scorers, float("inf"))
    for _ in range(repeats):
        for name, scorer in scorers.items():
            before = time.process_time()
            for chunk in chunks[name]:
                scorer.session.run(None, chunk.feed)
            best[name] = min(best[name], time.process_time() - before)
    return {name: round(len(encodings.ids) / seconds, 1) for name, seconds in best.items()}


def plain_int8(weights: dict[str, npt.NDArray[np.float32]], config: Config) -> OnnxScorer:
    """MiniLM-L6 in the simplest int8, for comparison: ONNX Runtime's dynamic quantisation of the plain graph."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(Builder(weights, 6, "last", None).build(), str(source))
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return scorer_of(onnx.load(str(target)), config)


def speed(shipped: OnnxScorer, exit_student: OnnxScorer, plain: OnnxScorer, texts: Sequence[str]) -> Block:
    """Messages per second on one core of three models, in one run on the same texts; tokenising is not counted."""
    encodings = shipped.encode(texts)
    lengths = np.array([len(ids) for ids in encodings.ids])
    return {
        "texts": len(texts),
        "tokens_mean": round(float(lengths.mean()), 1),
        "tokens_quantiles": {str(q): int(np.quantile(lengths, q / 100)) for q in (10, 50, 90, 99)},
        "messages_per_second_per_core": _cpu_rates(
            {"shipped": shipped, "exit_student": exit_student, "plain_minilm_l6_int8": plain}, encodings
        ),
    }


def _speed_texts(examples: Sequence[Example]) -> list[str]:
    dice = np.random.default_rng(2)
    share = SPEED_TEXTS // len(CHANNELS)
    chosen: list[str] = []
    for channel in CHANNELS:
        texts = [e.text for e in examples if e.channel == channel and e.source in JUDGED_SENTIMENT | TASK_TALK]
        chosen += [str(text) for text in dice.choice(texts, share)]
    return chosen


def write_drift(bundle: Path, scorer: OnnxScorer, applied: Applied, examples: Sequence[Example]) -> None:
    """Write reference distributions by channel, of held-out rows with judged sentiment and of plain task talk."""
    unknown = scorer.tokenizer.token_to_id("[UNK]") or 0
    ids = scorer.encode([example.text for example in examples]).ids
    windows = {}
    for channel in CHANNELS:
        rows = [i for i, e in enumerate(examples) if e.channel == channel and e.source in JUDGED_SENTIMENT | TASK_TALK]
        windows[channel] = Window(
            score=[float(applied.p[i, 2] - applied.p[i, 0]) for i in rows],
            length=[float(len(ids[i])) for i in rows],
            unknown=[ids[i].count(unknown) / len(ids[i]) for i in rows],
            flags={tag: int(applied.flagged[rows, place].sum()) for place, tag in enumerate(TAGS)},
        )
    save(bundle, windows)


def judge(
    scorer: OnnxScorer, rows: LabelledLogits, examples: Sequence[Example], costs: Mapping[str, Costs]
) -> tuple[Applied, Block]:
    """Calibrated outputs and results of one student on all held-out rows."""
    applied = cross_fitted(rows, examples, scorer.calibration.precision, costs)
    bare = np.array([lacks_evidence(e.text, scorer.calibration.min_letters) for e in examples], bool)
    applied = applied._replace(unsure=applied.unsure | bare)
    results = {
        "sentiment": sentiment_results(applied, examples),
        "tags": tag_results(applied, examples),
        "task_talk": task_talk(applied, examples),
    }
    return applied, results


def of_students(shipped: OnnxScorer, checkpoints: Sequence[Path], examples: Sequence[Example]) -> Block:
    """Results of the smaller student, labelled by the most probable, and the speed of all."""
    held_out = [example for example in examples if example.part == "dev"]
    weights = weights_of(checkpoints)
    student, _ = small_model(weights, 3, "exit", [e for e in examples if e.part == "train"])
    small = scorer_of(student, shipped.config, shipped.calibration)
    _, results = judge(small, logits_of(small, held_out), held_out, MOST_PROBABLE)
    return {
        "exit_student": results,
        "speed": speed(shipped, small, plain_int8(weights, shipped.config), _speed_texts(held_out)),
    }


def kept(bundle: Path, shipped: OnnxScorer) -> Block:
    """Return what `of_students` measured before, from the bundle's `evaluation.json`.

    Raises:
        BundleError: it was measured on other weights, or never.
    """
    path = bundle / "evaluation.json"
    before: Block = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    if before.get("model_version") != shipped.model_version:
        raise BundleError(f"{path}: has no figures of the students for {shipped.model_version}; name its --checkpoint")
    return {name: before[name] for name in ("exit_student", "speed")}


def report(data: Path, bundle: Path, checkpoints: Sequence[Path] | None) -> Block:
    """Measure the bundle and the smaller student; write `evaluation.json`, `drift.json` and the card's tables.

    Without checkpoints, the figures that need them are kept from the last report of the same weights.
    """
    shipped = OnnxScorer.load(bundle)
    students = None if checkpoints else kept(bundle, shipped)
    examples = read_all(data)
    held_out = [example for example in examples if example.part == "dev"]
    rows = logits_of(shipped, held_out)
    applied, results = judge(shipped, rows, held_out, shipped.calibration.costs)
    _, most_probable = judge(shipped, rows, held_out, MOST_PROBABLE)
    made: Block = {
        "model_version": shipped.model_version,
        "calibration_version": shipped.calibration_version,
        "precision_target": shipped.calibration.precision,
        **results,
        **(students or of_students(shipped, checkpoints or [], examples)),
        "most_probable": {**most_probable, "unseen": measure(shipped, most_probable=True)},
        "vader": vader(held_out),
        "unseen": measure(shipped),
        "agreement_with_float": verify(bundle).made["proof"],
        "bundle_bytes": sum((bundle / name).stat().st_size for name in verify(bundle).files),
    }
    write_drift(bundle, shipped, applied, held_out)
    content = msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1)
    (bundle / "evaluation.json").write_bytes(content + b"\n")
    write_manifest(bundle)
    update_card(bundle)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = os.environ.get("UNDERTONE_TRAINING_DATA")
    parser.add_argument("--data", type=Path, default=shared, help="folder of the sets")
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="folder of the bundle")
    parser.add_argument(
        "--bundle-only", action="store_true", help="keep the figures that need checkpoints: smaller student and speed"
    )
    add_checkpoints(parser)
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("say where the data is: --data FOLDER or UNDERTONE_TRAINING_DATA")
    try:
        made = report(Path(given.data), given.bundle, None if given.bundle_only else given.checkpoint)
    except BundleError as error:
        print(f"models.report: {error}", file=sys.stderr)
        return 2
    print(results(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
