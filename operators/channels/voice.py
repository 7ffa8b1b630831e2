"""Call transcripts: remove the recogniser's notes about sounds, keep the spoken words."""

from __future__ import annotations

import re

from operators.channels.common import Cleaned, finished
from operators.records import Event

_SOUNDS = (
    "noise|inaudible|unintelligible|indiscernible|crosstalk|overlap(?:ping)?|silence|pause|music|hold music|beep"
    "|tone|dtmf|laugh(?:ter|s|ing)?|cough(?:s|ing)?|breath(?:s|ing)?|sigh(?:s|ing)?|sniff(?:s|ing)?|cry(?:ing)?"
    "|applause|background|unk|unknown|spn|nsn|vocalized-noise|uh|um|eps|sil|foreign|static|clicks?|ring(?:ing)?|typing"
    "|speaker change|blank_audio"
    "|unverständlich|lachen|rauschen|musik|stille|pausa|risas|ruido|inaudito|rires|bruit|silencio|applaus"
)
_MARKER = re.compile(
    rf"[\[(<{{*]{{1,2}}\s?(?:{_SOUNDS})(?:[ _\-:]?[\w.:]{{0,20}}){{0,3}}\s?[\])>}}*]{{1,2}}", re.IGNORECASE
)
_STAMP = re.compile(r"[\[(<]?\b\d{1,2}:\d{2}(?::\d{2})(?:[.,]\d{1,3})?[\])>]?(?=\s|$)")
_LABEL = re.compile(r"^\s*(?:speaker|spk|caller|customer|channel)[ _]?\d{0,2}\s?:\s", re.IGNORECASE | re.MULTILINE)
_SIGNS = b"[](){}<>*:"


def clean(event: Event) -> Cleaned:
    """Return the spoken words only; `skipped` is "empty" for a turn of noise alone."""
    text = event.text
    raw = text.encode("utf-8", "replace")
    return finished(text if len(raw.translate(None, _SIGNS)) == len(raw) else words(text))


def words(text: str) -> str:
    """Remove markers of sounds, time stamps and speaker labels.

    >>> words("Caller: I [noise] said <unk> no (inaudible 00:12) twice").split()
    ['I', 'said', 'no', 'twice']
    """
    return _STAMP.sub(" ", _MARKER.sub(" ", _LABEL.sub("", text)))
