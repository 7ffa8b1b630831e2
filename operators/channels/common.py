"""Shared by all channels: the result type, and functions that tidy text."""

from __future__ import annotations

import re
import unicodedata

from operators.records import Record

_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINER = re.compile("(?<=[!-~])[\u200c\u200d]+(?=[!-~])")
"""Joiners between ASCII characters, where they only hide words; in emoji and Indic scripts they are needed."""
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,15}(?:\s[^<>]{0,500})?/?>")
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^<>]{0,100}>", re.IGNORECASE)


class Cleaned(Record, frozen=True, kw_only=True):
    """Text of one event, ready for redaction."""

    text: str
    skipped: str = ""
    """Why there is no text to score ("auto_reply", "quoted_only", "empty"); empty when there is some."""


def tidy(text: str) -> str:
    r"""Return the text in NFC, without invisible characters and with single spaces; very fast for plain ASCII lines.

    >>> tidy(" one\u200b  two\nthree ")
    'one two three'
    """
    if not text.isascii():
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        text = _JOINER.sub("", _INVISIBLE.sub("", text))
    if "  " in text or not text.isprintable() or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    return text


def without_tags(text: str) -> str:
    r"""Remove HTML tags; tags that break the line become line breaks.

    >>> without_tags("<p>no</p>a < b")
    'no\na < b'
    """
    return _TAG.sub("", _BREAK.sub("\n", text)) if "<" in text else text


def finished(text: str) -> Cleaned:
    """Return the tidied text as a result; `skipped` is "empty" when no text is left."""
    text = tidy(text)
    return Cleaned(text=text) if text else Cleaned(text="", skipped="empty")
