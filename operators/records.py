"""Every record of the pipeline, in the order in which a message passes through them.

    Event -> Utterance -> Scored -> Message -> Turn | SessionUpdate | Escalation
       `------------- Rejected (from any stage) -------------> dead letters

All records are frozen: a stage never changes a record, it makes the next one. `Event` is the wire contract
`undertone.event/1` and holds an aware `datetime`; every later record holds integer milliseconds since the Unix epoch
(`*_ms`), because keyed state and sort keys hold numbers. Scores are quantised to 1e-4 before they enter a record, so
that a replay with other batches gives equal records.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Literal, NewType, get_args

import msgspec
from msgspec import Meta

SCHEMA = "undertone.event/1"

RedactedText = NewType("RedactedText", str)
"""Text without personal data. Only `operators.redact` makes it; rows and alerts accept nothing else."""

Channel = Literal["voice", "chat", "email", "social", "survey"]
Kind = Literal["utterance", "opened", "closed", "hold", "resume", "transfer", "rating", "retracted"]
Speaker = Literal["customer", "agent", "bot", "system"]
Polarity = Literal["negative", "neutral", "positive"]
Trend = Literal["improving", "slightly_improving", "no_change", "slightly_declining", "declining", "not_calculated"]
Route = Literal["agent", "supervisor"]
Transition = Literal["raised", "level_up", "reminded", "acked", "cleared", "retracted", "suppressed"]

CHANNELS: tuple[Channel, ...] = get_args(Channel)
KINDS: tuple[Kind, ...] = get_args(Kind)
TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(max_length=200)]
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]
Millis = Annotated[int, Meta(ge=0, le=7 * 24 * 3600 * 1000)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, with fields given by name only.

    `Utterance`, `Message`, `Turn` and `SessionUpdate` also take fields by position: they are made for every event, and
    a call with more than 15 keywords takes several times as long.
    """


class Origin(Record, frozen=True, kw_only=True):
    """Where a record was read; enough to find it again in Kafka."""

    topic: str
    partition: int
    offset: int
    broker_ms: int
    """Kafka's timestamp of the record, from which latency is measured; 0 when it has none."""


class Raw(Record, frozen=True, kw_only=True):
    """A Kafka record as it was read. The payload of a tombstone is `None`; it is rejected as empty."""

    payload: bytes | None
    origin: Origin


class Ref(Record, frozen=True, kw_only=True):
    """One way to recognise a customer, for example `{"type": "email", "value": ...}`."""

    type: Annotated[str, Meta(min_length=1, max_length=40)]
    """Kind of reference: `email`, `phone`, or a name that you choose."""
    value: Id
    """The reference itself; mail addresses are compared in lower case, phone numbers in E.164."""


class Customer(Record, frozen=True, kw_only=True):
    """Who the customer is, as the source knows it. The stage after `decode` replaces these values with a pseudonym."""

    id: Id | None = None
    """The customer's id, the same on every channel; where it is given, it alone identifies the customer."""
    refs: Annotated[list[Ref], Meta(max_length=16)] = []
    """Other ways to recognise the customer; without `id`, the first of them identifies the customer."""


class Acoustic(Record, frozen=True, kw_only=True):
    """Timing of speech, where the source measures it. Used for customers only; off by default."""

    silence_ms: Millis = 0
    """Silence that the source measured, in milliseconds."""
    overtalk_ms: Millis = 0
    """Time during which both sides spoke, in milliseconds."""


class Rating(Record, frozen=True, kw_only=True):
    """A survey answer and its scale."""

    scale: Literal["csat5", "nps", "ces7"]
    """Scale of the question: `csat5` is satisfaction from 1 to 5, `nps` from 0 to 10, `ces7` ease from 1 to 7."""
    value: Annotated[int, Meta(ge=0, le=10)]
    """The answer, within its scale."""


