"""The new part of a plain-text mail: quoted replies, forwarded blocks, signatures and disclaimers cut off.

Where another mail begins is told by mail-parser-reply, which knows how clients of thirteen languages announce it.
It is asked about a few short lines at a time, not the whole mail: its patterns take quadratic time on long lines,
and its signatures ("Thanks," opens one) cut too much of what customers write.
"""

from __future__ import annotations

import re

from mailparser_reply.constants import MAIL_LANGUAGES
from mailparser_reply.parser import EmailMessage

LONGEST_CLOSING = 100
"""Characters; a longer line is no signature's first."""
LONGEST_HEADER = 300
"""Characters; a longer line does not announce a quote."""
MOST_HEADERS = 40
"""Lines that are tried as a header, in one mail."""

_HEADER: re.Pattern[str] = EmailMessage(text="", languages=sorted(MAIL_LANGUAGES)).HEADER_REGEX
_WROTE = re.compile(
    r"\s*(?:(?:on|am|le|el|il|op|den|em|w dniu|dnia|dne|pe|il giorno|el día)\b|\d{4}[-./]\d|.{1,80}<[^<>]+@).{3,250}"
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|skrev|escreveu|napisał(?:\(a\)|a)?"
    r"|napsala?(?:\(a\))?|kirjoitti|yazd\u0131"
    r"|geschreven|scrisse|írta|a scris)\b.{0,120}[:\uff1a]\s*",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS_AND_TIME = re.compile(r"(?=.{0,250}[<(][^<>()\s]{1,80}@)(?=.{0,250}\d{1,2}[.:]\d{2}).{10,300}", re.DOTALL)
"""Somebody's address and a time of day on a line that ends with a colon: a header in whatever language."""
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
_SIGNATURE = re.compile(
    r"\s*(?:--\s?|—|__|(?:sent from (?:my|outlook|yahoo|mail|proton|the)|get outlook for|sent via"
    r"|gesendet (?:von|mit)|von meinem .{2,20} gesendet"
    r"|envoyé (?:de|depuis)|enviado (?:desde|do|a partir)|inviato da|verzonden (?:vanaf|met|vanuit)|sendt fra"
    r"|skickat från|wysłan[eo] z"
    r"|odesláno z|从我的).{0,60})\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\s*(?:(?:with |my )?(?:best|kind|kindest|warm|warmest|many thanks and)? ?regards|best wishes"
    r"|all the best|best|cheers|sincerely(?: yours)?|yours"
    r"(?: sincerely| faithfully| truly)?|respectfully|(?:many )?thanks(?: in advance| and regards| again)?"
    r"|thank you(?: in advance)?|thx|rgds|br|cordially"
    r"|mit (?:freundlichen|besten|herzlichen) gr(?:ü|ue)(?:ß|ss)en|(?:viele|beste|liebe|herzliche|freundliche"
    r"|schöne) gr(?:ü|ue)(?:ß|ss)e"
    r"|gru(?:ß|ss)|mfg|lg|vg|danke(?: im voraus)?|hochachtungsvoll|(?:bien )?cordialement"
    r"|(?:sincères )?salutations(?: distinguées)?"
    r"|bien à vous|merci(?: d'avance)?|(?:un )?saludos?(?: cordiales)?|atentamente|cordialmente|gracias"
    r"|atenciosamente|att|obrigad[oa]"
    r"|cordiali saluti|distinti saluti|saluti|grazie|met vriendelijke groet(?:en)?|vriendelijke groet(?:en)?"
    r"|groet(?:en|jes)?|mvg"
    r"|(?:med )?(?:venlig|vennlig|vänlig)a? (?:hilsen|hälsning(?:ar)?)|hilsen|hälsningar|mvh|pozdrawiam"
    r"|z poważaniem|s pozdravem)"
    r"(?:[,.!\u2013-]{0,2}\s{0,3}(?:[A-ZÀ-Ý][\w.'\u2019-]{0,20}\s?){0,4})[,.!]{0,2}\s*",
    re.IGNORECASE,
)
_DISCLAIMER = re.compile(
    r"\W{0,5}(?:(?:confidentiality|legal|privacy|important|privileged)\b.{0,30}(?:notice|note|statement"
    r"|information)\b|disclaimer\b\W|confidential:"
    r"|caution:|\[?external\b.{0,20}(?:e-?mail|sender|message)|the (?:information"
    r"|contents?) (?:contained )?(?:in|of) this (?:e-?mail|message|communication)"
    r"|this (?:e-?mail|message|communication|transmission)\b.{0,80}\b(?:confidential|privileged"
    r"|intended (?:only|solely)|legally)"
    r"|if you (?:are not the intended|have received this (?:e-?mail|message|communication)? ?in error)"
    r"|please consider the environment"
    r"|(?:this|the) (?:e-?mail|message) originated from outside|virus-free|unsubscribe\b"
    r"|diese (?:e-?mail|nachricht)\b.{0,60}vertraulich|(?:ce|le présent) (?:message|courriel)\b.{0,80}confidentiel"
    r"|este (?:mensaje|correo|e-?mail)\b.{0,80}confiden|questo messaggio\b.{0,80}(?:riservat|confidenzial)"
    r"|(?:dit|deze) (?:bericht|e-?mail)\b.{0,80}vertrouwelijk|esta mensagem\b.{0,80}confidencia)",
    re.IGNORECASE | re.DOTALL,
)


def new_text(text: str) -> str:
    r"""What the author wrote above, between or below quotes; empty when all of it is quoted.

    >>> new_text("It broke again.\n\nOn Mon, 3 Mar 2025 at 10:00, Support <s@x.io> wrote:\n> Try now")
    'It broke again.'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_without_disclaimers(_without_signature(_without_quotes(lines)))).strip()


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
    """How many lines, ending with this one, say "On ... somebody wrote:"; 0 when they don't."""
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
    """Whether a pasted mail head begins here: "From: ..." and "Sent: ..." below each other."""
    block = [line.strip()[:LONGEST_HEADER] for line in lines[at : at + 6] if line.strip()][:3]
    labels = [match.group(1).strip().lower() for line in block if (match := _LABEL.match(line))]
    if len(labels) < 2 or not _LABEL.match(block[0]):
        return False
    if len(labels) == 2 and not any(sign == "@" or sign.isdigit() for sign in "".join(block)):
        return False  # two lines with colons are no mail head yet
    return labels[0] in _FROM or _HEADER.match("\n".join(block)) is not None


def _quote_follows(lines: list[str], at: int) -> bool:
    """Whether the quote is marked with ">", so that what is below it may be new again."""
    return next((line.strip().startswith(">") for line in lines[at + 1 :] if line.strip()), False)


def _without_signature(lines: list[str]) -> list[str]:
    for at, line in enumerate(lines):
        if len(line) > LONGEST_CLOSING or not line.strip():
            continue
        if _SIGNATURE.fullmatch(line) or (at > 0 and _CLOSING.fullmatch(line) and _only_contacts(lines[at + 1 :])):
            return lines[:at]
    return lines


def _only_contacts(lines: list[str]) -> bool:
    """A name, a role, a phone number: short lines, none of which is a sentence. Disclaimers may follow."""
    filled = 0
    for line in lines:
        stripped = line.strip()
        if _DISCLAIMER.match(stripped[:LONGEST_HEADER]):
            return True
        if stripped:
            filled += 1
            if filled > 8 or len(stripped) > 70 or (len(stripped.split()) > 6 and stripped[-1] in ".!?"):
                return False
    return True


def _without_disclaimers(lines: list[str]) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in lines:
        stripped = line.strip()
        inside = bool(stripped) and (inside or _DISCLAIMER.match(stripped[:LONGEST_HEADER]) is not None)
        if not inside:
            kept.append(line)
    return kept
