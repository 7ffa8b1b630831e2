"""Calibration: turn logits into probabilities that match observed frequencies. Fit and apply, in numpy alone.

Sentiment has one temperature per channel. Each tag has one scale and offset (Platt scaling), and per channel a
threshold at which its flags reach a stated precision. The model abstains on the least certain tenth of a channel's
messages, and on messages without evidence (fewer than `min_letters` letters; an emoji counts as the words of its name).
A channel's fit is drawn towards the global fit: with n rows, its own share is n / (n + `SHRINK_ROWS`).

The label is the one that costs least on average, as a rule but not always the most probable: to take anger for praise
costs more than to miss either, so a message of which both are likely is called neutral (Elkan 2001, The foundations of
cost-sensitive learning). The costs are decided, not fitted.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.bundle import BundleError
from models.labels import CHANNELS, TAGS

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

GLOBAL = "global"
SHRINK_ROWS = 200.0
SHRINK_POSITIVES = 15.0
MIN_POSITIVES = 5
NEVER = 1.01
"""A threshold above every probability: the tag is never flagged. Used where no labels support another threshold."""


class TagFit(msgspec.Struct, frozen=True):
    """Platt scaling of one tag, and the thresholds of its flag by channel (`global` serves any other channel name)."""

    scale: float
    offset: float
    thresholds: dict[str, float]


class Costs(msgspec.Struct, frozen=True):
    """What a wrong label costs; to hear a feeling where there is none costs 1. With all at 1 the most probable wins.

    >>> Costs(missed_negative=2.0, wrong_sign=3.0).matrix().tolist()
    [[0.0, 2.0, 6.0], [1.0, 0.0, 1.0], [3.0, 1.0, 0.0]]
    """

    missed_negative: float = 1.0
    missed_positive: float = 1.0
    wrong_sign: float = 1.0
    """Factor on the cost of a miss when a feeling is taken for its opposite: a complaint called praise costs
    `missed_negative` x `wrong_sign`."""

    def matrix(self) -> Floats:
        """[3, 3] costs by true sentiment and label, both in the order negative, neutral, positive."""
        negative, positive = self.missed_negative, self.missed_positive
        return np.array(
            [[0, negative, negative * self.wrong_sign], [1, 0, 1], [positive * self.wrong_sign, positive, 0]], float
        )


COSTS = {
    GLOBAL: Costs(wrong_sign=3.0),
    "social": Costs(missed_negative=3.0, missed_positive=1.5, wrong_sign=3.0),
}
"""Costs of the bundles that we make. On social channels most posts are neutral and a complaint is the rare find."""


class Calibration(msgspec.Struct, frozen=True):
    """What `calibration.json` holds."""

    version: str
    temperature: dict[str, float]
    """By channel, and `global`; a temperature above 1 makes probabilities less extreme."""
    tags: dict[str, TagFit]
    abstain_below: dict[str, float]
    """Largest sentiment probability under which a message is 'unsure', by channel."""
    precision: float
    """Share of right flags for which the thresholds were chosen."""
    costs: dict[str, Costs] = {}
    """By channel, and `global` for the other channels; without either, each error costs 1."""
    min_letters: int = 2
    rows: dict[str, int] = {}
    """Labelled rows behind the fit, by channel."""


class LabelledLogits(NamedTuple):
    """Logits with their labels: what a fit needs. Sentiment -1 and tag weight 0 mean 'not annotated'."""

    sentiment_logits: Floats
    tag_logits: Floats
    channels: Sequence[str]
    sentiment: npt.NDArray[np.int64]
    tags: Floats
    tag_weights: Floats


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: Floats) -> Floats:
    """Logistic function, without overflow."""
    probabilities: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return probabilities


def fit_temperature(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Temperature in 0.25-6 with the least negative log-likelihood (golden-section search on its logarithm)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(normaliser - scaled[np.arange(len(labels)), labels]))

    low, high, ratio = float(np.log(0.25)), float(np.log(6.0)), (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def fit_platt(logits: Floats, targets: Floats, weights: Floats) -> tuple[float, float]:
    """Fit scale and offset of a logistic map by Newton steps, lightly regularised towards the identity (1 and 0)."""
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    answer = np.array([1.0, 0.0])
    pull = np.array([2.0, 0.5])
    for _ in range(30):
        fitted = sigmoid(design @ answer)
        gradient = design.T @ (weights * (fitted - targets)) + pull * (answer - np.array([1.0, 0.0]))
        curvature = (design * (weights * fitted * (1 - fitted))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        answer = answer - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-8:
            break
    return float(max(answer[0], 0.05)), float(answer[1])


def threshold_for_precision(probabilities: Floats, truths: Bools, precision: float) -> float:
    """Lowest threshold whose flags reach `precision`; `NEVER` if none does, or with under `MIN_POSITIVES` positives.

    >>> threshold_for_precision(np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.2]), np.array([1, 1, 1, 1, 1, 0], bool), 0.9)
    0.5
    """
    if truths.sum() < MIN_POSITIVES:
        return NEVER
    order = np.argsort(-probabilities, kind="stable")
    right = np.cumsum(truths[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(np.diff(probabilities[order]) != 0, True)
    good = np.flatnonzero((right >= precision) & last_of_equals)
    return float(probabilities[order][good[-1]]) if len(good) else NEVER


def _shrunk(own: float, base: float, count: float, strength: float) -> float:
    share = count / (count + strength)
    return share * own + (1 - share) * base


def _temperatures(rows: LabelledLogits, prior: Mapping[str, float] | None) -> dict[str, float]:
    known = rows.sentiment >= 0
    names = np.asarray(rows.channels)
    everywhere = fit_temperature(rows.sentiment_logits[known], rows.sentiment[known]) if known.any() else 1.0
    if prior:
        everywhere = _shrunk(everywhere, prior.get(GLOBAL, 1.0), float(known.sum()), SHRINK_ROWS)
    fitted = {GLOBAL: everywhere}
    for channel in CHANNELS:
        mine = known & (names == channel)
        base = prior.get(channel, everywhere) if prior else everywhere
        own = fit_temperature(rows.sentiment_logits[mine], rows.sentiment[mine]) if mine.any() else base
        fitted[channel] = _shrunk(own, base, float(mine.sum()), SHRINK_ROWS)
    return fitted


def _tag_fit(rows: LabelledLogits, index: int, precision: float, prior: TagFit | None) -> TagFit:
    weights = rows.tag_weights[:, index]
    known = weights > 0
    logits, targets = rows.tag_logits[known, index], rows.tags[known, index]
    truths = targets > 0.5
    positives = float(truths.sum())
    scale, offset = _scaling(logits, targets, weights[known], positives, prior)
    probabilities = sigmoid(scale * logits + offset)
    base = threshold_for_precision(probabilities, truths, precision)
    shipped = _moved(prior, scale, offset) if prior else {}
    if prior:
        base = _shrunk(base, shipped[GLOBAL], positives if base != NEVER else 0.0, SHRINK_POSITIVES)
    thresholds = {GLOBAL: round(base, 4)}
    names = np.asarray(rows.channels)[known]
    for channel in CHANNELS:
        mine = names == channel
        own = threshold_for_precision(probabilities[mine], truths[mine], precision)
        count = float(truths[mine].sum()) if own != NEVER else 0.0
        thresholds[channel] = round(_shrunk(own, shipped.get(channel, base), count, SHRINK_POSITIVES), 4)
    return TagFit(scale=scale, offset=offset, thresholds=thresholds)


def _scaling(
    logits: Floats, targets: Floats, weights: Floats, positives: float, prior: TagFit | None
) -> tuple[float, float]:
    """Platt scaling, drawn towards the prior; with too few positives the prior itself or, without one, the identity."""
    if positives < MIN_POSITIVES:
        return (prior.scale, prior.offset) if prior else (1.0, 0.0)
    scale, offset = fit_platt(logits, targets, weights)
    if not prior:
        return scale, offset
    return (
        _shrunk(scale, prior.scale, positives, SHRINK_POSITIVES),
        _shrunk(offset, prior.offset, positives, SHRINK_POSITIVES),
    )


def _moved(prior: TagFit, scale: float, offset: float) -> dict[str, float]:
    """The prior's thresholds moved to a new scaling, at the same logits: without new labels, flags do not change."""

    def same_place(threshold: float) -> float:
        if threshold >= 1.0:
            return threshold
        at_least = max(threshold, 1e-4)
        logit = (np.log(at_least / (1 - at_least)) - prior.offset) / prior.scale
        return float(sigmoid(scale * logit + offset))

    return {channel: same_place(threshold) for channel, threshold in prior.thresholds.items()}