class Event(Record, frozen=True, kw_only=True):
    """One thing that happened in a conversation (contract `undertone.event/1`).

    `(tenant, event_id, revision)` identifies an event: one that is sent twice counts once, unless 48 later events of
    its customer have settled in between. A higher `revision` of the same `event_id` replaces the lower one (a final
    transcript replaces its partial, an edit replaces its original).
    Unknown fields are ignored, so that producers may be newer than the job.
    """

    schema: Literal["undertone.event/1"]
    """Name and version of this contract."""
    event_id: Id
    """The source's id of the event, unique within its tenant."""
    revision: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """0 for the first version of the event; a final transcript, an edit or a retraction has a higher number."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    """Organisation that the customer belongs to."""
    region: Annotated[str, Meta(max_length=16)] = ""
    """Where the source is, such as `US` or `US-CA`; decides how phone numbers without a country prefix are read."""
    channel: Channel
    """Channel of the interaction."""
    kind: Kind = "utterance"
    """What happened: `utterance` is words, `rating` is a survey answer; `retracted` withdraws the event of this id."""
    interaction_id: Id
    """Call, chat, mail thread or post that the event is part of."""
    customer: Customer = Customer()
    """Customer of the interaction; when it is left out, the interaction alone identifies the customer."""
    speaker: Speaker = "customer"
    """Who said or wrote the words; only the customer's words change the mood."""
    agent_id: Name = ""
    """The source's id of the agent who handles the interaction; empty when none is known."""
    queue: Name = ""
    """Queue or team that handles the interaction."""
    language: Annotated[str, Meta(max_length=35)] = ""
    """Language tag of the text, such as `en-GB`; when empty, the job assumes a language that the model reads."""
    text: str = ""
    """The words as received, at most 20,000 characters; required for an `utterance`."""
    final: bool = True
    """False for a partial transcript; its final version follows under the same id."""
    asr_confidence: Ratio | None = None
    """Confidence of speech recognition; used for `voice` only, where null means 1."""
    event_time: Annotated[datetime, Meta(tz=True)]
    """When it was said or written, with its offset from UTC; the same for every revision of the event."""
    offset_ms: Millis | None = None
    """Time from the start of the interaction to the event; accepted, but not used yet."""
    duration_ms: Millis | None = None
    """How long the words took to say; accepted, but not used yet."""
    acoustic: Acoustic | None = None
    """Timing of speech; used only where the tenant allows it."""
    rating: Rating | None = None
    """A survey answer; required for kind `rating`."""
    attributes: Annotated[dict[Annotated[str, Meta(max_length=64)], Name], Meta(max_length=32)] = {}
    """Other facts from the source, by name; the job reads only the headers of mails (`subject` and the like)."""


class Reason(str, Enum):
    """Why a record was not accepted. Dead letters, metrics and examples use the value as their name."""

    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_SCHEMA = "wrong_schema"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    TIME_TOO_OLD = "time_too_old"
    TIME_IN_FUTURE = "time_in_future"
    TEXT_TOO_LONG = "text_too_long"
    CONTROL_CHARACTERS = "control_characters"
    EMPTY_TEXT = "empty_text"
    MISSING_RATING = "missing_rating"
    NOT_SCORABLE = "not_scorable"
    NOT_FOLDABLE = "not_foldable"


class Rejected(Record, frozen=True, kw_only=True):
    """A record that was not accepted: which stage refused it, why, and where it is in Kafka.

    It never holds the payload, because the source topic still holds it and text must not leak through errors.
    """

    stage: Literal["decode", "channel", "redact", "score", "customer"]
    reason: Reason
    origin: Origin
    field: str = ""
    """Path of the invalid field (a name from our schema, never a value); empty when no field caused the rejection."""


class Utterance(Record, frozen=True):
    """An event whose text is ready to score: cleaned for its channel, redacted, with pseudonyms instead of ids.

    Events without text (opened, hold, transfer, rating ...) become utterances too, with `text = ""`.
    """

    tenant: str
    event_id: str
    revision: int
    region: str
    channel: Channel
    kind: Kind
    interaction_id: str
    customer_key: int
    """Unsigned 64-bit keyed hash of tenant and customer; never reversible without the key."""
    speaker: Speaker
    agent_key: str
    """Keyed hash of the agent's id, 16 hex digits; empty when no agent is known."""
    queue: str
    language: str
    text: RedactedText
    redactions: int
    """Number of placeholders that redaction inserted."""
    final: bool
    asr_confidence: float
    """1.0 for typed text."""
    event_ms: int
    silence_ms: int
    overtalk_ms: int
    rating: float | None
    """Survey rating mapped to [-1, 1]; None when there is none."""
    skipped: str
    """Why the text is not scored ("auto_reply", "quoted_only", "empty", "language"); empty when it is scored."""
    origin: Origin


