"""Turn records into rows: for each table its columns, their ClickHouse types, and how a record becomes a tuple.

Only this module declares the columns, each with the path of the record's field that it comes from; a test compares
them with the migrated database. Instants are inserted as integer milliseconds, which is what DateTime64(3) stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from operators.clock import ms_of
from operators.records import TAGS, Escalation, Feedback, Origin, Progress, Rejected, Scored, SessionUpdate, Turn

Row = tuple[Any, ...]

STRING = "String"
NAME = "LowCardinality(String)"
NAMES = "Array(LowCardinality(String))"
STRINGS = "Array(String)"
TIME = "DateTime64(3, 'UTC')"
NUMBER = "Float32"
MAYBE = "Nullable(Float32)"
SMALL = "UInt8"
COUNT = "UInt32"
BIG = "UInt64"
FLAG = "Bool"

_TAKEN_BACK = 1 << 32
"""Version offset of a retraction: more than 2 x any revision."""
_TAG_SETS = tuple(tuple(tag for bit, tag in enumerate(TAGS) if flags >> bit & 1) for flags in range(1 << len(TAGS)))


class Columns(msgspec.Struct, frozen=True):
    """Columns of one type, copied from fields of the record or, with `under`, of that part of the record."""

    type: str
    names: tuple[str, ...]
    under: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that the columns come from; an instant `x_time` comes from the field `x_ms`."""
        return tuple(name[: -len("time")] + "ms" if self.type == TIME else name for name in self.names)


class Computed(msgspec.Struct, frozen=True):
    """Columns, given as (name, type), that one function computes from the record."""

    columns: tuple[tuple[str, str], ...]
    values: Callable[[Any], Row]


