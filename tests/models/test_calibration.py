"""Calibration: recovers what was put in, shrinks with few rows, stays monotone, and knows when it knows nothing."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import (
    GLOBAL,
    MIN_POSITIVES,
    NEVER,
    Calibration,
    Calibrator,
    Costs,
    LabelledLogits,
    expected_error,
    fit,
    fit_platt,
    fit_temperature,
    identity,
    sigmoid,
    softmax,
    threshold_for_precision,
)
from models.labels import CHANNELS, SENTIMENTS, TAGS


def drawn(rows: int, temperature: float = 2.0, channel: str = "chat", seed: int = 0) -> LabelledLogits:
    """Logits that are `temperature` times too sure, with labels drawn from the true probabilities."""
    dice = np.random.default_rng(seed)
    true = dice.normal(0, 2, (rows, 3))
    labels = np.array([dice.choice(3, p=p) for p in softmax(true)], np.int64)
    tag_true = dice.normal(-1, 2, (rows, len(TAGS)))
    tags = (dice.random((rows, len(TAGS))) < sigmoid(tag_true)).astype(float)
    weights = np.ones((rows, len(TAGS)))
    return LabelledLogits(true * temperature, tag_true * 0.5 + 1, [channel] * rows, labels, tags, weights)


def test_temperature_is_recovered() -> None:
    rows = drawn(4000)
    assert fit_temperature(rows.sentiment_logits, rows.sentiment) == pytest.approx(2.0, rel=0.08)


def test_platt_is_recovered() -> None:
    rows = drawn(4000)
    scale, offset = fit_platt(rows.tag_logits[:, 0], rows.tags[:, 0], rows.tag_weights[:, 0])
    assert scale == pytest.approx(2.0, rel=0.12)
    assert offset == pytest.approx(-2.0, abs=0.3)


def test_calibrating_lowers_the_error() -> None:
    rows, fresh = drawn(3000), drawn(3000, seed=1)
    raw = expected_error(softmax(fresh.sentiment_logits), fresh.sentiment)
    applied = Calibrator(fit(rows)).apply(fresh.sentiment_logits, fresh.tag_logits, fresh.channels)
    assert expected_error(applied.p, fresh.sentiment) < 0.03 < raw


def test_flags_reach_the_stated_precision_on_fresh_rows() -> None:
    applied = Calibrator(fit(drawn(4000), precision=0.8)).apply(*drawn(4000, seed=1)[:3])
    truths = drawn(4000, seed=1).tags > 0.5
    assert truths[applied.flagged].mean() > 0.76


def test_about_a_tenth_is_abstained_from() -> None:
    rows = drawn(4000)
    applied = Calibrator(fit(rows)).apply(*rows[:3])
    assert applied.unsure.mean() == pytest.approx(0.1, abs=0.02)


def test_a_channel_without_rows_gets_the_global_fit() -> None:
    fitted = fit(drawn(2000))
    assert fitted.temperature["survey"] == fitted.temperature["global"]


def test_few_rows_move_a_prior_less_than_many() -> None:
    prior = fit(drawn(3000, temperature=1.0))
    few = fit(drawn(60, temperature=3.0, seed=2), prior=prior).temperature["chat"]
    many = fit(drawn(3000, temperature=3.0, seed=2), prior=prior).temperature["chat"]
    assert prior.temperature["chat"] < few < many
    assert few - prior.temperature["chat"] < 0.5 * (many - prior.temperature["chat"])


def test_few_positives_move_a_tags_threshold_less_than_many() -> None:
    prior = fit(drawn(3000), precision=0.5)
    shipped, few, many = (
        made.tags["anger"].thresholds["global"]
        for made in (
            prior,
            fit(drawn(20, seed=2), precision=0.9, prior=prior),
            fit(drawn(3000), precision=0.9, prior=prior),
        )
    )
    assert shipped < few < many
    assert few - shipped < 0.6 * (many - shipped)


def test_a_tag_with_too_few_positives_keeps_the_prior() -> None:
    prior = fit(drawn(3000))
    tags = np.zeros((60, len(TAGS)))
    tags[: MIN_POSITIVES - 1] = 1.0
    assert fit(drawn(60)._replace(tags=tags), prior=prior).tags == prior.tags


def test_labels_of_one_channel_leave_the_flags_of_others_alone() -> None:
    prior = fit(drawn(3000))
    many_positives = drawn(600, seed=3)._replace(tags=np.ones((600, len(TAGS))))
    fitted = fit(many_positives, prior=prior)
    assert fitted.tags["anger"].offset > prior.tags["anger"].offset + 0.5
    fresh = drawn(500, channel="survey", seed=4)
    before, after = (Calibrator(one).apply(*fresh[:3]).flagged for one in (prior, fitted))
    assert (before == after).mean() > 0.99


def test_equal_fits_have_equal_versions_and_others_differ() -> None:
    assert fit(drawn(300)).version == fit(drawn(300)).version != fit(drawn(301)).version


def test_no_positives_means_no_flags() -> None:
    rows = drawn(500)._replace(tags=np.zeros((500, len(TAGS))))
    fitted = fit(rows)
    assert fitted.tags["anger"].thresholds["global"] == NEVER
    assert not Calibrator(fitted).apply(*rows[:3]).flagged.any()


def test_identity_leaves_probabilities_alone() -> None:
    logits = np.array([[0.0, 1.0, 2.0]])
    applied = Calibrator(identity()).apply(logits, np.zeros((1, len(TAGS))), ["chat"])
    assert np.allclose(applied.p, softmax(logits), atol=1e-4)
    assert np.allclose(applied.tags, 0.5)


def with_costs(**costs: Costs) -> Calibrator:
    return Calibrator(msgspec.structs.replace(identity(), costs=costs))


def labels_of(calibrator: Calibrator, p: list[float], channel: str = "chat") -> str:
    (label,) = calibrator.apply(np.log([p]), np.zeros((1, len(TAGS))), [channel]).labels
    return SENTIMENTS[label]


TORN = [0.5, 0.05, 0.45]


def test_a_message_torn_between_two_feelings_is_neutral_where_a_wrong_sign_costs_more() -> None:
    assert labels_of(with_costs(), TORN) == "negative"
    assert labels_of(with_costs(**{GLOBAL: Costs(wrong_sign=3.0)}), TORN) == "neutral"
    assert labels_of(with_costs(**{GLOBAL: Costs(wrong_sign=3.0)}), [0.6, 0.3, 0.1]) == "negative"


def test_a_channel_has_costs_of_its_own() -> None:
    calibrator = with_costs(**{GLOBAL: Costs(), "social": Costs(missed_negative=3.0)})
    assert labels_of(calibrator, [0.3, 0.6, 0.1], "social") == "negative"
    assert labels_of(calibrator, [0.3, 0.6, 0.1], "chat") == labels_of(calibrator, [0.3, 0.6, 0.1], "fax") == "neutral"


COST = st.floats(0.25, 8.0)


@given(st.lists(st.tuples(*[st.floats(-6, 6)] * 3), min_size=1, max_size=30), COST, COST, COST)
def test_a_label_costs_no_more_than_any_other(
    rows: list[tuple[float, float, float]], negative: float, positive: float, wrong: float
) -> None:
    costs = Costs(missed_negative=negative, missed_positive=positive, wrong_sign=wrong)
    calibrator = with_costs(**{GLOBAL: costs})
    applied = calibrator.apply(np.array(rows), np.zeros((len(rows), len(TAGS))), ["chat"] * len(rows))
    for p, label in zip(applied.p.tolist(), applied.labels.tolist(), strict=True):
        expected = [
            p[1] + p[2] * positive * wrong,
            p[0] * negative + p[2] * positive,
            p[1] + p[0] * negative * wrong,
        ]
        assert expected[label] <= min(expected) + 2e-6


@given(st.lists(st.tuples(*[st.floats(-6, 6)] * 3), min_size=1, max_size=30))
def test_without_costs_the_most_probable_label_is_taken(rows: list[tuple[float, float, float]]) -> None:
    applied = with_costs().apply(np.array(rows), np.zeros((len(rows), len(TAGS))), ["chat"] * len(rows))
    assert applied.labels.tolist() == applied.p.argmax(axis=1).tolist()


def test_a_refit_keeps_the_costs() -> None:
    prior = fit(drawn(300), costs={GLOBAL: Costs(wrong_sign=5.0)})
    assert fit(drawn(300, seed=2), prior=prior).costs == {GLOBAL: Costs(wrong_sign=5.0)}


def test_other_costs_are_another_version() -> None:
    assert fit(drawn(300)).version != fit(drawn(300), costs={}).version


FITTED: Calibration = fit(drawn(200))


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=20), st.sampled_from([*CHANNELS, "unknown"]))
def test_tags_keep_their_order(logits: list[float], channel: str) -> None:
    ordered = np.sort(np.array(logits))
    tags = np.repeat(ordered[:, None], len(TAGS), axis=1)
    applied = Calibrator(FITTED).apply(np.zeros((len(logits), 3)), tags, [channel] * len(logits))
    assert (np.diff(applied.tags, axis=0) >= 0).all()
    assert ((applied.tags >= 0) & (applied.tags <= 1)).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.floats(0.3, 0.95))
def test_a_threshold_keeps_its_promise_on_its_own_rows(pairs: list[tuple[float, bool]], precision: float) -> None:
    scores, truths = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    threshold = threshold_for_precision(scores, truths, precision)
    flagged = scores >= threshold
    assert threshold == NEVER or truths[flagged].mean() >= precision
