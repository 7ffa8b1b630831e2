"""Turn an `Event` into an `Utterance`: text cleaned for its channel and redacted, people replaced by pseudonyms.

No raw personal data leaves this module. Identifiers can hold personal data too: a mail's message id holds an address,
a telephony call id often the caller's number. Event and interaction ids are kept only when nothing in them looks
personal; otherwise a keyed hash, always the same for the same id, replaces them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from models.language import looks_like_tag, spelled
from operators.channels import Cleaned, clean
from operators.clock import ms_of
from operators.decode import decode
from operators.identity import Identity, country
from operators.records import Event, Origin, Rating, Reason, RedactedText, Rejected, Utterance
from operators.redact import redact

AcousticAllowed = Callable[[str, str], bool]
"""Function of tenant and region: whether timing of speech may be used."""

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
"""An id with at most this many digits and nothing else is a counter: cards, phone numbers and ids are longer."""
_COUNTED = re.compile(r"(?:[A-Za-z]{2,24}[_.:/#\-])*(?:[0-9]{1,6}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\Z")
"""Words and a number, or a UUID, as most producers send. Saves the search for ids that are always new, as of events."""
_REGION = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z]{1,8}){0,2}(?:-[0-9]{1,2})?\Z")


def forbid_acoustic(_tenant: str, _region: str) -> bool:
    """Default of `AcousticAllowed`: timing of speech is never used."""
    return False


def accept(  # its arguments are those of the steps that it runs
    payload: bytes | None,
    origin: Origin,
    at_ms: int,
    identity: Identity,
    default_region: str = "US",
    acoustic_allowed: AcousticAllowed = forbid_acoustic,
) -> Utterance | Rejected:
    """Run `decode`, `clean` and `to_utterance`; a failure gives a `Rejected` that holds no text of the record.

    Cleaning and redaction run libraries over untrusted text: any exception of theirs must reject one record only and
    must not stop the job.
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
    """Redact the cleaned text, and replace the ids of people with pseudonyms.

    `default_region` (two letters) is the country of phone numbers where the event names no region.
    """
    tenant, spoken = event.tenant, event.channel == "voice"
    queue, region, language = _labels(event.queue, event.region, event.language)
    text, redactions = RedactedText(""), 0
    if cleaned.text and event.kind != "retracted":  # a retraction keeps no text, even if the producer sends some
        text, redactions = redact(cleaned.text, country(event.region, default_region), dictated=spoken)
    acoustic = event.acoustic
    if acoustic is not None and (event.speaker != "customer" or not acoustic_allowed(tenant, event.region)):
        acoustic = None
    # By position, as in `score.to_message`, because a call with so many keywords is slow.
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
        ms_of(event.event_time),
        acoustic.silence_ms if acoustic else 0,
        acoustic.overtalk_ms if acoustic else 0,
        _on_unit_scale(event.rating) if event.rating else None,
        cleaned.skipped,
        origin,
    )


def _on_unit_scale(rating: Rating) -> float:
    """Map a survey answer to [-1, 1]: csat5 (v - 3) / 2, nps (v - 5) / 5, ces7 (v - 4) / 3."""
    middle, half = _SCALES[rating.scale]
    return max(-1.0, min(1.0, (rating.value - middle) / half))


def _safe_id(identity: Identity, tenant: str, value: str) -> str:
    return value if _COUNTED.match(value) or is_impersonal(value) else identity.opaque(tenant, value)


@lru_cache(maxsize=20_000)
def is_impersonal(value: str) -> bool:
    """Whether an identifier can be kept: it has only plain characters and nothing personal in it.

    UUIDs and long hexadecimal tokens are machine-made, so they are ignored. What remains is personal if it has nine
    digits in a row (separators do not count), or anything that redaction would remove from a text.

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
    # Words ("call", "order") only name what is counted, so remove them before the test.
    parts = [part for part in _PARTS.split(rest) if len(part) == 1 or not part.isalpha()]
    digits = "".join(parts)
    if digits.isdecimal() and len(digits) <= _MOST_BARE_DIGITS:
        return True
    return all(redact(glue.join(parts), dictated=False)[1] == 0 for glue in (" ", ""))


@lru_cache(maxsize=4096)
def _labels(queue: str, region: str, language: str) -> tuple[str, str, str]:
    """Return queue, region and language without personal data.

    Queue names are redacted, because some installations use mailboxes and direct lines as queues. A region or a
    language that does not look like one becomes empty, and languages get one spelling. Few combinations occur, so
    results are cached.
    """
    return (
        str(redact(" ".join(queue.split()))[0]),
        region if _REGION.match(region) else "",
        spelled(language) if looks_like_tag(language) else "",
    )
