"""Takes personal data out of text; the only producer of `RedactedText`.

What is found becomes a typed placeholder: [CARD] [IBAN] [PHONE] [EMAIL] [ID] [NUMBER] [URL]. Validators decide
what a number is (Luhn, IBAN check digits, numbering plans, national check digits); what no validator knows and has
nine digits or more is a [NUMBER] all the same, so a long number never survives, whatever it was. Six digits are
enough behind a word like "account" or "order", three behind "CVV" or "PIN". Names, postal addresses and dates of
birth are not found: no library at hand finds them well enough to promise it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from operators import figures, spoken
from operators.records import RedactedText

_SIGNS = b"0123456789@="
_SIGNS_AND_BRACKETS = _SIGNS + b"(["
_WIDE_SIGNS = re.compile("[\\d\uff20\ufe6b\uff1d²³¹⁰-⁹₀-₉①-⓿❶-➓]")
_SITES = "com|org|net|io|me|app|co|info|biz|us|uk|de|fr|es|it|nl|eu|in|ca|au|ch|at|be"
_SITE_PATH = re.compile(rf"\.(?:{_SITES})/\w", re.IGNORECASE)
_PASSWORD = re.compile(
    r"\b((?:password|passcode|passphrase|pwd|passwort|kennwort|mot de passe|contraseña)"
    r"(?:\s(?:is|was|ist|est|es))?\s?[:=]?\s?)(?=\S{0,40}\d)[^\s\[]{4,64}",
    re.IGNORECASE,
)
_URL = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,20}://|(?<![\w@.])www\.)[^\s<>\"'\]]{1,4000}"
    r"|(?<![\w@.])(?:[\w\-]{1,63}\.){1,5}[^\W\d_]{2,24}(?::\d{1,5})?/[^\s<>\"'\]]{1,2000}"
    r"|(?<!\w)(?:tel|sms|mailto|callto):[^\s<>\"'\]]{3,200}",
    re.IGNORECASE,
)
"""Candidates; `_TELLING` has the last word on those that begin with the name of a host, like "and.or/whatever"."""
_TELLING = re.compile(
    rf"://|\bwww\.|^(?:tel|sms|mailto|callto):|\.(?:{_SITES})(?::\d{{1,5}})?/|\?.*="
    r"|[/?#&=](?=[a-z_\-]*\d)(?=[\d_\-]*[a-z])[\w\-]{8}",
    re.IGNORECASE,
)
"""A known kind of address or end of a host's name, a query, or a token: eight letters and digits or more."""
_BARE_URL = re.compile(r"(?:https?://|www\.)[a-z0-9.\-]+[a-z]/?[.,;:!?)]*", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?:(?<![\w.+%\-])[\w.+%'\-]{1,64}\s?@\s?|[\"\u201c][^\"\u201c\u201d\n]{1,64}[\"\u201d]@)"
    r"(?:[\w\-]{1,63}\.){1,8}[^\W\d_][\w\-]{1,62}"
)
_TOKEN = re.compile(r"(?<![\w\-])(?=[\w\-]{0,40}\d)(?=[\w\-]{0,40}[A-Za-z])[\w\-]{24,}")
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
    if text.isascii():
        if len(text.encode().translate(None, _SIGNS_AND_BRACKETS)) != len(text) and _signed(text):
            return True
    elif _signed(text):
        return True
    if "/" in text and ("://" in text or _SITE_PATH.search(text)):
        return True
    lower = text.lower()
    return "www." in lower or " dot " in lower or "mailto:" in lower


def _signed(text: str) -> bool:
    text = text.replace("@user ", "")  # the stand-in for handles: no address, because no dot follows
    if text.isascii():
        if len(text.encode().translate(None, _SIGNS)) != len(text):
            return True
    elif "@" in text or "=" in text or _WIDE_SIGNS.search(text):
        return True
    return spoken.is_bracketed(text)


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
    if "dot" in text.lower() or spoken.is_bracketed(text):
        text, total = spoken.replace_addresses(text, "[EMAIL]")
    if ":" in text or "/" in text or "=" in text or "ww." in text.lower():
        text, found = figures.replace(_URL, text, _url)
        total += found
    if "@" in text:
        text, found = _EMAIL.subn("[EMAIL]", text)
        total += found
    digits = figures.count_digits(text)
    if digits and len(text) >= 10:
        text, found = _secrets(text)
        total += found
    if digits >= 3:
        text, found = figures.replace_figures(text, digits, region)
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


def _url(url: str) -> str:
    """An address of a site tells nothing of a person; a path, a query or a user name may."""
    if _BARE_URL.fullmatch(url) or not _TELLING.search(url):
        return url
    end = len(url.rstrip(".,;:!?)"))
    return "[URL]" + url[end:]
