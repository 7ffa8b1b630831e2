"""Redact spoken numbers and addresses: "four one one one double two", "anna dot berg at mail dot com".

A transcript may spell digits as words. A run of number words for seven digits or more counts as a dictated number;
counting to five or naming a year does not.
"""

from __future__ import annotations

import re

SHORTEST = 7
"""Fewest digits that a run of number words must stand for."""

_PART = re.compile(r"\w+")
_REPEATS = {"double": 2, "doppel": 2, "doble": 2, "triple": 3, "treble": 3}
_DIGITS = _PART.findall(
    "zero oh one two three four five six seven eight nine "  # English
    "null eins zwei zwo drei vier fünf sechs sieben acht neun "  # German
    "zéro un deux trois quatre cinq sept huit neuf "  # French
    "cero uno dos tres cuatro cinco seis siete ocho nueve "  # Spanish
    "due tre quattro cinque sei sette otto nove "  # Italian
    "um dois três quatro sete oito "  # Portuguese
    "nul een twee drie vijf zes zeven negen"  # Dutch
)
_LARGER = _PART.findall(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand"
)
_WORDS = "|".join(sorted({*_DIGITS, *_LARGER, *_REPEATS}, key=len, reverse=True))
_TOKEN = rf"(?:(?:{_WORDS})(?!\w)|\d{{1,6}}(?!\w))"
_RUN = re.compile(
    rf"(?<![\w\[]){_TOKEN}(?:(?:[\s,.\-]{{1,3}}|[\s,]{{1,2}}(?:and|und|et|y|uh|um|er)\s){_TOKEN}){{3,}}", re.I
)
_KNOWN = frozenset({*_DIGITS, *_LARGER, *_REPEATS})
_LOCAL = (
    r"(?<!\w)\w[\w.%+'\-]{0,63}"
    r"(?:\s{1,2}(?:dot|underscore|dash|hyphen|minus)\s{1,2}\w[\w.%+'\-]{0,63}){0,4}"
)
_LABEL = r"[\w\-]{1,40}"
_AT = r"\s{0,2}[(\[]\s?(?:at|@)\s?[)\]]\s{0,2}"
_POINT = r"\s{0,2}[(\[]\s?(?:dot|\.)\s?[)\]]\s{0,2}"
_DOT = rf"(?:\.|\s{{1,2}}dot\s{{1,2}}|{_POINT})"
_ENDS = r"(?:com|org|net|edu|gov|info|io|co|uk|de|fr|es|it|nl|eu|us|ca|in|au|ch|at|be)"
_ADDRESS = re.compile(
    rf"{_LOCAL}(?:"
    # "(at)" in brackets marks an address with any host; a spoken "at" only if a spoken "dot" and one of `_ENDS` follow.
    rf"{_AT}(?:{_LABEL}(?:\.|{_POINT})){{1,4}}[^\W\d_]{{2,24}}"
    rf"|(?:{_AT}|\s{{0,2}}@\s{{0,2}}){_LABEL}(?:{_DOT}{_LABEL}){{0,2}}\s{{0,2}}[(\[]?\s?dot\s?[)\]]?\s{{0,2}}{_ENDS}"
    rf"|\s{{1,2}}at\s{{1,2}}(?!(?:the|a|an|this|that)\s){_LABEL}(?:{_DOT}{_LABEL}){{0,2}}"
    rf"(?:\s{{1,2}}dot\s{{1,2}}|{_POINT}){_ENDS}"
    r")(?!\w)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"[(\[]\s?(?:at|dot)\s?[)\]]", re.IGNORECASE)


def may_hold_number(text: str) -> bool:
    """Cheap test: whether a text long enough for a dictated number ("un 1 1 12345") has a number word."""
    if len(text) < 11:
        return False
    return not _KNOWN.isdisjoint(text.lower().replace("-", " ").replace(",", " ").replace(".", " ").split())


def replace_numbers(text: str, placeholder: str) -> tuple[str, int]:
    """Replace dictated numbers; return the text and the number of replacements.

    >>> replace_numbers("card is four one double one 2 3 four thanks", "[NUMBER]")
    ('card is [NUMBER] thanks', 1)
    >>> replace_numbers("one, two, three, go", "[NUMBER]")
    ('one, two, three, go', 0)
    """
    found = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal found
        if _digits(match.group()) < SHORTEST:
            return match.group()
        found += 1
        return placeholder

    return _RUN.sub(replaced, text), found


def is_bracketed(text: str) -> bool:
    """Whether the text has an "at" or a "dot" in brackets, as in jane(at)mail.example."""
    return ("(" in text or "[" in text) and _BRACKETED.search(text) is not None


def replace_addresses(text: str, placeholder: str) -> tuple[str, int]:
    """Replace dictated or disguised e-mail addresses.

    >>> replace_addresses("it's anna dot berg at mail dot com, not jane[at]mail.example", "[EMAIL]")
    ("it's [EMAIL], not [EMAIL]", 2)
    """
    return _ADDRESS.subn(placeholder, text)


def _digits(run: str) -> int:
    """Count the digits that the run stands for; "oh oh oh ..." (only "oh", "um" or "un") is no number and gives 0."""
    count, times, spoken = 0, 1, set()
    for word in _PART.findall(run.lower()):
        if word in _REPEATS:
            times = _REPEATS[word]
            continue
        count += times * (len(word) if word.isdigit() else 1)
        times = 1
        spoken.add(word)
    return 0 if spoken <= {"oh", "um", "un"} else count
