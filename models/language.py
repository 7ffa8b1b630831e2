"""Language tags in one spelling, so that "EN_us" and "en-US" compare as the same language."""

from __future__ import annotations

import re
from collections.abc import Collection

_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|[0-9]{3}))?\Z")


def spelled(tag: str) -> str:
    """The tag in the spelling that RFC 5646 (section 2.1.1) recommends; producers also write "_" and any case.

    >>> [spelled(tag) for tag in ("EN_us", "de", "zh-hant-tw", "")]
    ['en-US', 'de', 'zh-Hant-TW', '']
    """
    primary, *subtags = tag.replace("_", "-").split("-")
    return "-".join([primary.lower(), *(part.title() if len(part) == 4 else part.upper() for part in subtags)])


def looks_like_tag(text: str) -> bool:
    """Whether a text is a language tag with at most a script and a region; a conversation's language needs no more.

    >>> [looks_like_tag(text) for text in ("en_us", "zh-Hant-TW", "es-419", "English", "")]
    [True, True, True, False, False]
    """
    return _TAG.match(text) is not None


def is_one_of(language: str, languages: Collection[str]) -> bool:
    """Whether `languages` contains the language or its primary subtag; all are tags as returned by `spelled`.

    >>> is_one_of("en-GB", {"en"}), is_one_of("en", {"en-GB"})
    (True, False)
    """
    return language in languages or language.partition("-")[0] in languages
