"""Redact everything made of digits: payment cards, IBANs, phone numbers, national ids, and long numbers of any kind.

Digits are 0-9 here; `operators.redact` has already converted the digits of other scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import phonenumbers
from stdnum import iban, luhn

from operators import national_ids

MOST_GROUPS = 40
"""Most groups of digits in a run that is searched for cards; a run with more becomes one [NUMBER] unsearched."""

_GAP = r"[\s\-\u2010-\u2015\u2212.,/\\()_:|*+#•·~'\"]"
"""A separator that people write between the digits of one number."""
_DIGITS = b"0123456789"
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ \-.]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.IGNORECASE)
_RUN = re.compile(rf"[0-9](?:{_GAP}{{0,3}}[0-9]){{8,}}")
_SEVEN = re.compile(rf"[0-9](?:{_GAP}{{0,3}}[0-9]){{6,}}")
_SEPARATORS = " \t\n-.,/\\()_:|*+#~'\""
_PHONE = re.compile(rf"[+(]{{0,2}}[0-9](?:{_GAP}{{0,3}}[0-9]){{6,}}")
_NO_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}([-./])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|.*[,:].*|(?!\+?0).*/.*"
)
"""Dates, amounts and lists of numbers, which are not phone numbers."""
_LIST = re.compile(r",\s+")
_DIGIT_GROUP = re.compile(r"[0-9]+")
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])", re.I
)
_SHORT = re.compile(rf"[0-9](?:{_GAP}{{0,2}}[0-9]){{2,}}")
_PREFIX = re.compile(r"(?<!\w)[A-Za-z]{1,4}[\-/]?\Z")
"""Letters in front of a reference such as AB-1234567."""
_WORD = re.compile(r"\w+")
_NAMES = frozenset(
    _WORD.findall(
        "account acct order customer client member membership policy claim case ticket reference ref invoice "
        "booking reservation confirmation tracking card passport licence license ssn security nhs tel phone "
        "mobile cell call dial number id konto handy compte commande dossier cuenta pedido cliente conto "
        "ordine rekening conta"
    )
)
_STEMS = ("konto", "kunde", "bestell", "rechnung", "vertrag", "telefon", "klant")
_SECRETS = frozenset(_WORD.findall("cvv cvv2 cvc pin otp passcode password code"))
_FILLERS = frozenset(
    _WORD.findall("number no nr num id code is was are ist lautet est es me us on at of the my for please it")
)
_LETTERED_HINT = re.compile(r"[A-Za-z]{2} ?\d\d ?\d\d|[A-Za-z]{6}\d\d|\d{4}|\.\d{3}")


def count_digits(text: str) -> int:
    """Count the characters 0-9 in the text."""
    raw = text.encode("utf-8", "replace")
    return len(raw) - len(raw.translate(None, _DIGITS))


def replace_figures(text: str, digits: int, region: str) -> tuple[str, int]:
    """Replace everything made of digits, the most certain kinds first; skip patterns that need more than `digits`."""
    total = 0
    if digits >= 4 and _LETTERED_HINT.search(text):
        text, total = replace(_IBAN, text, _iban)
        text, found = national_ids.replace_lettered(text, "[ID]")
        total += found
    if digits >= 4 and (text.count(".") >= 3 or text.count(":") >= 4):
        text, found = _IP.subn("[NUMBER]", text)
        total += found
    if digits >= 7 and _SEVEN.search(text):
        text, found = _long_numbers(text, region)
        total += found
    text, found = _named_numbers(text)
    return text, total + found


def _long_numbers(text: str, region: str) -> tuple[str, int]:
    """Replace cards and ids (by check digits), phone numbers (by numbering plan), then other long numbers.

    Phone numbers have seven digits or more, all others nine or more.
    """
    text, cards = replace(_RUN, text, lambda run: _card_or_id(run, region))
    text, phones = replace(_PHONE, text, lambda run: _phone(run, region))
    text, rest = replace(_RUN, text, lambda run: _unknown(run, region))
    return text, cards + phones + rest


def replace(pattern: re.Pattern[str], text: str, kind: Callable[[str], str]) -> tuple[str, int]:
    """Replace each match with the result of `kind`; return the text and the number of placeholders inserted."""
    found = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal found
        old = match.group()
        new = kind(old)
        if new != old:
            found += max(1, new.count("["))
        return new

    return pattern.sub(replaced, text), found


def _iban(candidate: str) -> str:
    """Replace the longest valid IBAN at the start of the candidate; the rest may be the next word."""
    for end in range(len(candidate), 14, -1):
        if candidate[end - 1].isalnum() and iban.is_valid(candidate[:end]):
            return "[IBAN]" + candidate[end:]
    return candidate


def _card_or_id(run: str, region: str) -> str:
    """Replace a payment card, or a national id in its usual grouping, in a run of nine digits or more."""
    groups = list(_DIGIT_GROUP.finditer(run))
    if len(groups) > MOST_GROUPS:
        return "[NUMBER]"
    for first in range(len(groups)):
        digits = ""
        for last in groups[first : first + 19]:
            digits += last.group()
            if len(digits) > 19:
                break
            if len(digits) >= 13 and digits[0] in "23456" and luhn.is_valid(digits):
                return _beside(run[: groups[first].start()]) + "[CARD]" + _beside(run[last.end() :])
    separated = len(groups) > 1 and not run.startswith("0")
    return "[ID]" if separated and national_ids.is_national_id(run, region) else run


def _named_numbers(text: str) -> tuple[str, int]:
    """Replace numbers that are too short to recognise alone, when a word such as "account" stands before them."""
    found = 0
    for match in reversed(list(_SHORT.finditer(text))):
        before = _PREFIX.sub("", text[max(0, match.start() - 40) : match.start()])
        words = _WORD.findall(before.lower())
        if _names(words, long=count_digits(match.group()) >= 6):
            text = text[: match.start()] + "[NUMBER]" + text[match.end() :]
            found += 1
    return text, found


def _names(words: list[str], *, long: bool) -> bool:
    """Whether one of the words before a number names it; filler words ("is", "no.") may stand between them."""
    for word in reversed(words[-6:]):
        if word in _SECRETS:
            return True
        if long and (word in _NAMES or word.startswith(_STEMS)):
            return True
        if word not in _FILLERS:
            return False
    return False


def _beside(rest: str) -> str:
    """Replace the digits next to a card in the same run: an expiry date, a security code, another number."""
    start, end = len(rest) - len(rest.lstrip(_SEPARATORS)), len(rest.rstrip(_SEPARATORS))
    return rest if count_digits(rest) < 3 else f"{rest[:start]}[NUMBER]{rest[end:]}"


def _unknown(run: str, region: str) -> str:
    """Replace nine digits or more that are no phone number; keep a list of short ones such as "10/10, 24/7, 100"."""
    if national_ids.is_national_id(run, region):
        return "[ID]"
    pieces = _LIST.split(run)
    if len(pieces) > 1 and any(sign in run for sign in "/:") and all(count_digits(piece) < 9 for piece in pieces):
        return run
    return "[NUMBER]"


def _phone(candidate: str, region: str) -> str:
    """Replace a run of seven digits or more if it is a valid phone number."""
    if _NO_PHONE.fullmatch(candidate):
        return candidate
    try:
        known = phonenumbers.is_valid_number(phonenumbers.parse(candidate, region))
    except phonenumbers.NumberParseException:
        known = False
    return "[PHONE]" if known else candidate
