"""The new part of a plain-text mail: remove quoted replies and forwarded blocks, then signatures and disclaimers.

The patterns of mail-parser-reply find where a quoted mail begins; they know the announcements of mail clients in
thirteen languages. They run on a few short lines at a time, because they take quadratic time on long lines. Its
signature patterns are not used, because they remove too much customer text ("Thanks," begins a signature).
"""

from __future__ import annotations

import re

from mailparser_reply.constants import MAIL_LANGUAGES
from mailparser_reply.parser import EmailMessage

from operators.channels.signatures import without_disclaimers, without_signatures

LONGEST_HEADER = 300
"""Most characters of a line that announces a quote."""
MOST_HEADERS = 40
"""Most lines of one mail that are tested as a header."""

_HEADER: re.Pattern[str] = EmailMessage(text="", languages=sorted(MAIL_LANGUAGES)).HEADER_REGEX
_WROTE = re.compile(
    r"\s*(?:(?:on|am|le|el|il|op|den|em|w dniu|dnia|dne|pe|il giorno|el día)\b|\d{4}[-./]\d|.{1,80}<[^<>]+@).{3,250}"
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|skrev|escreveu|napisał(?:\(a\)|a)?"
    r"|napsala?(?:\(a\))?|kirjoitti|yazd\u0131"
    r"|geschreven|scrisse|írta|a scris)\b.{0,120}[:\uff1a]\s*",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS_AND_TIME = re.compile(r"(?=.{0,250}[<(][^<>()\s]{1,80}@)(?=.{0,250}\d{1,2}[.:]\d{2}).{10,300}", re.DOTALL)
"""An address and a time of day on a line that ends with a colon: a header in any language."""
_LABEL = re.compile(r"[*> ]{0,4}([^\W\d_][\w ]{0,24}):\s?\*?\s*\S", re.UNICODE)
_FROM = frozenset(
    re.findall(
        r"\w+",
        "from von de da van fra från od lähettäjä kimden expéditeur remitente mittente afzender "
        "от 发件人 差出人 보낸사람",
    )
)
_OPENERS = frozenset("-_=*#bBaAdD")
_SEPARATOR = re.compile(
    r"\s*(?:[-_=*]{2,}\s*(?:original|forwarded|reply|ursprüngliche|weitergeleitete|message d'origine"
    r"|message d\u2019origine|message transféré"
    r"|mensaje (?:original|reenviado)|messaggio (?:originale|inoltrato)|oorspronkelijk|doorgestuurd|mensagem"
    r"|oprindelig|vidaresänt"
    r"|ursprungligt|wiadomość|původní|转发|原始|元の|##).{0,60}"
    r"|begin forwarded message:|anfang der weitergeleiteten.{0,30}"
    r"|début du message (?:transféré|réexpédié).{0,10}|#{2,}.{0,10}(?:reply|type) (?:your reply )?above.{0,40}"
    r"|[_]{10,}|-{20,})\s*",
    re.IGNORECASE,
)


def new_text(text: str) -> str:
    r"""Return the author's own text above, between or below quotes; empty when the whole mail is quoted.

    >>> new_text("It broke again.\n\nOn Mon, 3 Mar 2025 at 10:00, Support <s@x.io> wrote:\n> Try now")
    'It broke again.'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(without_disclaimers(without_signatures(_without_quotes(lines)))).strip()


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    tried = 0
    for at, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith(">"):
            continue
        if stripped[:1] in _OPENERS and _SEPARATOR.fullmatch(stripped[: LONGEST_HEADER + 1]):
            if stripped.strip("_-") or _is_header_block(lines, at + 1):
                break
            continue
        if ":" in stripped or "\uff1a" in stripped:
            tried += 1
            if tried <= MOST_HEADERS and _is_header_block(lines, at):
                break
            height = _announced(kept, stripped) if tried <= MOST_HEADERS else 0
            if height:
                kept = kept[: len(kept) - height + 1]
                if not _quote_follows(lines, at):
                    break
                continue
        kept.append(line)
    return kept


def _announced(kept: list[str], line: str) -> int:
    """Number of lines, ending with this one, that form an announcement "On ... somebody wrote:"; 0 when none do."""
    if line[-1] not in ":\uff1a" or len(line) > LONGEST_HEADER:
        return 0
    block = line
    for height in (1, 2, 3):
        if len(block) > LONGEST_HEADER:
            return 0
        if any(header.fullmatch(block) for header in (_WROTE, _ADDRESS_AND_TIME, _HEADER)):
            return height
        if height > len(kept) or not kept[-height].strip():
            return 0
        block = kept[-height].strip() + "\n" + block
    return 0


def _is_header_block(lines: list[str], at: int) -> bool:
    """Whether a pasted mail header begins at line `at`: lines such as "From: ..." and "Sent: ..." below each other."""
    block = [line.strip()[:LONGEST_HEADER] for line in lines[at : at + 6] if line.strip()][:3]
    labels = [match.group(1).strip().lower() for line in block if (match := _LABEL.match(line))]
    if len(labels) < 2 or not _LABEL.match(block[0]):
        return False
    if len(labels) == 2 and not any(sign == "@" or sign.isdigit() for sign in "".join(block)):
        return False  # two lines with colons alone are no mail header
    return labels[0] in _FROM or _HEADER.match("\n".join(block)) is not None


def _quote_follows(lines: list[str], at: int) -> bool:
    """Whether ">" marks the quote; the lines below a marked quote may then be new text."""
    return next((line.strip().startswith(">") for line in lines[at + 1 :] if line.strip()), False)
