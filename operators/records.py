"""Every record of the pipeline, in the order in which a message becomes one after the other.

    Event -> Utterance -> Scored -> Message -> Turn | SessionUpdate | Escalation
       `------------- Rejected (from any stage) -------------> dead letters

All are frozen: a stage never edits a record, it makes the next one. `Event` is the wire contract
`undertone.event/1` and carries an aware `datetime`; every later record carries integer milliseconds since the
Unix epoch (`*_ms`), because keyed state and sort keys hold numbers. Scores are quantised to 1e-4 before they
reach a record, so that a replay that cuts batches differently compares equal.
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
    """Base of all records: immutable, fields by name only.

    `Utterance`, `Message`, `Turn` and `SessionUpdate` may be given by position too: they are made for every event, and
    a call with more than 15 names is several times as slow.
    """


class Origin(Record, frozen=True, kw_only=True):
    """Where a record was read: enough to find it again in Kafka."""

    topic: str
    partition: int
    offset: int
    broker_ms: int
    """Kafka's own timestamp of the record; latency is measured from here."""


class Raw(Record, frozen=True, kw_only=True):
    """A Kafka record as it was read. `None` is a tombstone; it is rejected as empty."""

    payload: bytes | None
    origin: Origin


class Ref(Record, frozen=True, kw_only=True):
    """One way to recognise a customer, for example `{"type": "email", "value": ...}`."""

    type: Annotated[str, Meta(min_length=1, max_length=40)]
    """What kind of reference it is: `email`, `phone`, or a name of your own."""
    value: Id
    """The reference itself; mail addresses are compared in lower case, phone numbers in E.164."""


class Customer(Record, frozen=True, kw_only=True):
    """Who the customer is, as the source knows it. Raw values never leave `decode`'s next stage."""

    id: Id | None = None
    """The customer's id, the same on every channel; it alone tells who it is where it is given."""
    refs: Annotated[list[Ref], Meta(max_length=16)] = []
    """Other ways to recognise the customer; without `id` the first of them tells who it is."""


class Acoustic(Record, frozen=True, kw_only=True):
    """Timing of speech, when the source measures it. For customers only; off by default."""

    silence_ms: Millis = 0
    """Silence that the source measured, in milliseconds."""
    overtalk_ms: Millis = 0
    """Time in which both spoke, in milliseconds."""


class Rating(Record, frozen=True, kw_only=True):
    """A survey answer on the scale that was asked."""

    scale: Literal["csat5", "nps", "ces7"]
    """What was asked: `csat5` is satisfaction from 1 to 5, `nps` from 0 to 10, `ces7` ease from 1 to 7."""
    value: Annotated[int, Meta(ge=0, le=10)]
    """The answer, within its scale."""


class Event(Record, frozen=True, kw_only=True):
    """One thing that happened in a conversation (contract `undertone.event/1`).

    Identity is `(tenant, event_id, revision)`: the same event twice counts once, unless 48 later events of its
    customer have settled in between. A higher `revision` of the same `event_id` replaces the lower one (a final
    transcript replaces its partial, an edit its original).
    Unknown fields are ignored, so that producers may be newer than the job.
    """

    schema: Literal["undertone.event/1"]
    """Name and version of this contract."""
    event_id: Id
    """The source's id of the event, unique within its tenant."""
    revision: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """0 for the first account of the event; a final transcript, an edit or a retraction has a higher one."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    """Organisation that the customer belongs to."""
    region: Annotated[str, Meta(max_length=16)] = ""
    """Where the source is, such as `US` or `US-CA`: how phone numbers without a prefix are read."""
    channel: Channel
    """Way by which the customer is in touch."""
    kind: Kind = "utterance"
    """What happened: `utterance` is words, `rating` a survey's answer; `retracted` takes the event of this id back."""
    interaction_id: Id
    """Call, chat, mail thread or post that the event is part of."""
    customer: Customer = Customer()
    """Whose mood it is; a customer who is not told is known by the interaction alone."""
    speaker: Speaker = "customer"
    """Whose words they are; only the customer's move the mood."""
    agent_id: Name = ""
    """Agent who handles the interaction, as the source knows them; empty when none is known."""
    queue: Name = ""
    """Queue or team that handles the interaction."""
    language: Annotated[str, Meta(max_length=35)] = ""
    """Language tag of the text, such as `en-GB`; empty is taken for one that the model reads."""
    text: str = ""
    """The words as they came, at most 20,000 characters; needed for an `utterance`."""
    final: bool = True
    """False for a partial transcript whose final version is still to come, under the same id."""
    asr_confidence: Ratio | None = None
    """Confidence of speech recognition; counts for `voice` only, null as 1."""
    event_time: Annotated[datetime, Meta(tz=True)]
    """When it was said or written, with its offset from UTC; the same for every revision of the event."""
    offset_ms: Millis | None = None
    """Time from the start of the interaction to the event; accepted, and not used yet."""
    duration_ms: Millis | None = None
    """How long it took to say; accepted, and not used yet."""
    acoustic: Acoustic | None = None
    """Timing of speech; used only where the tenant allows it."""
    rating: Rating | None = None
    """A survey's answer; needed for kind `rating`."""
    attributes: Annotated[dict[Annotated[str, Meta(max_length=64)], Name], Meta(max_length=32)] = {}
    """What else the source says, by name; of it the job reads the headers of mails (`subject` and the like)."""


