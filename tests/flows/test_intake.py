"""The first step shows how far customers' words have moved from what the model was calibrated on, and no one else's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flows.intake import REFUSED, Intake, Policy, ScorerError
from flows.parts import make_intake
from flows.settings import Settings
from models.bundle import DEFAULT, read_config
from models.drift import Monitor, Window, reference
from models.scorer import Encodings, FakeScorer, Scores
from operators import metrics
from operators.identity import Identity
from operators.parameters import DAY, HOUR
from operators.records import Origin, Raw, Rejected, Scored
from operators.rows import TABLES
from operators.score import to_message
from tests.operators.wire import NOW_MS, ORIGIN, payload

CALM = "where is my parcel"
POLICY = Policy(
    feedback_topic="",
    default_region="eu",
    reject_run_limit=100,
    languages=frozenset({"en"}),
    acoustic_allowed=lambda tenant, region: False,
)


@pytest.fixture
def intake() -> Iterator[Intake]:
    """A step whose reference is a hundred calm chats, told anew at every message."""
    scores = FakeScorer().score([CALM], ["chat"])
    calm = Window([float(scores.p[0, 2] - scores.p[0, 0])] * 100, [int(scores.tokens[0])] * 100, [0.0] * 100, {})
    monitor = Monitor({"chat": reference(calm)}, every=1)
    metrics.DRIFT.clear()
    yield Intake(POLICY, Identity("key", "eu"), FakeScorer(), lambda: NOW_MS, monitor)
    metrics.DRIFT.clear()


def at(offset: int) -> Origin:
    return msgspec.structs.replace(ORIGIN, offset=offset)


def raws(speaker: str, text: str, *, final: bool = True, count: int = 40) -> list[Raw]:
    return [
        Raw(payload=payload(event_id=f"e{i}", speaker=speaker, text=text, final=final), origin=at(i))
        for i in range(count)
    ]


def index(measure: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("undertone_drift_psi", {"channel": "chat", "measure": measure})


def test_calm_customers_have_not_moved_and_furious_ones_have(intake: Intake) -> None:
    intake(raws("customer", CALM))
    assert index("score") == 0.0
    intake(raws("customer", "this is ridiculous and awful, nobody ever answers again"))
    score = index("score")
    assert score is not None
    assert score > 0.25


def test_agents_and_provisional_words_do_not_count(intake: Intake) -> None:
    intake(raws("agent", "this is awful"))
    intake(raws("customer", "this is awful", final=False))
    assert index("score") is None


def test_what_the_model_scored_is_counted_and_nothing_else() -> None:
    """Without a reference to compare with, too; what it was unsure about was scored, what is skipped was not."""

    def counted() -> float:
        return metrics.REGISTRY.get_sample_value("undertone_messages_scored_total", {"channel": "email"}) or 0.0

    mails: list[dict[str, str]] = [
        {"text": CALM},
        {"text": "ok"},
        {"text": CALM, "speaker": "agent"},
        {"text": CALM, "speaker": "bot"},
        {"text": CALM, "language": "de"},
        {"text": "> quoted"},
    ]
    batch = [
        Raw(payload=payload(event_id=f"e{i}", channel="email", **mail), origin=at(i)) for i, mail in enumerate(mails)
    ]
    before = counted()
    read = Intake(POLICY, Identity("key", "eu"), Unsure(), lambda: NOW_MS)(batch)
    assert [isinstance(item, Scored) and item.abstained for item in read] == [True] * len(mails)
    assert counted() - before == 3


def test_the_live_job_compares_with_the_bundle_it_runs() -> None:
    """Every message the same is unlike any reference; the stub scorer, which no bundle describes, is not compared."""
    for settings, told in ((Settings(scorer="fake"), False), (Settings(scorer="onnx"), True)):
        metrics.DRIFT.clear()
        make_intake(settings, FakeScorer(), lambda: NOW_MS)(raws("customer", CALM, count=1000))
        assert (index("length") is not None and index("length") != 0.0) == told
    metrics.DRIFT.clear()


def test_the_bundle_says_which_languages_are_scored(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_version": "m", "languages": ["DE", "en"]}')
    step = make_intake(Settings(scorer="fake", model_dir=tmp_path), FakeScorer(), lambda: NOW_MS)
    languages = ("de_AT", "en", "fr", "")
    read = step([Raw(payload=payload(language=name), origin=at(i)) for i, name in enumerate(languages)])
    assert [isinstance(item, Scored) and not item.abstained for item in read] == [True, True, False, True]
    assert read_config(DEFAULT).languages == ("en",)


def test_what_was_begun_before_is_finished_in_the_order_in_which_it_is_emitted(intake: Intake) -> None:
    """The source reads its partitions one after the other, and the engine may cut their batches anywhere."""
    batch = [
        *raws("customer", "this is awful", count=5),
        Raw(payload=b"{", origin=at(5)),
        *raws("agent", CALM, count=9)[6:],
    ]
    alone = Intake(POLICY, Identity("key", "eu"), FakeScorer(), lambda: NOW_MS)(batch)
    for part in (batch[4:], batch[:2]):
        intake.begin(part)

    assert [*intake(batch[:1]), *intake(batch[1:5]), *intake(batch[5:])] == alone
    assert [type(item).__name__ for item in alone] == [*["Scored"] * 5, "Rejected", *["Scored"] * 3]


def columns(item: object) -> dict[str, object]:
    """A scored message as its row tells it."""
    table = TABLES["scored_events"]
    return dict(zip(table.columns, table.to_row(item), strict=True))


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "en"), ("en_US", "en-US"), ("EN_us", "en-US"), ("en-GB", "en-GB"), ("EN", "en"), ("", "")],
)
def test_a_language_is_known_however_it_is_spelled(intake: Intake, language: str, written: str) -> None:
    (read,) = intake([Raw(payload=payload(language=language, text="this is awful"), origin=ORIGIN)])
    row = columns(read)
    assert (row["language"], row["skipped"], row["abstained"], row["label"]) == (written, "", False, "negative")


@pytest.mark.parametrize(("language", "written"), [("de", "de"), ("de_AT", "de-AT"), ("ZH_hant_tw", "zh-Hant-TW")])
@pytest.mark.parametrize("speaker", ["customer", "agent"])
def test_a_message_in_a_language_that_nobody_reads_says_so_and_moves_no_mood(
    intake: Intake, speaker: str, language: str, written: str
) -> None:
    (read,) = intake([Raw(payload=payload(language=language, speaker=speaker), origin=ORIGIN)])
    row = columns(read)
    assert (row["language"], row["skipped"], row["abstained"], row["weight"]) == (written, "language", True, 0.0)
    assert row["text"] == "Nobody answers."
    assert isinstance(read, Scored)
    message = to_message(read, lambda _: 0)
    assert (message.weight, message.abstained, message.flags, message.excerpt) == (0.0, True, 0, "Nobody answers.")


@pytest.mark.parametrize(
    ("changes", "skipped"),
    [
        ({"kind": "opened", "text": None}, ""),
        ({"speaker": "bot"}, ""),
        ({"channel": "email", "text": "> quoted"}, "quoted_only"),
    ],
)
def test_what_is_not_scored_in_any_language_keeps_its_own_reason(
    intake: Intake, changes: dict[str, str | None], skipped: str
) -> None:
    (read,) = intake([Raw(payload=payload(language="de", **changes), origin=ORIGIN)])
    assert columns(read)["skipped"] == skipped


class Unsure(FakeScorer):
    """A model that is never sure."""

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        scores = super().score_encoded(encodings, channels)
        return replace(scores, abstained=np.ones_like(scores.abstained))


class Refusing(FakeScorer):
    """A model that cannot take some texts, or any."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self._refused = refused

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        if any(self._refused in text for text in encodings.texts):
            raise ValueError(encodings.texts)
        return super().score_encoded(encodings, channels)