class Scored(Record, frozen=True, kw_only=True):
    """An utterance with the model's result. Probabilities are in [0, 1], quantised to 1e-4."""

    utterance: Utterance
    p_negative: float
    p_neutral: float
    p_positive: float
    score: float
    """Polarity p_positive - p_negative, in [-1, 1]."""
    intensity: float
    """1 - p_neutral; distinguishes mixed from neutral text when the score is near 0."""
    confidence: float
    """max(p) x ASR confidence, in [0, 1]."""
    label: Polarity
    abstained: bool
    """True when the model is too unsure for the message to change the mood; its weight is then 0."""
    weight: float
    """Weight of the message in the rolling score, in [0, 1]: confidence x min(1, tokens / 5); 0 if abstained."""
    tags: tuple[float, ...]
    """Probability per tag in the order of `TAGS`."""
    flags: int
    """Bit i is set when the probability of tag i reached its threshold for the channel."""
    model_version: str
    calibration_version: str
    scored_ms: int
    """Wall-clock time of scoring; used for latency only, never for results."""


class Message(Record, frozen=True, gc=False):
    """The part of a scored utterance that the keyed step receives: only numbers, names, ids and a short excerpt."""

    tenant: str
    customer_key: int
    event_id: str
    revision: int
    event_ms: int
    channel: Channel
    kind: Kind
    interaction_id: str
    speaker: Speaker
    agent_key: str
    queue: str
    language: str
    final: bool
    score: float
    weight: float
    label: Polarity
    abstained: bool
    flags: int
    tags: tuple[float, ...]
    keywords: int
    """Bit i is set when the text holds a phrase of the rules' keyword list i (in the order of the file)."""
    silence_ms: int
    overtalk_ms: int
    rating: float | None
    excerpt: RedactedText
    """First 160 characters of the redacted text, for the alert that this message may raise; not kept in state."""
    broker_ms: int
    model_version: str
    topic: str
    partition: int
    offset: int
    """Where the record is: flat, as a nested record takes twice as long on its way to another process."""

    @property
    def origin(self) -> Origin:
        """Where the record was read."""
        return Origin(topic=self.topic, partition=self.partition, offset=self.offset, broker_ms=self.broker_ms)


class Tick(Record, frozen=True, kw_only=True):
    """Tells a key that stream time has reached `stream_ms`: the slowest partition has been read that far."""

    stream_ms: int


class Progress(Record, frozen=True, kw_only=True):
    """How far the job has read one Kafka partition, as of a committed epoch (table `progress`)."""

    topic: str
    partition: int
    committed_ms: int
    """Wall-clock time at which the source learned that the epoch was committed."""
    position: int
    """Offset of the next record that the job will read."""
    end_offset: int
    """Offset that the partition's next record will get, as of the last fetch."""
    stream_ms: int
    """See `StreamTime`."""


class StreamTime(Record, frozen=True, kw_only=True):
    """How far one Kafka partition has been read, in event time; sent after the records that it was computed from."""

    partition_key: str
    """`"<partition>-<topic>"`, the name of the source partition."""
    partitions: int
    """Number of partitions that the job reads in all; stream time does not start before each has reported."""
    stream_ms: int
    """Greatest event time read so far (sampled: not every record is examined); once caught up, the time at which the
    broker last reported the end of the partition."""
    caught_up: bool
    routes: int = 1
    """Number of keys to which copies go, so that each worker gets one; see `operators.ticks.routes`."""
    progress: Progress | None = None
    """Progress of an epoch that was committed since the previous `StreamTime`; None when none was."""
    epoch: int = 0
    """Number of epochs that the partition has ended since its process started."""
    ended_ms: int = 0
    """Wall-clock time at which the partition ended its last epoch."""


class StreamTimes(Record, frozen=True, kw_only=True):
    """What one poll of all partitions of a process told of time, on its way to every worker: one item, however many."""

    times: tuple[StreamTime, ...]

    def routed(self) -> list[tuple[str, StreamTimes]]:
        """Return copies for the keyed step, under keys that no customer has and that sort after all customer keys.

        >>> time = StreamTime(partition_key="0-events", partitions=1, stream_ms=0, caught_up=True, routes=2)
        >>> [key for key, _ in StreamTimes(times=(time,)).routed()]
        ['~0', '~1']
        """
        return [(f"~{route}", self) for route in range(max(time.routes for time in self.times))]


