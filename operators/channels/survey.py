"""Comments of surveys: forms deliver escapes, and stand-ins for "nothing to say"."""

from __future__ import annotations

import html
import re

from operators.channels.common import Cleaned, finished, tidy, without_tags
from operators.records import Event

_BLANK = re.compile(r"(?:n\.?\s?/?\s?a\.?|null|nil|[-._/\s]*)", re.IGNORECASE)


def clean(event: Event) -> Cleaned:
    """The comment; one that only fills the form ("n/a", "-") is "empty". Emoji are an answer."""
    text = tidy(without_tags(html.unescape(event.text)))
    if text.isascii() and _BLANK.fullmatch(text):
        return Cleaned(text="", skipped="empty")
    return finished(text)
