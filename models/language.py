"""Language tags: one spelling of each, so that "EN_us" and "en-US" are one language wherever they are compared."""

from __future__ import annotations

from collections.abc import Collection


def spelled(tag: str) -> str:
    """The tag in the spelling that RFC 5646 (section 2.1.1) recommends; producers also write "_" and any case.

    >>> [spelled(tag) for tag in ("EN_us", "de", "zh-hant-tw", "")]
    ['en-US', 'de', 'zh-Hant-TW', '']
    """
    primary, *subtags = tag.replace("_", "-").split("-")
    return "-".join([primary.lower(), *(part.title() if len(part) == 4 else part.upper() for part in subtags)])


def is_one_of(language: str, languages: Collection[str]) -> bool:
    """Whether a language is among others, which may be named by their primary subtag alone. All as `spelled`.

    >>> is_one_of("en-GB", {"en"}), is_one_of("en", {"en-GB"})
    (True, False)
    """
    return language in languages or language.partition("-")[0] in languages