class Reason(str, Enum):
    """Why a record was not accepted. The value is what dead letters, metrics and examples are named after."""

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
    """A record that could not be accepted: which stage refused it, why, and where it is in Kafka.

    It never holds the payload: the source topic still does, and text must not leak through errors.
    """

    stage: Literal["decode", "channel", "redact", "score", "customer"]
    reason: Reason
    origin: Origin
    field: str = ""
    """Path of the offending field (our own schema's name, never a value), empty when none is to blame."""


class Utterance(Record, frozen=True):
    """An event whose text is ready to score: cleaned for its channel, redacted, its customer pseudonymous.

    Events without text (opened, hold, transfer, rating ...) pass here too, with `text = ""`.
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
    """How many placeholders redaction put in."""
    final: bool
    asr_confidence: float
    """1.0 for typed text."""
    event_ms: int
    silence_ms: int
    overtalk_ms: int
    rating: float | None
    """Survey rating mapped to [-1, 1]; None when there is none."""
    skipped: str
    """Why the text is not to be scored ("auto_reply", "quoted_only", "empty", "language"), empty when it is."""
    origin: Origin


class Scored(Record, frozen=True, kw_only=True):
    """An utterance with what the model says of it. Probabilities in [0, 1], quantised to 1e-4."""

    utterance: Utterance
    p_negative: float
    p_neutral: float
    p_positive: float
    score: float
    """Polarity p_positive - p_negative, in [-1, 1]."""
    intensity: float
    """1 - p_neutral: with a score near 0 it tells mixed from neutral."""
    confidence: float
    """max(p) x ASR confidence, in [0, 1]."""
    label: Polarity
    abstained: bool
    """True: too unsure to move anyone's mood; weight 0."""
    weight: float
    """What the message counts in the rolling score, in [0, 1]: confidence x min(1, tokens / 5); 0 if abstained."""
    tags: tuple[float, ...]
    """Probability per tag in the order of `TAGS`."""
    flags: int
    """Bit i is set when tag i passed its threshold for the channel."""
    model_version: str
    calibration_version: str
    scored_ms: int
    """Wall clock when scored; only for latency, never for results."""


class Message(Record, frozen=True, gc=False):
    """What the keyed step gets to see of a scored utterance: numbers, ids, a short excerpt, and no more."""

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
    """Bit i is set when keyword list i of the rules (their order in the file) occurs in the text."""
    silence_ms: int
    overtalk_ms: int
    rating: float | None
    excerpt: RedactedText
    """First 160 characters of the redacted text, for the alert that this message may trigger; not kept in state."""
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
    """Stream time passing: no event of the partition will be earlier than `stream_ms`, bar late ones."""

    stream_ms: int


class Progress(Record, frozen=True, kw_only=True):
    """How far the job has come in one Kafka partition, as of a committed epoch (table `progress`)."""

    topic: str
    partition: int
    committed_ms: int
    """Wall clock when the epoch was known to be committed."""
    position: int
    """Offset that the job goes on from."""
    end_offset: int
    """Offset that the partition's next record will get, as of the last fetch."""
    stream_ms: int
    """See `StreamTime`."""


class StreamTime(Record, frozen=True, kw_only=True):
    """How far one Kafka partition has come in event time; follows the records that it was computed from."""

    partition_key: str
    """`"<partition>-<topic>"`, the name of the source partition."""
    partitions: int
    """How many partitions the job reads in all; time stands still until each was heard of."""
    stream_ms: int
    """Event time read so far (the greatest that was looked at: not every record is); once caught up, the time at
    which the broker last said that there is no more."""
    caught_up: bool
    routes: int = 1
    """Over how many keys it is spread so that each worker gets one: see `operators.ticks.routes`."""
    progress: Progress | None = None
    """Of the epoch that was committed since the last one of these."""
    epoch: int = 0
    """Epochs that the partition has ended since its process started."""
    ended_ms: int = 0
    """When it ended the last of them, by the wall clock."""

    def routed(self) -> list[tuple[str, StreamTime]]:
        """Copies for the keyed step, under keys that no customer has and that sort after every customer's.

        >>> time = StreamTime(partition_key="0-events", partitions=1, stream_ms=0, caught_up=True, routes=2)
        >>> [key for key, _ in time.routed()]
        ['~0', '~1']
        """
        return [(f"~{route}", self) for route in range(self.routes)]


