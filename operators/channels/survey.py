"""Survey comments: decode the forms' HTML escapes, and skip fillers such as "n/a"."""

from __future__ import annotations

import html
import re

from operators.channels.common import Cleaned, finished, tidy, without_tags
from operators.records import Event

_BLANK = re.compile(r"(?:n\.?\s?/?\s?a\.?|null|nil|[-._/\s]*)", re.IGNORECASE)


def clean(event: Event) -> Cleaned:
    """Return the comment; `skipped` is "empty" for one that only fills the form ("n/a", "-"). Emoji are an answer."""
    text = tidy(without_tags(html.unescape(event.text)))
    if text.isascii() and _BLANK.fullmatch(text):
        return Cleaned(text="", skipped="empty")
    return finished(text)