def test_a_model_that_refuses_everything_stops_the_job_and_one_text_does_not() -> None:
    texts = [*["poison"] * 7, CALM, *["poison"] * 40]
    batch = [Raw(payload=payload(event_id=f"e{i}", text=text), origin=at(i)) for i, text in enumerate(texts)]
    outcomes = Intake(POLICY, Identity("key", "eu"), Refusing("poison"), lambda: NOW_MS)(batch)
    broken = Intake(POLICY, Identity("key", "eu"), Refusing(""), lambda: NOW_MS)

    assert [isinstance(outcome, Scored) for outcome in outcomes] == [text == CALM for text in texts]
    assert all(isinstance(outcome, Rejected) for outcome in broken(batch[:7]))
    with pytest.raises(ScorerError, match="the model refuses every text, 55 in a row: ValueError") as told:
        broken(batch)
    assert "poison" not in str(told.value)


def test_a_model_that_refuses_one_text_at_a_time_stops_the_job_too() -> None:
    """Bot messages and opened conversations between them never meet the model, so they do not show that it works."""
    intake = Intake(POLICY, Identity("key", "eu"), Refusing("poison"), lambda: NOW_MS)
    poison = Raw(payload=payload(text="poison"), origin=at(0))
    unscored = [
        Raw(payload=payload(speaker="bot"), origin=at(1)),
        Raw(payload=payload(kind="opened", text=None), origin=at(2)),
    ]
    for _ in range(REFUSED - 1):
        intake([poison, *unscored])
    intake(raws("customer", CALM, count=1))
    for _ in range(REFUSED - 1):
        intake([poison, *unscored])
    with pytest.raises(ScorerError, match=f"{REFUSED} in a row: ValueError"):
        intake([poison])


def verdict(broker_ms: int, now_ms: int) -> str:
    """What becomes of a message of 10:15:30 that Kafka got at `broker_ms`."""
    step = Intake(POLICY, Identity("key", "eu"), FakeScorer(), lambda: now_ms)
    (got,) = step([Raw(payload=payload(), origin=msgspec.structs.replace(ORIGIN, broker_ms=broker_ms))])
    return got.reason.value if isinstance(got, Rejected) else type(got).__name__


@pytest.mark.parametrize(("broker_ms", "said"), [(NOW_MS, "Scored"), (NOW_MS - HOUR, "time_in_future")])
def test_a_replay_refuses_the_times_that_the_job_refused(broker_ms: int, said: str) -> None:
    assert [verdict(broker_ms, broker_ms + later) for later in (0, HOUR, 9 * DAY)] == [said] * 3


@pytest.mark.parametrize("broker_ms", [-1, 0, NOW_MS + 9 * HOUR], ids=["none", "zero", "a clock that is wrong"])
def test_without_a_timestamp_to_trust_the_wall_clock_decides(broker_ms: int) -> None:
    assert [verdict(broker_ms, now_ms) for now_ms in (NOW_MS - HOUR, NOW_MS)] == ["time_in_future", "Scored"]
