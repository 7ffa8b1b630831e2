"""Public posts and direct messages: handles and links become placeholders, hashtags become words, emoji stay.

The placeholders `@user` and `http` are those that the model was trained with.
"""

from __future__ import annotations

import html
import re

from operators.channels.common import Cleaned, finished, without_tags
from operators.records import Event

_URL = re.compile(r"(?:https?://|(?<![\w@.])www\.)[^\s<>\"]+|(?<![\w@.])(?:t\.co|bit\.ly|youtu\.be)/\w+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w.%+\-@])[@\uff20]\w[\w.\-]{0,49}(?:@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,3})?(?<![.\-])")
_REPOST = re.compile(r"^\s*(?:RT|via)\s+(?=@)", re.IGNORECASE)
_HASHTAG = re.compile(r"(?<![\w&/])[#\uff03](\w*[^\W\d_]\w*)")
_SEAM = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-ZÀ-Þ])(?=[A-ZÀ-Þ][a-zß-ÿ])|(?<=[^\W\d_])(?=\d)|_+")


def clean(event: Event) -> Cleaned:
    """Return the words of a post."""
    text = html.unescape(event.text) if "&" in event.text else event.text
    return finished(words(without_tags(text)))


def words(text: str) -> str:
    """Replace handles and links with placeholders, and split hashtags into words.

    >>> words("RT @Acme: #WorstService ever https://t.co/x1 😡")
    '@user: Worst Service ever http 😡'
    """
    if "/" in text or "ww." in text.lower():
        text = _URL.sub("http", text)
    if "@" in text or "\uff20" in text:
        text = _HANDLE.sub("@user", _REPOST.sub("", text))
    if "#" in text or "\uff03" in text:
        text = _HASHTAG.sub(lambda match: _SEAM.sub(" ", match.group(1)), text)
    return text