class Turn(Record, frozen=True, gc=False):
    """The rolling values of one customer after one message, in event order (table `trajectory`)."""

    tenant: str
    customer_key: int
    event_ms: int
    event_id: str
    revision: int
    version: int
    """Grows with what is known of this and earlier messages; the row with the highest version is the valid one."""
    deleted: bool
    """True when the row is withdrawn, after a retraction."""
    session_id: str
    interaction_id: str
    channel: Channel
    queue: str
    agent_key: str
    speaker: Speaker
    kind: Kind
    score: float
    weight: float
    label: Polarity
    flags: int
    level: float
    """Rolling score of this interaction, in (-1, 1)."""
    level_evidence: float
    customer_level: float
    """Rolling score of the customer over all channels and earlier sessions, in (-1, 1)."""
    customer_evidence: float
    carried: float
    """Customer level at the start of the session, before its first message."""
    slope: float | None
    """Trend of the score per minute over the channel's trailing window; None with fewer than 4 points."""
    slope_low: float | None
    slope_high: float | None
    """Ends of the 90 % interval of the slope."""
    trend: Trend
    volatility: float
    """Mean absolute successive difference of scores in the session, in [0, 2]."""
    reversals: int
    streak: int
    """Number of successive negative customer messages; messages on which the model abstained do not break the run."""
    cusum: float
    change_points: int
    low: float
    low_ms: int
    under_ms: int
    """Time in this session with the customer level below -0.2."""
    messages: int
    """Customer messages of the session so far."""
    hops: int
    """Changes of channel in the session."""
    contacts_24h: int
    contacts_7d: int
    """Interactions begun in the last 24 hours / 7 days, this one included."""
    response_ms: int
    """Longest time until an agent or a bot answered the customer, in this session so far."""
    silence_ms: int
    overtalk_ms: int
    late: bool
    provisional: bool
    parameters: str
    """Version of the formulas' parameters."""
    model_version: str


class SessionUpdate(Record, frozen=True, gc=False):
    """One customer's session across channels, as known now; a higher version replaces it (table `sessions`)."""

    tenant: str
    customer_key: int
    session_id: str
    started_ms: int
    ended_ms: int
    """Event time of the last event of the session."""
    version: int
    deleted: bool
    """True when the session is withdrawn, because a late event joined it with an earlier session."""
    state: Literal["open", "closed"]
    channels: tuple[str, ...]
    """Channel path in event order, at most 8; neighbours differ."""
    interactions: tuple[str, ...]
    """Interaction ids in order of first appearance, at most 8."""
    queue: str
    agent_key: str
    messages: int
    events: int
    negatives: int
    positives: int
    mean_score: float
    begin: float
    """Weighted mean of the first quarter of the customer's messages."""
    end: float
    """Weighted mean of the last quarter."""
    shift: float
    outcome: Literal["recovered", "soured", "steady", "unknown"]
    carried: float
    final_level: float
    trend: Trend
    """Trend class after the last message."""
    forecast: float | None
    """Customer level after the last words before a survey, else `carried`; None when `carried` is 0 (nothing known)."""
    low: float
    low_ms: int
    under_ms: int
    volatility: float
    reversals: int
    change_points: int
    hops: int
    contacts_24h: int
    contacts_7d: int
    response_ms: int
    silence_ms: int
    overtalk_ms: int
    tag_counts: tuple[int, ...]
    """Customer messages flagged per tag, in the order of `TAGS`."""
    rating: float | None
    escalations: int
    late_events: int
    contacts_before: int
    """Other interactions begun in the 7 days before the session."""
    parameters: str
    model_version: str


