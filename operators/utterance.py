"""`Event` to `Utterance`: cleaned for its channel, redacted, its people pseudonymous. Nothing raw gets past here.

Identifiers are data too: a mail's message id holds an address, a telephony call id often the caller's number. Event
and interaction ids pass as they are only when nothing in them looks like a person's; else a keyed hash stands for
them, the same one each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from models.language import looks_like_tag, spelled
from operators.channels import Cleaned, clean
from operators.decode import decode
from operators.identity import Identity, country
from operators.records import Event, Origin, Rating, Reason, RedactedText, Rejected, Utterance
from operators.redact import redact

AcousticAllowed = Callable[[str, str], bool]
"""(tenant, region) -> whether timing of speech may be used."""

_SCALES = {"csat5": (3, 2), "nps": (5, 5), "ces7": (4, 3)}
"""Middle and half width of each scale."""
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.:\-/#]{1,128}\Z")
_MACHINE_MADE = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=[0-9]{0,12}[a-f])[0-9a-f]{16,64})(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])(?:[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12})(?![0-9A-Za-z])"
)
_PARTS = re.compile(r"[_.:/#\-]+")
_LETTERED_ID = re.compile(r"[A-Za-z]{5}\d|[A-Za-z]{2}\d{6}|\d{4}")
_LONG_RUN = re.compile(r"[0-9](?:[_.:/#\-]?[0-9]){8,}")
_MOST_BARE_DIGITS = 6
"""So few digits, and nothing beside them, are a counter: no card, phone number or national id is as short."""
_COUNTED = re.compile(r"(?:[A-Za-z]{2,24}[_.:/#\-])*(?:[0-9]{1,6}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\Z")
"""Words and a number, or a UUID: what most producers send. It spares new ids, as those of events are, a search."""
_REGION = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z]{1,8}){0,2}(?:-[0-9]{1,2})?\Z")


def forbid_acoustic(_tenant: str, _region: str) -> bool:
    """The default: nobody's silence is measured."""
    return False


def accept(  # the arguments of the steps that it joins
    payload: bytes | None,
    origin: Origin,
    at_ms: int,
    identity: Identity,
    default_region: str = "US",
    acoustic_allowed: AcousticAllowed = forbid_acoustic,
) -> Utterance | Rejected:
    """`decode`, `clean` and `to_utterance` in one; a failure inside is a `Rejected` without a word of the record.

    Cleaning and redaction run libraries over text of strangers: whatever one of them raises must cost one record,
    not the job.
    """
    event = decode(payload, origin, at_ms)
    if isinstance(event, Rejected):
        return event
    try:
        cleaned = clean(event)
    except Exception:  # the exception may quote the text, so it is dropped
        return Rejected(stage="channel", reason=Reason.NOT_SCORABLE, origin=origin, field="text")
    try:
        return to_utterance(event, cleaned, origin, identity, default_region, acoustic_allowed)
    except Exception:
        return Rejected(stage="redact", reason=Reason.NOT_SCORABLE, origin=origin)


def to_utterance(
    event: Event,
    cleaned: Cleaned,
    origin: Origin,
    identity: Identity,
    default_region: str = "US",
    acoustic_allowed: AcousticAllowed = forbid_acoustic,
) -> Utterance:
    """Redact the cleaned text, and replace everybody's ids.

    `default_region` (two letters) reads phone numbers where the event names no region.
    """
    tenant, spoken = event.tenant, event.channel == "voice"
    queue, region, language = _labels(event.queue, event.region, event.language)
    text, redactions = RedactedText(""), 0
    if cleaned.text and event.kind != "retracted":  # what was taken back is not kept, whatever the producer sends along
        text, redactions = redact(cleaned.text, country(event.region, default_region), dictated=spoken)
    acoustic = event.acoustic
    if acoustic is not None and (event.speaker != "customer" or not acoustic_allowed(tenant, event.region)):
        acoustic = None
    # In the order of the record, as in `score.to_message`: so many keywords would be slow.
    return Utterance(
        tenant,
        _safe_id(identity, tenant, event.event_id),
        event.revision,
        region,
        event.channel,
        event.kind,
        _safe_id(identity, tenant, event.interaction_id),
        identity.customer_key(event),
        event.speaker,
        identity.agent_key(tenant, event.agent_id),
        queue,
        language,
        text,
        redactions,
        event.final,
        1.0 if event.asr_confidence is None or not spoken else event.asr_confidence,
        round(event.event_time.timestamp() * 1000),
        acoustic.silence_ms if acoustic else 0,
        acoustic.overtalk_ms if acoustic else 0,
        _on_unit_scale(event.rating) if event.rating else None,
        cleaned.skipped,
        origin,
    )


def _on_unit_scale(rating: Rating) -> float:
    """A survey answer in [-1, 1]: csat5 (v - 3) / 2, nps (v - 5) / 5, ces7 (v - 4) / 3."""
    middle, half = _SCALES[rating.scale]
    return max(-1.0, min(1.0, (rating.value - middle) / half))


def _safe_id(identity: Identity, tenant: str, value: str) -> str:
    return value if _COUNTED.match(value) or is_impersonal(value) else identity.opaque(tenant, value)


@lru_cache(maxsize=20_000)
def is_impersonal(value: str) -> bool:
    """Whether an identifier can be shown: plain signs, and nothing of a person in it.

    UUIDs and long hexadecimal tokens are machine-made. Of the rest, nine digits in a row (separators do not count)
    or anything that redaction would take out of a text make it personal.

    >>> [is_impersonal(value) for value in ("chat-0042", "6fd1a2f0-1c3b-4a58-9d1e-2b4c6d8e0f11")]
    [True, True]
    >>> [is_impersonal(value) for value in ("<jo@mail.example>", "call:+4930123456", "4111-1111-1111-1111")]
    [False, False, False]
    """
    if not _PLAIN_ID.match(value) or "://" in value:
        return False
    if not _LETTERED_ID.search(value) and not _LONG_RUN.search(value):
        return True
    rest = _MACHINE_MADE.sub("", value)
    if _LONG_RUN.search(rest):
        return False
    # Words alone ("call", "order") say what is counted; only with them gone does the rest speak for itself.
    parts = [part for part in _PARTS.split(rest) if len(part) == 1 or not part.isalpha()]
    digits = "".join(parts)
    if digits.isdecimal() and len(digits) <= _MOST_BARE_DIGITS:
        return True
    return all(redact(glue.join(parts), dictated=False)[1] == 0 for glue in (" ", ""))


@lru_cache(maxsize=4096)
def _labels(queue: str, region: str, language: str) -> tuple[str, str, str]:
    """Queue, region and language without anything personal.

    Some installations name mailboxes and direct lines as queues, so their names are redacted; a region or a language
    that does not look like one is dropped, and languages get one spelling. Few combinations occur: they are worked out
    once.
    """
    return (
        str(redact(" ".join(queue.split()))[0]),
        region if _REGION.match(region) else "",
        spelled(language) if looks_like_tag(language) else "",
    )