def _abstentions(rows: LabelledLogits, temperature: Mapping[str, float], share: float) -> dict[str, float]:
    names = np.asarray(rows.channels)
    each = np.array([temperature.get(name, temperature[GLOBAL]) for name in rows.channels])
    confidence = softmax(rows.sentiment_logits / each[:, None]).max(axis=1)
    known = rows.sentiment >= 0
    base = float(np.quantile(confidence[known], share)) if known.any() else 0.45
    limits = {GLOBAL: round(base, 4)}
    for channel in CHANNELS:
        mine = confidence[known & (names == channel)]
        own = float(np.quantile(mine, share)) if len(mine) else base
        limits[channel] = round(_shrunk(own, base, float(len(mine)), SHRINK_ROWS), 4)
    return limits


def fit(
    rows: LabelledLogits,
    *,
    precision: float = 0.7,
    abstain_share: float = 0.1,
    costs: Mapping[str, Costs] = COSTS,
    prior: Calibration | None = None,
) -> Calibration:
    """Fit all parts; with a `prior`, shrink towards it, because an organisation has few labels of its own at first.

    The costs of a prior are kept.
    """
    temperature = _temperatures(rows, prior.temperature if prior else None)
    tags = {
        tag: _tag_fit(rows, index, precision, prior.tags.get(tag) if prior else None) for index, tag in enumerate(TAGS)
    }
    names = np.asarray(rows.channels)
    limits = _abstentions(rows, temperature, abstain_share)
    if prior:
        judged = names[rows.sentiment >= 0]
        counts = {name: float((judged == name).sum()) for name in limits} | {GLOBAL: float(len(judged))}
        limits = {
            name: round(_shrunk(limit, prior.abstain_below[name], counts[name], SHRINK_ROWS), 4)
            for name, limit in limits.items()
        }
    made = Calibration(
        version="",
        temperature={name: round(value, 4) for name, value in temperature.items()},
        tags=tags,
        abstain_below=limits,
        precision=precision,
        costs=prior.costs if prior else dict(costs),
        min_letters=prior.min_letters if prior else 2,
        rows={channel: int((names == channel).sum()) for channel in CHANNELS},
    )
    return stamped(made)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        BundleError: the file is not valid, lacks a channel or tag, or has a temperature or scale that is not above 0;
            the message names the file.
    """
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path}: {error}") from error
    for wrong in _wrong(calibration):
        raise BundleError(f"{path}: {wrong}")
    return calibration


def _wrong(calibration: Calibration) -> Iterator[str]:
    """Yield the reasons why a calibration cannot be applied to every channel and tag."""
    fits = {tag: calibration.tags[tag] for tag in TAGS if tag in calibration.tags}
    listed: list[tuple[str, Collection[str], Sequence[str]]] = [
        ("tags lack", calibration.tags, TAGS),
        ("temperature lacks", calibration.temperature, (GLOBAL, *CHANNELS)),
        ("abstain_below lacks", calibration.abstain_below, (GLOBAL, *CHANNELS)),
        *((f"thresholds of {tag} lack", one.thresholds, (GLOBAL, *CHANNELS)) for tag, one in fits.items()),
    ]
    yield from (f"{what} {name}" for what, there, names in listed for name in names if name not in there)
    everywhere = (GLOBAL, *CHANNELS)
    yield from (
        f"costs name {where}; known are {', '.join(everywhere)}" for where in calibration.costs.keys() - everywhere
    )
    # Temperature and scale (in `_moved`) are divisors: 0 fails, and a negative value reverses the order of the labels.
    positive = {f"temperature of {name}": value for name, value in calibration.temperature.items()}
    positive |= {f"scale of {tag}": one.scale for tag, one in fits.items()}
    for where, costs in calibration.costs.items():
        positive |= {f"{name} of {where}": value for name, value in msgspec.structs.asdict(costs).items()}
    yield from (f"{what} is {value}; it must be above 0" for what, value in positive.items() if not value > 0)


def stamped(calibration: Calibration) -> Calibration:
    """A copy of the calibration whose version is a hash of its content: equal fits have equal versions."""
    content = msgspec.json.encode(msgspec.structs.replace(calibration, version=""), order="sorted")
    return msgspec.structs.replace(calibration, version=f"cal-{hashlib.sha256(content).hexdigest()[:10]}")


def identity() -> Calibration:
    """A calibration that changes nothing: temperature 1, thresholds one half. For models that have none."""
    everywhere = (GLOBAL, *CHANNELS)
    half = TagFit(scale=1.0, offset=0.0, thresholds=dict.fromkeys(everywhere, 0.5))
    return stamped(
        Calibration(
            version="",
            temperature=dict.fromkeys(everywhere, 1.0),
            tags=dict.fromkeys(TAGS, half),
            abstain_below=dict.fromkeys(everywhere, 0.45),
            precision=0.5,
        )
    )


class Applied(NamedTuple):
    """Calibrated probabilities, labels, flags, and whether the model is unsure; one row per message."""

    p: npt.NDArray[np.float32]
    labels: npt.NDArray[np.intp]
    tags: npt.NDArray[np.float32]
    flagged: Bools
    unsure: Bools


class Calibrator:
    """A calibration laid out as arrays, so that applying it costs a few vector operations per batch."""

    def __init__(self, calibration: Calibration, tags: Sequence[str] = TAGS) -> None:
        names = (GLOBAL, *CHANNELS)
        self.rows = {name: row for row, name in enumerate(names)}
        self.temperature = np.array([calibration.temperature[name] for name in names], np.float32)
        self.limits = np.array([calibration.abstain_below[name] for name in names], np.float32)
        fits = [calibration.tags[tag] for tag in tags]
        self.scale = np.array([one.scale for one in fits], np.float32)
        self.offset = np.array([one.offset for one in fits], np.float32)
        self.thresholds = np.array([[one.thresholds[name] for one in fits] for name in names], np.float32)
        usual = calibration.costs.get(GLOBAL, Costs())
        self.costs = np.stack([calibration.costs.get(name, usual).matrix() for name in names])

    def apply(self, sentiment_logits: Floats, tag_logits: Floats, channels: Sequence[str]) -> Applied:
        """Calibrate a batch; probabilities are rounded to 1e-4 before they are compared with thresholds."""
        where = np.array([self.rows.get(channel, 0) for channel in channels], np.intp)
        p = np.round(softmax(sentiment_logits / self.temperature[where, None]), 4).astype(np.float32)
        tags = np.round(sigmoid(tag_logits * self.scale + self.offset), 4).astype(np.float32)
        unsure = p.max(axis=1, initial=0.0) < self.limits[where]
        return Applied(p, self._labels(p, where), tags, tags >= self.thresholds[where], unsure)

    def _labels(self, p: npt.NDArray[np.float32], where: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """[n] label of least expected cost; rounded, so that a tie does not depend on what else is in the batch."""
        expected = (p[:, :, None].astype(np.float64) * self.costs[where]).sum(axis=1)
        labels: npt.NDArray[np.intp] = expected.round(6).argmin(axis=1)
        return labels


def expected_error(probabilities: Floats, truths: npt.NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error of the most probable class, over bins with equal numbers of rows (0 is perfect).

    >>> expected_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    0.0
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truths
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(float(confidence[part].mean() - right[part].mean())) * len(part) for part in parts]
    return sum(gaps) / max(len(order), 1)