class Evidence(Record, frozen=True, kw_only=True):
    """The facts behind an alert: numbers and ids; the excerpt is redacted."""

    score: float
    """Polarity of the event that caused this step, in [-1, 1]; below 0 is unhappy."""
    level: float
    """Rolling score of the conversation at that event, in (-1, 1)."""
    level_evidence: float
    """Decayed weight of the messages behind `level`; near 0, little is known."""
    customer_level: float
    """Rolling score of the customer over all channels at that event, in (-1, 1)."""
    carried: float
    """Customer level when the session began."""
    slope: float | None
    """Trend of the score per minute; null with fewer than 4 messages."""
    streak: int
    """Number of successive negative messages of the customer at that event."""
    tags: tuple[str, ...]
    """Tags flagged on the triggering message, most probable first."""
    excerpt: RedactedText
    """First 160 characters of the triggering message, without personal data; empty when no message triggered the
    step."""
    event_ids: tuple[str, ...]
    """Id of the triggering message first, then of up to two earlier customer messages."""


class Escalation(Record, frozen=True, kw_only=True):
    """One step in the life of one alert (topic `undertone.escalations`, table `escalations`)."""

    schema: Literal["undertone.escalation/1"] = "undertone.escalation/1"
    """Name and version of this contract."""
    escalation_id: str
    """Customer key and a deterministic hash of rule, session and ordinal: a replay cannot raise it twice, and feedback
    that names it is routed to the customer's state."""
    transition: Transition
    """The step that this record reports: `raised`; `level_up`, the level rose; `reminded`, nobody has acknowledged it;
    `acked`, somebody has; `cleared`, it is over; `retracted`, it was raised in error; `suppressed`, held back."""
    version: int
    """1 for the first record of the alert, and one more for each further step; the highest version is valid."""
    tenant: str
    """Organisation that the customer belongs to; feedback on the alert must name the same tenant."""
    customer_key: str
    """Pseudonym of the customer, 16 hex digits; not a number, because many JSON readers round 64-bit integers."""
    session_id: str
    """Session across channels in which the alert was raised."""
    interaction_id: str
    """Interaction in which this step happened, as its events name it (`h_` and 24 hex digits where that id holds
    personal data); a later step may happen in another interaction than the first."""
    channel: Channel
    """Channel of that interaction."""
    queue: str
    """Queue or team that handles the interaction."""
    agent_key: str
    """Pseudonym of the agent who handles the interaction, 16 hex digits; empty when none is known."""
    rule: str
    """Id of the rule that raised the alert."""
    rule_version: str
    """Version of the rules file."""
    family: str
    """Kind of rule; rules for the same problem on several channels share one family."""
    level: Annotated[int, Meta(ge=1, le=3)]
    """Severity: 1 watch, 2 frustrated, 3 critical."""
    route: Route
    """Who receives it: `agent` is a cue on the agent's own screen, `supervisor` is an alert."""
    state: Literal["active", "resolved", "suppressed"]
    """`active` until it is `resolved` (or retracted); `suppressed` was held back and never active. `transition` shows
    whether somebody has acknowledged it."""
    reason: str
    """The rule's condition with the values that made it true, for people to read; holds no text of the customer."""
    raised_ms: int
    """Event time at which the alert was first raised, in milliseconds since 1970 (UTC); part of the sort key, so it
    never changes."""
    event_ms: int
    """Event time of the cause of this step (a message, the passing of time, or a person's action), in milliseconds."""
    evidence: Evidence
    """The facts behind the alert at this step."""
    broker_ms: int
    """Kafka's timestamp of the triggering record, in milliseconds; latency is the time of publication minus this. 0
    when the passing of time or a person caused the step."""


class Feedback(Record, frozen=True, kw_only=True):
    """What a supervisor did with an alert (topic `undertone.feedback`, contract `undertone.feedback/1`)."""

    schema: Literal["undertone.feedback/1"]
    """Name and version of this contract."""
    feedback_id: Id
    """Your id of this action, unique for the alert; feedback that is sent twice counts once."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    """The alert's own tenant; feedback that names another tenant does not change the alert."""
    escalation_id: Id
    """Id of the alert, as in its records."""
    action: Literal["acknowledged", "resolved", "good_catch", "false_alarm"]
    """`acknowledged`: somebody is dealing with it; `resolved`: it is over; `good_catch` and `false_alarm` judge it."""
    by: Name = ""
    """Pseudonym of the supervisor; stored as given, so do not send a name."""
    event_time: Annotated[datetime, Meta(tz=True)]
    """When the person acted, with its offset from UTC; at most 5 minutes after Kafka got it."""
