"""Chat and messengers: remove entities, tags and markup; emphasised words stay, the emphasis signs do not."""

from __future__ import annotations

import html
import re

from operators.channels.common import Cleaned, finished, tidy, without_tags
from operators.records import Event

_MARKUP = b"<&*`[~_"
_MENTION = re.compile(r"<[@!#][^<>\s]{1,80}>")
_SLACK_LINK = re.compile(r"<(https?://[^<>|\s]{1,2000})(?:\|([^<>]{1,500}))?>")
_LINK = re.compile(r"!?\[([^\[\]\n]{1,500})\]\((?:https?:|mailto:|/)[^()\s]{1,2000}\)")
_STRONG = re.compile(r"(?<![\w*_~`])(\*{1,3}|_{1,3}|~{1,2}|`{1,3})(?=\S)([^\n]{1,2000}?)(?<=\S)\1(?![\w*_~`])")


def clean(event: Event) -> Cleaned:
    """Return the plain words of a chat line.

    Most traffic is chat, so a line without any markup sign takes a fast path and is only tidied.
    """
    text = event.text
    raw = text.encode("utf-8", "replace")
    if len(raw.translate(None, _MARKUP)) == len(raw):
        return finished(text)
    return finished(plain(text))


def plain(text: str) -> str:
    """Remove the markup from a line.

    >>> plain("**Really** <b>bad</b> &amp; [see](https://x.y/z)")
    'Really bad & see'
    """
    text = _SLACK_LINK.sub(lambda match: match.group(2) or match.group(1), _MENTION.sub("@user", text))
    text = without_tags(html.unescape(text))
    text = _LINK.sub(r"\1", text)
    for _ in range(2):  # emphasis inside emphasis
        text = _STRONG.sub(r"\2", text)
    return tidy(text)