class Turn(Record, frozen=True, gc=False):
    """The rolling values of one customer after one message, in event order (table `trajectory`)."""

    tenant: str
    customer_key: int
    event_ms: int
    event_id: str
    revision: int
    version: int
    """Grows with what was known of this and earlier messages; the highest version is the complete one."""
    deleted: bool
    """True takes back a row, after a retraction."""
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
    """Customer level as it stood when the session began: what the first agent could know."""
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
    """Run of negative customer messages; abstentions do not break it."""
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
    """Longest wait of the customer for an answer in this session so far."""
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
    """True takes the session back: a late event joined it with an earlier one."""
    state: Literal["open", "closed"]
    channels: tuple[str, ...]
    """Channel path in event order, neighbours differ, at most 8."""
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
    """After the last message."""
    forecast: float | None
    """Customer level after the last words before a survey, or carried in; None when nothing but a survey was heard."""
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
    """What an alert stands on. Numbers and ids; the excerpt is redacted."""

    score: float
    """Polarity of the event at which this step was made, in [-1, 1]; below 0 is unhappy."""
    level: float
    """Rolling score of the conversation at that moment, in (-1, 1)."""
    level_evidence: float
    """Decayed weight that `level` stands on; near 0 little is known."""
    customer_level: float
    """Rolling score of the customer over all channels at that moment, in (-1, 1)."""
    carried: float
    """Customer level when the session began: what the customer came with."""
    slope: float | None
    """Trend of the score per minute; null with fewer than 4 messages."""
    streak: int
    """Run of negative messages of the customer at that moment."""
    tags: tuple[str, ...]
    """Tags flagged on the triggering message, most probable first."""
    excerpt: RedactedText
    """First 160 characters of the triggering message, without personal data; empty where no message triggered it."""
    event_ids: tuple[str, ...]
    """The triggering message first, then up to two customer messages before it."""


class Escalation(Record, frozen=True, kw_only=True):
    """One step in the life of one alert (topic `undertone.escalations`, table `escalations`)."""

    schema: Literal["undertone.escalation/1"] = "undertone.escalation/1"
    """Name and version of this contract."""
    escalation_id: str
    """Customer key and a deterministic hash of rule, session and ordinal: a replay cannot raise it twice, and an
    answer that names it finds the customer's state."""
    transition: Transition
    """The step that this record tells of: `raised`; `level_up`, it is graver; `reminded`, nobody has acknowledged it;
    `acked`, somebody has; `cleared`, it is over; `retracted`, it should never have been; `suppressed`, held back."""
    version: int
    """1 for the first record of the alert, then one more for each further step: the highest stands."""
    tenant: str
    """Organisation that the customer belongs to; feedback on the alert must name the same."""
    customer_key: str
    """Pseudonym of the customer, 16 hex digits: JSON readers lose 64-bit integers."""
    session_id: str
    """Session across channels in which the alert was raised."""
    interaction_id: str
    """Conversation in which this step happened, by the id of its events (`h_` and 24 hex digits where that holds
    personal data); a later step may happen in another one than the first."""
    channel: Channel
    """Channel of that conversation."""
    queue: str
    """Queue or team that handles it."""
    agent_key: str
    """Pseudonym of the agent who handles it, 16 hex digits; empty when none is known."""
    rule: str
    """Id of the rule that raised the alert."""
    rule_version: str
    """Version of the file of rules."""
    family: str
    """What kind of rule it is; rules that say the same of several channels share one."""
    level: Annotated[int, Meta(ge=1, le=3)]
    """How grave it is: 1 watch, 2 frustrated, 3 critical."""
    route: Route
    """Whom to tell: `agent` is a cue on the agent's own screen, `supervisor` an alert."""
    state: Literal["active", "resolved", "suppressed"]
    """`active` until it is `resolved` (or retracted); `suppressed` was never active, but held back. Whether somebody
    has acknowledged it is told by `transition`."""
    reason: str
    """The condition of the rule with the values that made it true, for people; holds no text of the customer."""
    raised_ms: int
    """Event time at which it was first raised, in milliseconds since 1970 (UTC); never changes, in the sort key."""
    event_ms: int
    """Event time of what made this step (a message, the passing of time, or what a person did), in milliseconds."""
    evidence: Evidence
    """What the alert stands on at this step."""
    broker_ms: int
    """Kafka's timestamp of the triggering record, in milliseconds; latency = publication - this. 0 where no record but
    time, or a person, made the step."""


class Feedback(Record, frozen=True, kw_only=True):
    """What a supervisor did with an alert (topic `undertone.feedback`, contract `undertone.feedback/1`)."""

    schema: Literal["undertone.feedback/1"]
    """Name and version of this contract."""
    feedback_id: Id
    """Your id of this action, unique for the alert; sent twice it counts once."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    """The alert's own tenant: feedback that names another changes nothing about the alert."""
    escalation_id: Id
    """The alert, as its records name it."""
    action: Literal["acknowledged", "resolved", "good_catch", "false_alarm"]
    """`acknowledged`: somebody sees to it; `resolved`: it is over; the others judge it."""
    by: Name = ""
    """Pseudonym of the supervisor; stored as given, so do not send a name."""
    event_time: Annotated[datetime, Meta(tz=True)]
    """When the person acted, with its offset from UTC; at most 5 minutes after Kafka got it."""
