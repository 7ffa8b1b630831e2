"""Find the phrases of keyword lists in a message; fast for the many messages that have none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"\w+")


def has_words(phrase: str) -> bool:
    """Whether a phrase holds a word that can be searched for.

    >>> has_words("see you"), has_words("?!")
    (True, False)
    """
    return _WORD.search(phrase) is not None


class KeywordMatcher:
    """Finds phrases. It searches for the longest word of each phrase first, because most messages hold none of them."""

    def __init__(self, keywords: Mapping[str, Iterable[str]]) -> None:
        self._bits: dict[str, int] = {}
        for bit, phrases in enumerate(keywords.values()):
            for phrase in phrases:
                words = " ".join(_WORD.findall(phrase.casefold()))
                self._bits[words] = self._bits.get(words, 0) | 1 << bit
        self._rare = frozenset(max(phrase.split(), key=len) for phrase in self._bits)
        self._phrases = [(f" {phrase} ", bits) for phrase, bits in self._bits.items()]

    def bits(self, text: str) -> int:
        """Return an integer in which bit i is set when a phrase of list i occurs in the text."""
        folded = text.casefold()
        if not any(map(folded.__contains__, self._rare)):
            return 0
        line = f" {' '.join(_WORD.findall(folded))} "
        found = 0
        for phrase, bits in self._phrases:
            if phrase in line:
                found |= bits
        return found
