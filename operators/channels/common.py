"""What all channels share: the result, and the tidying that none of them can do without."""

from __future__ import annotations

import re
import unicodedata

from operators.records import Record

_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINER = re.compile("(?<=[!-~])[\u200c\u200d]+(?=[!-~])")
"""Joiners hold emoji and Indic letters together; between plain letters they only hide words."""
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,15}(?:\s[^<>]{0,500})?/?>")
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^<>]{0,100}>", re.IGNORECASE)


class Cleaned(Record, frozen=True, kw_only=True):
    """Text of one event, ready for redaction."""

    text: str
    skipped: str = ""
    """Why there is nothing to score ("auto_reply", "quoted_only", "empty"); empty when there is."""


def tidy(text: str) -> str:
    r"""NFC, without invisible characters, single spaces. Costs next to nothing for plain chat lines.

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
    r"""HTML tags out, line breaks where they made one.

    >>> without_tags("<p>no</p>a < b")
    'no\na < b'
    """
    return _TAG.sub("", _BREAK.sub("\n", text)) if "<" in text else text


def finished(text: str) -> Cleaned:
    """The tidied text as a result; nothing left is told as "empty"."""
    text = tidy(text)
    return Cleaned(text=text) if text else Cleaned(text="", skipped="empty")