class Table(msgspec.Struct, frozen=True):
    """What the sink needs to insert records of one kind."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    to_row: Callable[[Any], Row]


def tags_of(flags: int) -> tuple[str, ...]:
    """Names of the tags whose bits are set.

    >>> tags_of(0b11)
    ('frustration', 'anger')
    """
    return _TAG_SETS[flags]


def place_of(origin: Origin) -> str:
    """Where a record is, in one word: the Kafka key of its dead letter, and of the mark that it was sent again.

    >>> place_of(Origin(topic="undertone.events", partition=3, offset=7, broker_ms=0))
    'undertone.events:3:7'
    """
    return f"{origin.topic}:{origin.partition}:{origin.offset}"


def dead_letter_id(rejected: Rejected) -> str:
    """Return the identity of a dead letter; a record that the same stage refuses twice gets the same identity.

    >>> from operators.records import Reason
    >>> dead_letter_id(
    ...     Rejected(stage="decode", reason=Reason.EMPTY, origin=Origin(topic="t", partition=0, offset=7, broker_ms=0))
    ... )
    't:0:7:decode'
    """
    return f"{place_of(rejected.origin)}:{rejected.stage}"


def scored_version(record: Scored) -> int:
    """Return the version of a message's row: a higher revision wins, and a retraction of any revision wins over all.

    Among equal versions ClickHouse keeps the row inserted last, so a replay with another model replaces the row.
    """
    utterance = record.utterance
    return 2 * utterance.revision + (_TAKEN_BACK if utterance.kind == "retracted" else 0)


def _of(type_: str, names: str, under: str = "") -> Columns:
    return Columns(type_, tuple(names.split()), under)


def _table(parts: Sequence[Columns], computed: Computed) -> Table:
    """Sort the columns by their part of the record, and make one attribute getter for each part."""
    unders = sorted({part.under for part in parts})
    ordered = [part for under in unders for part in parts if part.under == under]
    getters = [
        (
            attrgetter(under) if under else _itself,
            attrgetter(*(f for part in parts if part.under == under for f in part.fields)),
        )
        for under in unders
    ]
    names = [(name, part.type) for part in ordered for name in part.names]

    def to_row(record: Any) -> Row:
        row = computed.values(record)
        for part, fields in getters:
            row += fields(part(record))
        return row

    return Table(
        columns=tuple(name for name, _ in (*computed.columns, *names)),
        types=tuple(type_ for _, type_ in (*computed.columns, *names)),
        to_row=to_row,
    )


def _itself(record: Any) -> Any:
    return record


def _computed_of_scored(record: Scored) -> Row:
    gone = int(record.utterance.kind == "retracted")
    return (scored_version(record), gone, _TAG_SETS[record.flags], *record.tags)


_U = "utterance"
_O = "utterance.origin"
_SCORED = _table(
    [
        _of(NAME, "tenant region channel kind speaker agent_key queue language skipped", _U),
        _of(STRING, "event_id interaction_id text", _U),
        _of(COUNT, "revision silence_ms overtalk_ms", _U),
        _of(BIG, "customer_key", _U),
        _of("UInt16", "redactions", _U),
        _of(FLAG, "final", _U),
        _of(NUMBER, "asr_confidence", _U),
        _of(MAYBE, "rating", _U),
        _of(TIME, "event_time", _U),
        _of(NAME, "topic", _O),
        _of("Int32", "partition", _O),
        _of("Int64", "offset", _O),
        _of(TIME, "broker_time", _O),
        _of(NUMBER, "p_negative p_neutral p_positive score intensity confidence weight"),
        _of(NAME, "label model_version calibration_version"),
        _of(FLAG, "abstained"),
        _of(TIME, "scored_time"),
    ],
    Computed(
        (("version", BIG), ("deleted", SMALL), ("tags", NAMES), *((f"p_{tag}", NUMBER) for tag in TAGS)),
        _computed_of_scored,
    ),
)

_TURN = _table(
    [
        _of(NAME, "tenant channel queue agent_key speaker kind label trend parameters model_version"),
        _of(STRING, "event_id session_id interaction_id"),
        _of(BIG, "customer_key version under_ms response_ms silence_ms overtalk_ms"),
        _of(TIME, "event_time low_time"),
        _of(COUNT, "revision reversals streak change_points messages hops contacts_24h contacts_7d"),
        _of(NUMBER, "score weight level level_evidence customer_level customer_evidence carried volatility cusum low"),
        _of(MAYBE, "slope slope_low slope_high"),
        _of(FLAG, "late provisional"),
        _of(SMALL, "deleted"),
    ],
    Computed((("tags", NAMES),), lambda record: (_TAG_SETS[record.flags],)),
)

_SESSION = _table(
    [
        _of(NAME, "tenant state queue agent_key outcome trend parameters model_version"),
        _of(STRING, "session_id"),
        _of(BIG, "customer_key version under_ms response_ms silence_ms overtalk_ms"),
        _of(TIME, "started_time ended_time low_time"),
        _of(NAMES, "channels"),
        _of(STRINGS, "interactions"),
        _of(COUNT, "messages events negatives positives reversals change_points hops contacts_24h contacts_7d"),
        _of(COUNT, "escalations late_events contacts_before"),
        _of(NUMBER, "mean_score begin end shift carried final_level low volatility"),
        _of(MAYBE, "forecast rating"),
        _of(SMALL, "deleted"),
    ],
    Computed(tuple((f"n_{tag}", COUNT) for tag in TAGS), lambda record: record.tag_counts),
)

_ESCALATION = _table(
    [
        _of(NAME, "tenant transition state channel queue agent_key rule rule_version family route"),
        _of(STRING, "escalation_id session_id interaction_id reason"),
        _of(TIME, "raised_time event_time broker_time"),
        _of(BIG, "version"),
        _of(SMALL, "level"),
        _of(NUMBER, "score level_evidence customer_level carried", "evidence"),
        _of(MAYBE, "slope", "evidence"),
        _of(COUNT, "streak", "evidence"),
        _of(NAMES, "tags", "evidence"),
        _of(STRING, "excerpt", "evidence"),
        _of(STRINGS, "event_ids", "evidence"),
    ],
    Computed(
        (("customer_key", BIG), ("interaction_level", NUMBER)),
        lambda record: (int(record.customer_key, 16), record.evidence.level),
    ),
)

_DEAD_LETTER = _table(
    [
        _of(NAME, "topic", "origin"),
        _of("Int32", "partition", "origin"),
        _of("Int64", "offset", "origin"),
        _of(TIME, "broker_time", "origin"),
        _of(NAME, "stage field"),
    ],
    Computed((("reason", NAME),), lambda record: (record.reason.value,)),
)

_FEEDBACK = _table(
    [_of(NAME, "tenant action by"), _of(STRING, "escalation_id feedback_id")],
    Computed((("event_time", TIME),), lambda record: (ms_of(record.event_time),)),
)

_PROGRESS = _table(
    [
        _of(NAME, "topic"),
        _of("Int32", "partition"),
        _of("Int64", "position end_offset"),
        _of(TIME, "committed_time stream_time"),
    ],
    Computed((), lambda _record: ()),
)

TABLES: dict[str, Table] = {
    "scored_events": _SCORED,
    "trajectory": _TURN,
    "sessions": _SESSION,
    "escalations": _ESCALATION,
    "dead_letters": _DEAD_LETTER,
    "feedback": _FEEDBACK,
    "progress": _PROGRESS,
}
"""Tables that the job writes. ClickHouse fills the other tables from these."""

RECORD_OF: dict[str, type] = {
    "scored_events": Scored,
    "trajectory": Turn,
    "sessions": SessionUpdate,
    "escalations": Escalation,
    "dead_letters": Rejected,
    "feedback": Feedback,
    "progress": Progress,
}
