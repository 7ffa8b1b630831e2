"""Takes personal data out of text; the only producer of `RedactedText`.

What is found becomes a typed placeholder: [CARD] [IBAN] [PHONE] [EMAIL] [ID] [NUMBER] [URL]. Validators decide
what a number is (Luhn, IBAN check digits, numbering plans, national check digits); what no validator knows and has
nine digits or more is a [NUMBER] all the same, so a long number never survives, whatever it was. Six digits are
enough behind a word like "account" or "order", three behind "CVV" or "PIN". Names, postal
addresses and dates of birth are not found: no library at hand finds them well enough to promise it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import phonenumbers
from stdnum import iban, luhn

from operators import national_ids, spoken
from operators.records import RedactedText

MOST_GROUPS = 40
"""Groups of digits in a run that is looked into; a longer one is no number of anybody and goes as a whole."""

_GAP = r"[\s\-\u2010-\u2015\u2212.,/\\()_:|*+#•·~'\"]"
"""What people put between the digits of one number."""

_SIGNS = b"0123456789@="
_WIDE_SIGNS = re.compile("[\\d\uff20\ufe6b\uff1d²³¹⁰-⁹₀-₉①-⓿❶-➓]")
_DIGITS = b"0123456789"
_SITES = "com|org|net|io|me|app|co|info|biz|us|uk|de|fr|es|it|nl|eu|in|ca|au|ch|at|be"
_SITE_PATH = re.compile(rf"\.(?:{_SITES})/\w", re.IGNORECASE)
_PASSWORD = re.compile(
    r"\b((?:password|passcode|passphrase|pwd|passwort|kennwort|mot de passe|contraseña)"
    r"(?:\s(?:is|was|ist|est|es))?\s?[:=]?\s?)(?=\S{0,40}\d)[^\s\[]{4,64}",
    re.IGNORECASE,
)
_URL = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,20}://|(?<![\w@.])www\.)[^\s<>\"'\]]{1,4000}"
    r"|(?<![\w@.])(?:[a-z0-9\-]{1,63}\.){1,5}[a-z]{2,12}/[^\s<>\"'\]?]{0,500}\?[^\s<>\"'\]]{0,2000}=[^\s<>\"'\]]{0,2000}"
    rf"|(?<![\w@.])(?:[a-z0-9\-]{{1,63}}\.){{1,5}}(?:{_SITES})/[^\s<>\"'\]]{{1,2000}}"
    r"|(?<!\w)(?:tel|sms|mailto|callto):[^\s<>\"'\]]{3,200}",
    re.IGNORECASE,
)
_BARE_URL = re.compile(r"(?:https?://|www\.)[a-z0-9.\-]+[a-z]/?[.,;:!?)]*", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+%\-])[\w.+%'\-]{1,64}\s?@\s?(?:[\w\-]{1,63}\.){1,8}[^\W\d_][\w\-]{1,62}")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ \-.]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.IGNORECASE)
_RUN = re.compile(rf"[0-9](?:{_GAP}{{0,3}}[0-9]){{8,}}")
_SEVEN = re.compile(rf"[0-9](?:{_GAP}{{0,3}}[0-9]){{6,}}")
_SEPARATORS = " \t\n-.,/\\()_:|*+#~'\""
_PHONE = re.compile(rf"[+(]{{0,2}}[0-9](?:{_GAP}{{0,3}}[0-9]){{6,}}")
_NO_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}([-./])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|.*[,:].*|(?!\+?0).*/.*"
)
"""Dates, amounts, and lists of numbers."""
_LIST = re.compile(r",\s+")
_DIGIT_GROUP = re.compile(r"[0-9]+")
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])", re.I
)
_TOKEN = re.compile(r"(?<![\w\-])(?=[\w\-]{0,40}\d)(?=[\w\-]{0,40}[A-Za-z])[\w\-]{24,}")
_SHORT = re.compile(rf"[0-9](?:{_GAP}{{0,2}}[0-9]){{2,}}")
_PREFIX = re.compile(r"(?<!\w)[A-Za-z]{1,4}[\-/]?\Z")
"""Letters of a reference such as AB-1234567."""
_WORD = re.compile(r"\w+")
_NAMES = frozenset(
    _WORD.findall(
        "account acct order customer client member membership policy claim case ticket reference ref invoice "
        "booking reservation confirmation tracking card passport licence license ssn security nhs tel phone "
        "mobile cell call dial number id konto handy compte commande dossier cuenta pedido cliente conto "
        "ordine rekening conta "
    )
)
_STEMS = ("konto", "kunde", "bestell", "rechnung", "vertrag", "telefon", "klant")
_SECRETS = frozenset(_WORD.findall("cvv cvv2 cvc pin otp passcode password code "))
_FILLERS = frozenset(
    _WORD.findall("number no nr num id code is was are ist lautet est es me us on at of the my for please it ")
)
_LETTERED_HINT = re.compile(r"[A-Za-z]{2} ?\d\d ?\d\d|[A-Za-z]{6}\d\d|\d{4}|\.\d{3}")
_KEYCAP = re.compile("(?<=[0-9])\ufe0f?\u20e3")
_INVISIBLE = re.compile("(?<=\\d)[\u00ad\u200b-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]+(?=\\W?\\d)")


def redact(text: str, region: str = "US", *, dictated: bool = True) -> tuple[RedactedText, int]:
    """Return the text without personal data, and how many placeholders went in. Idempotent.

    `region` (two letters, ISO 3166) reads phone numbers without a country prefix and picks national validators.
    `dictated` also looks for numbers spoken in words, which only transcripts have.

    >>> redact("Call +44 20 7946 0018 or mail jo@example.org, card 4111 1111 1111 1111!")
    ('Call [PHONE] or mail [EMAIL], card [CARD]!', 3)
    >>> redact("I waited 3 hours")
    ('I waited 3 hours', 0)
    """
    if not _suspicious(text) and not (dictated and spoken.may_hold_number(text)):
        return RedactedText(text), 0
    if not text.isascii():
        text = _plain_digits(text)
    total = 0
    # A placeholder may bring together what it stood between, so look again until nothing is found. Each round
    # takes digits or an address away; it ends.
    while True:
        text, found = _once(text, region, dictated)
        if not found:
            return RedactedText(text), total
        total += found


def _suspicious(text: str) -> bool:
    """Whether there is a digit or a sign of an address; false for most texts, in a microsecond."""
    text = text.replace("@user ", "")  # the stand-in for handles: no address, because no dot follows
    if text.isascii():
        if len(text.encode().translate(None, _SIGNS)) != len(text):
            return True
    elif "@" in text or "=" in text or _WIDE_SIGNS.search(text):
        return True
    if "/" in text and ("://" in text or _SITE_PATH.search(text)):
        return True
    return "www." in text or "WWW." in text or " dot " in text or "(dot)" in text or "mailto:" in text


def _plain_digits(text: str) -> str:
    """Digits of all scripts as 0-9, wide signs as narrow ones, nothing invisible inside a number."""
    plain = "".join(sign if sign.isascii() else _plain(sign) for sign in text)
    return _INVISIBLE.sub("", _KEYCAP.sub("", plain))


@lru_cache(maxsize=4096)
def _plain(sign: str) -> str:
    value = unicodedata.digit(sign, None)
    if value is not None:
        return str(value)
    narrow = unicodedata.normalize("NFKC", sign)
    return narrow if sign != narrow and narrow.isascii() and len(narrow) <= 2 and not narrow.isspace() else sign


def _once(text: str, region: str, dictated: bool) -> tuple[str, int]:
    total = 0
    if "dot" in text:
        text, total = spoken.replace_addresses(text, "[EMAIL]")
    if ":" in text or "/" in text or "=" in text or "ww." in text.lower():
        text, found = _replace(_URL, text, _url)
        total += found
    if "@" in text:
        text, found = _EMAIL.subn("[EMAIL]", text)
        total += found
    digits = _count_digits(text)
    if digits and len(text) >= 10:
        text, found = _secrets(text)
        total += found
    if digits >= 3:
        text, found = _numbers(text, digits, region)
        total += found
    if dictated and spoken.may_hold_number(text):
        text, found = spoken.replace_numbers(text, "[NUMBER]")
        total += found
    return text, total


def _secrets(text: str) -> tuple[str, int]:
    """Keys, tokens, UUIDs and passwords: long words of letters and digits, or what is called so."""
    text, passwords = _PASSWORD.subn(r"\1[NUMBER]", text)
    if max(map(len, text.split()), default=0) < 24:
        return text, passwords
    text, tokens = _TOKEN.subn("[NUMBER]", text)
    return text, passwords + tokens


def _count_digits(text: str) -> int:
    raw = text.encode("utf-8", "replace")
    return len(raw) - len(raw.translate(None, _DIGITS))


def _numbers(text: str, digits: int, region: str) -> tuple[str, int]:
    """All that is made of digits, the surest kinds first. Patterns that need more digits than there are rest."""
    total = 0
    if digits >= 4 and _LETTERED_HINT.search(text):
        text, total = _replace(_IBAN, text, _iban)
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
    """Seven digits or more: cards and ids by check digits, phones by numbering plan, the rest for its length."""
    text, cards = _replace(_RUN, text, lambda run: _card_or_id(run, region))
    text, phones = _replace(_PHONE, text, lambda run: _phone(run, region))
    text, rest = _replace(_RUN, text, lambda run: _unknown(run, region))
    return text, cards + phones + rest


def _replace(pattern: re.Pattern[str], text: str, kind: Callable[[str], str]) -> tuple[str, int]:
    """Replace each match by what `kind` makes of it; a match given back unchanged does not count."""
    found = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal found
        old = match.group()
        new = kind(old)
        if new != old:
            found += max(1, new.count("["))
        return new

    return pattern.sub(replaced, text), found


def _url(url: str) -> str:
    """An address of a site tells nothing of a person; a path, a query or a user name may."""
    if _BARE_URL.fullmatch(url):
        return url
    end = len(url.rstrip(".,;:!?)"))
    return "[URL]" + url[end:]


def _iban(candidate: str) -> str:
    """The longest valid IBAN that the candidate begins with: what follows may be the next word."""
    for end in range(len(candidate), 14, -1):
        if candidate[end - 1].isalnum() and iban.is_valid(candidate[:end]):
            return "[IBAN]" + candidate[end:]
    return candidate


def _card_or_id(run: str, region: str) -> str:
    """A run of nine digits or more: find a payment card in it, or a national id in its usual grouping."""
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
    """Numbers too short to be told by themselves, behind a word that says what they are."""
    found = 0
    for match in reversed(list(_SHORT.finditer(text))):
        before = _PREFIX.sub("", text[max(0, match.start() - 40) : match.start()])
        words = _WORD.findall(before.lower())
        if _names(words, long=_count_digits(match.group()) >= 6):
            text = text[: match.start()] + "[NUMBER]" + text[match.end() :]
            found += 1
    return text, found


def _names(words: list[str], *, long: bool) -> bool:
    """Whether the words before a number name it; fillers ("is", "no.") may stand between."""
    for word in reversed(words[-6:]):
        if word in _SECRETS:
            return True
        if long and (word in _NAMES or word.startswith(_STEMS)):
            return True
        if word not in _FILLERS:
            return False
    return False


def _beside(rest: str) -> str:
    """What stood beside a card in one run with it: an expiry date, a security code, another number."""
    start, end = len(rest) - len(rest.lstrip(_SEPARATORS)), len(rest.rstrip(_SEPARATORS))
    return rest if _count_digits(rest) < 3 else f"{rest[:start]}[NUMBER]{rest[end:]}"


def _unknown(run: str, region: str) -> str:
    """Nine digits or more that no numbering plan knows. "10/10, 24/7, 100" are several numbers, not one."""
    if national_ids.is_national_id(run, region):
        return "[ID]"
    pieces = _LIST.split(run)
    if len(pieces) > 1 and any(sign in run for sign in "/:") and all(_count_digits(piece) < 9 for piece in pieces):
        return run
    return "[NUMBER]"


def _phone(candidate: str, region: str) -> str:
    """A run of seven digits or more, if a numbering plan knows it."""
    if _NO_PHONE.fullmatch(candidate):
        return candidate
    try:
        known = phonenumbers.is_valid_number(phonenumbers.parse(candidate, region))
    except phonenumbers.NumberParseException:
        known = False
    return "[PHONE]" if known else candidate
