"""Remove personal data from text; only this module makes `RedactedText`.

Each finding becomes a typed placeholder: [CARD] [IBAN] [PHONE] [EMAIL] [ID] [NUMBER] [URL]. Validators decide the
type of a number (Luhn, IBAN check digits, numbering plans, national check digits). A number that no validator accepts
becomes [NUMBER] from nine digits on, so that no long number survives; after a word like "account" or "order" from six
digits on, after "CVV" or "PIN" from three. Names, postal addresses and dates of birth are not found, because no
available library finds them reliably enough.
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
"""Candidates. One that begins with a host name, like "and.or/whatever", is replaced only if `_TELLING` matches it."""
_TELLING = re.compile(
    rf"://|\bwww\.|^(?:tel|sms|mailto|callto):|\.(?:{_SITES})(?::\d{{1,5}})?/|\?.*="
    r"|[/?#&=](?=[a-z_\-]*\d)(?=[\d_\-]*[a-z])[\w\-]{8}",
    re.IGNORECASE,
)
"""A known scheme or top-level domain, a query, or a token of at least eight characters with letters and digits."""
_BARE_URL = re.compile(r"(?:https?://|www\.)[a-z0-9.\-]+[a-z]/?[.,;:!?)]*", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?:(?<![\w.+%\-])[\w.+%'\-]{1,64}\s?@\s?|[\"\u201c][^\"\u201c\u201d\n]{1,64}[\"\u201d]@)"
    r"(?:[\w\-]{1,63}\.){1,8}[^\W\d_][\w\-]{1,62}"
)
_TOKEN = re.compile(r"(?<![\w\-])(?=[\w\-]{0,40}\d)(?=[\w\-]{0,40}[A-Za-z])[\w\-]{24,}")
_KEYCAP = re.compile("(?<=[0-9])\ufe0f?\u20e3")
_INVISIBLE = re.compile("(?<=\\d)[\u00ad\u200b-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]+(?=\\W?\\d)")


def redact(text: str, region: str = "US", *, dictated: bool = True) -> tuple[RedactedText, int]:
    """Return the text without personal data, and the number of placeholders inserted. Idempotent.

    `region` (two letters, ISO 3166) is the country of phone numbers without a prefix and selects national validators.
    With `dictated`, numbers spoken in words are replaced too; only transcripts have them.

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
    # A replacement can turn its neighbours into a new match, so repeat until nothing is found. The loop ends,
    # because each round removes digits or an address.
    while True:
        text, found = _once(text, region, dictated)
        if not found:
            return RedactedText(text), total
        total += found


def _suspicious(text: str) -> bool:
    """Whether the text has a digit or a mark of an address; takes a microsecond and is false for most texts."""
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
    text = text.replace("@user ", "")  # the placeholder for handles is no address, because no dot follows
    if text.isascii():
        if len(text.encode().translate(None, _SIGNS)) != len(text):
            return True
    elif "@" in text or "=" in text or _WIDE_SIGNS.search(text):
        return True
    return spoken.is_bracketed(text)


def _plain_digits(text: str) -> str:
    """Write digits of all scripts as 0-9 and wide characters as narrow ones; drop invisible ones inside numbers."""
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
    """Replace passwords (words after "password", "pwd" ...), and keys, tokens and UUIDs (24 characters or more)."""
    text, passwords = _PASSWORD.subn(r"\1[NUMBER]", text)
    if max(map(len, text.split()), default=0) < 24:
        return text, passwords
    text, tokens = _TOKEN.subn("[NUMBER]", text)
    return text, passwords + tokens


def _url(url: str) -> str:
    """Keep the bare address of a site, which is not personal; replace one with a path, a query or a user name."""
    if _BARE_URL.fullmatch(url) or not _TELLING.search(url):
        return url
    end = len(url.rstrip(".,;:!?)"))
    return "[URL]" + url[end:]
