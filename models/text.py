"""One way to clean a message, used when training and when scoring, so that both see the same tokens.

The text keeps its words and their order. Parts that carry no mood (handles, link targets, HTML escapes) become a short
replacement; emoji, which carry mood but are missing from the vocabulary, become words. Personal data is not redacted
here.
"""

import html
import re

import emoji

MAX_CHARACTERS = 4000
"""The middle of a longer text is dropped before any other step: 128 tokens never need more."""

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w.])@\w{1,30}")
_PLACEHOLDER = re.compile(r"[\[<]([A-Z]{2,}(?:_[A-Z]+)*)(?:_\d+)?[\]>]")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPEATED_LETTER = re.compile(r"([A-Za-z])\1{2,}")
_REPEATED_MARK = re.compile(r"([!?,~*_=\-#])\1{2,}")
_DOTS = re.compile(r"\.{3,}|…")
_QUOTES = str.maketrans(
    {
        "\u2019": "'",
        "\u2018": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u00b4": "'",
        "`": "'",
        "\u200b": None,
        "\ufeff": None,
    }
)


def _emoji_words(match: "re.Match[str]") -> str:
    return " " + match.group(1).replace("_", " ").replace("-", " ") + " "


def _placeholder_word(match: "re.Match[str]") -> str:
    """The word that training text has for a placeholder: its name ([EMAIL], [PHONE], [NAME]), or `http` for [URL]."""
    name = match.group(1)
    return "http" if name == "URL" else name.lower().replace("_", " ")


_EMOJI_NAME = re.compile("\x02([^\x02\x03]+)\x03")


def _name_emoji(text: str) -> str:
    """Replace each emoji by its English name; text without any is returned as it is."""
    named = emoji.demojize(text, delimiters=("\x02", "\x03"))
    return _EMOJI_NAME.sub(_emoji_words, named)


def _join_surrogates(text: str) -> str:
    """Join surrogates that were escaped separately; a lone one, which no tokenizer accepts, becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def normalise(text: str) -> str:
    """Return `text` as the tokenizer of the model expects it. Pure.

    >>> normalise("@AcmeHelp  it's DOWN agaaaaain!!!!! 😡 https://t.co/x1 &amp; I'm done")
    "@user it's DOWN agaain!! enraged face http & I'm done"
    >>> normalise("call me on [PHONE_1], see [URL]")
    'call me on phone, see http'
    """
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS // 2]} ... {text[-MAX_CHARACTERS // 2 :]}"
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if "\\" in text:
        text = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), text).replace('\\"', '"').replace("\\n", " ")
    if not text.isascii():
        text = _name_emoji(_join_surrogates(text).translate(_QUOTES))
    # Most messages have none of these, and to look for one character is far cheaper than to search for its pattern.
    if "/" in text or "." in text:
        text = _URL.sub("http", text)
    if "@" in text:
        text = _HANDLE.sub("@user", text)
    if "[" in text or "<" in text:
        text = _PLACEHOLDER.sub(_placeholder_word, text)
    text = _REPEATED_LETTER.sub(r"\1\1", text)
    text = _REPEATED_MARK.sub(r"\1\1", text)
    if ".." in text or "…" in text:
        text = _DOTS.sub("...", text)
    return " ".join(text.split())
