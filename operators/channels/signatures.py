"""Remove signatures and disclaimers from a plain-text mail, but keep what customers write below them.

A closing phrase begins a signature only when a name or contacts follow it; a postscript or a sentence ends it. A
doubtful line is kept, because scoring a role or a slogan does less harm than missing a threat.
"""

from __future__ import annotations

import re

LONGEST_CLOSING = 100
"""Most characters of the first line of a signature."""
LONGEST_CONTACT = 70
"""Most characters of a name, role or address."""
MOST_CONTACTS = 8
"""Most lines of a signature below a closing phrase."""
LONGEST_DISCLAIMER = 300
"""Number of characters of a line that are searched for a disclaimer."""
FEWEST_WORDS = 4
"""A line of fewer words is a sentence only when it ends with "!" or "?"."""

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
    r"(?:[,.!\u2013-]{0,2}\s{0,3}(?!for\b)(?:(?-i:[A-ZÀ-Ý])[\w.'\u2019-]{0,20}\s?){0,4})[,.!]{0,2}\s*",
    re.IGNORECASE,
)
"""A closing phrase, alone or with a name; "thanks for nothing" does not match."""
_POSTSCRIPT = re.compile(r"p\.?\s?(?:p\.?\s?)?s\b", re.IGNORECASE)
_TALK = frozenset(["i", "i'm", "i'll", "my", "we", "you", "your", "not", "never", "nobody"])
"""Words that no name or role contains; a line with one of them is a sentence, even in capitals."""
_DISCLAIMER = re.compile(
    r"\W{0,5}(?:(?:confidentiality|legal|privacy|privileged)\b.{0,30}(?:notice|note|statement"
    r"|information)\b|important (?:notice|note|information)\b.{0,120}\b(?:confidential|privileged|recipient)"
    r"|disclaimer\b\W|confidential:"
    r"|caution:|\[?external\b.{0,20}(?:e-?mail|sender|message)|the (?:information"
    r"|contents?) (?:contained )?(?:in|of) this (?:e-?mail|message|communication)"
    r"|this (?:e-?mail|message|communication|transmission)\b.{0,80}\b(?:confidential|privileged"
    r"|intended (?:only|solely)|legally)"
    r"|if you (?:are not the intended|have received this (?:e-?mail|message|communication)? ?in error)"
    r"|please consider the environment"
    r"|(?:this|the) (?:e-?mail|message) originated from outside|virus-free|unsubscribe\b(?! (?:me|us|my)\b)"
    r"|diese (?:e-?mail|nachricht)\b.{0,60}vertraulich|(?:ce|le présent) (?:message|courriel)\b.{0,80}confidentiel"
    r"|este (?:mensaje|correo|e-?mail)\b.{0,80}confiden|questo messaggio\b.{0,80}(?:riservat|confidenzial)"
    r"|(?:dit|deze) (?:bericht|e-?mail)\b.{0,80}vertrouwelijk|esta mensagem\b.{0,80}confidencia)",
    re.IGNORECASE | re.DOTALL,
)


def without_signatures(lines: list[str]) -> list[str]:
    """Remove signatures: a closing phrase or a signature mark, with the names, roles and contacts below it.

    >>> without_signatures(["It broke.", "Regards,", "Jo Berg", "Acme Ltd", "PS I will cancel my account"])
    ['It broke.', 'PS I will cancel my account']
    >>> without_signatures(["No refund.", "Thanks", "But still nothing, I will cancel"])
    ['No refund.', 'Thanks', 'But still nothing, I will cancel']
    """
    kept: list[str] = []
    at = 0
    while at < len(lines):
        end = _end_of_signature(lines, at)
        if end == at:
            kept.append(lines[at])
        at = max(end, at + 1)
    return kept


def _end_of_signature(lines: list[str], at: int) -> int:
    """Index of the first line after the signature that begins at line `at`; `at` itself when none begins there."""
    first = lines[at]
    if len(first) > LONGEST_CLOSING or not first.strip():
        return at
    marked = _SIGNATURE.fullmatch(first) is not None
    if not marked and (at == 0 or not _CLOSING.fullmatch(first)):
        return at
    contacts = 0
    for index in range(at + 1, len(lines)):
        line = lines[index].strip()
        if not line:
            continue
        if _DISCLAIMER.match(line[:LONGEST_DISCLAIMER]):
            break
        # Mail clients insert "-- ": everything after it, slogans too, is the signature.
        if _POSTSCRIPT.match(line) or (first != "-- " and _is_sentence(line)):
            return index if marked or contacts else at
        contacts += 1
        if not marked and (contacts > MOST_CONTACTS or len(line) > LONGEST_CONTACT):
            return at
    return len(lines)


def _is_sentence(line: str) -> bool:
    words = [word for part in line.split() if (word := part.strip(".,;:!?()\"'\u2026")) and _is_word(word)]
    if len(words) < FEWEST_WORDS:
        return len(words) > 1 and line[-1] in "!?"
    return (
        2 * sum(word.islower() for word in words) >= len(words)
        or not _TALK.isdisjoint(word.lower().replace("\u2019", "'") for word in words)
        or (len(line.split()) > 6 and line[-1] in ".!?")
    )


def _is_word(part: str) -> bool:
    """Whether the part has letters only, apart from apostrophes and hyphens; numbers and addresses do not."""
    return part.replace("'", "").replace("\u2019", "").replace("-", "").isalpha()


def without_disclaimers(lines: list[str]) -> list[str]:
    """Remove paragraphs that begin with a legal or technical notice.

    >>> without_disclaimers(["CAUTION: external e-mail.", "Do not click.", "", "It broke."])
    ['', 'It broke.']
    """
    kept: list[str] = []
    inside = False
    for line in lines:
        stripped = line.strip()
        inside = bool(stripped) and (inside or _DISCLAIMER.match(stripped[:LONGEST_DISCLAIMER]) is not None)
        if not inside:
            kept.append(line)
    return kept
