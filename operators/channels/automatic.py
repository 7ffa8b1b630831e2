"""Recognise automatic answers of mail systems: notices of absence, receipts, bounces. They say nothing about mood.

A mail that is recognised as automatic is not scored, and missing an angry mail is far worse than scoring a notice. So
the evidence must be a header, a subject that only mail systems write, or a text about nothing else.
"""

from __future__ import annotations

import re

BEGINNING = 300
"""Number of characters at the start of a notice in which it says what it is."""
LONGEST = 2000
"""Most characters of a notice; a longer mail is none."""
LONGEST_NAME = 3
"""Most words of a clause that may be a name."""

_REPLY = (
    r"auto(?:matic(?:ally)?|mated)?[ -]?(?:reply|response|answer)|out of (?:the )?office|ooo"
    r"|abwesenheit(?:snotiz|snachricht|smeldung)?|automatische (?:antwort|abwesenheitsnotiz)|nicht im büro"
    r"|réponse automatique|absen(?:ce|t) du bureau|respuesta automática|fuera de (?:la )?oficina"
    r"|risposta automatica|fuori (?:sede|ufficio)|automatisch antwoord|afwezig(?:heid)?|resposta automática|ausência"
    r"|autosvar|automatiskt svar|automaattinen vastaus|automatyczna odpowiedź|automatická odpověď"
    r"|自動(?:返信|応答)|自动(?:回复|答复)"
)
_NOTICE_SUBJECT = re.compile(
    rf"\s*(?:\[(?:{_REPLY})\]|(?:{_REPLY})\s*(?:[:\uff1a]|\Z)|auto:\s*(?:re|aw)\s*:|(?:undeliverable|unzustellbar)\s*:"
    r"|delivery status notification\b|undelivered mail returned to sender"
    r"|mail delivery failed: returning message to sender|returned mail: see transcript)",
    re.IGNORECASE,
)
"""Subjects of mail systems; no complaint begins like this."""
_SUBJECT = re.compile(rf"\s*\[?(?:{_REPLY}|auto(?:mat\w+)?|on (?:vacation|annual leave)|abwesend)\b", re.IGNORECASE)
_BOUNCED_SUBJECT = re.compile(
    r"\s*(?:undeliver(?:able|ed)|unzustellbar|delivery failure|mail delivery (?:failed|subsystem)|returned mail|read:)",
    re.IGNORECASE,
)
_BOUNCED = re.compile(
    r"\byour (?:message|e-?mail)\b.{0,200}?\b(?:(?:could|can|was|has)(?: not|n['\u2019]t)(?: be| been)? delivered"
    r"|was read\b)|this is the mail (?:system|delivery)|mail delivery (?:software|system|subsystem)"
    r"|delivery (?:to the following|has failed to these)|could not be delivered to (?:one or more|the following)"
    r"|following address(?:es)? (?:failed|had)|returning message to sender"
    r"|\b(?:ihre|diese) (?:nachricht|e-?mail)\b.{0,200}?nicht zugestellt",
    re.IGNORECASE | re.DOTALL,
)

_I_AM = r"\b(?:i am|i['\u2019]m|i will be|i['\u2019]ll be) (?:currently |presently |now )?"
_AWAY = (
    _I_AM + r"(?:out of (?:the )?office|away from (?:the office|my desk|my email))\b"
    r"|\bich bin (?:derzeit |zurzeit |zur zeit |momentan |aktuell |bis |ab |vom ).{0,60}?(?:nicht im (?:büro|haus)"
    r"|abwesend|außer haus)"
    r"|\bje suis (?:actuellement |présentement )?absente?\b.{0,40}?(?:jusqu|du |bureau)"
    r"|\bestoy fuera de la oficina|\bsono (?:attualmente )?fuori (?:ufficio|sede)"
    r"|\bik ben (?:momenteel |tot |van ).{0,60}?(?:afwezig|niet (?:aanwezig|op kantoor))"
    r"|\bjag är (?:för närvarande )?inte på kontoret|\bestou (?:atualmente )?fora do escritório"
    r"|\bjestem (?:obecnie )?poza biurem"
)
_LEAVE = (
    _I_AM + r"on (?:annual |parental |maternity |paternity |sick )?(?:leave|vacation|holiday)\b"
    r"|\bich bin (?:derzeit |zurzeit |zur zeit |momentan |aktuell |bis |ab |vom ).{0,60}?im urlaub"
    r"|\bje suis (?:actuellement |présentement )?en congés?\b"
)
"""Customers write this too, so a notice must also say when the author is back."""
_DAYS = r"\d|mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|june?\b|july?\b|aug|sep|oct|nov|dec|next|tomorrow"
_TAGE = r"\d|mo|di|mi|do|fr|sa|so|jan|feb|mär|apr|mai|jun|jul|aug|sep|okt|nov|dez"
_BACK = (
    rf"\b(?:until|till|through) (?:the )?(?:{_DAYS}|further notice|after|then)|\b(?:be|am) back\b"
    rf"|\b(?:until|when|upon|after|on) (?:i |my )?return\b|\b(?:i will return|returning) (?:on|to|{_DAYS})"
    r"|\b(?:limited|no|intermittent) access\b"
    rf"|\b(?:bis|ab) (?:zum |dem |einschließlich )?(?:{_TAGE})|\bwieder (?:da|erreichbar|im büro)\b|\bzurück\b"
    r"|\bjusqu|\b(?:mon|de) retour\b|\bhasta el\b|\bfino al\b|\btot en met\b"
)
_MACHINE = (
    r"\bthis (?:is|was) an? (?:automatic(?:ally)?|automated|auto)[ -]?(?:generated )?"
    r"(?:reply|response|answer|message|e-?mail|notification)\b"
    r"|\bplease do not reply to this (?:automated )?(?:e-?mail|message)\b"
    r"|\bthis (?:e-?mail|message) (?:was|is|has been) (?:automatically|auto-?)\s?generated\b"
)
_START = r"(?:^|[.!,\n]\s{0,3})(?:\*+\s?)?"
_NOTICE = re.compile(f"{_START}(?:{_AWAY}|{_MACHINE})", re.IGNORECASE)
_ON_LEAVE = re.compile(f"{_START}(?:{_LEAVE})", re.IGNORECASE)
_UNTIL = re.compile(_BACK, re.IGNORECASE)
_ABOUT = re.compile(
    f"{_AWAY}|{_LEAVE}|{_BACK}|{_MACHINE}"
    r"|^(?:dear|hello|hi|good (?:morning|afternoon|day)|hallo|guten tag|sehr geehrte|bonjour|hola|buongiorno)\b"
    r"|\bthank(?:s| you) for (?:your|contacting|writing)|\bpatience\b|\bhappy holidays\b|\bhave a (?:nice|good)\b"
    r"|\bout of (?:the )?office\b|\bin my absence\b|\bmeantime\b|\b(?:un)?able to (?:reply|respond|answer|read)\b"
    r"|\b(?:i|we)(?:['\u2019]ll| will| may)(?: not)? (?:reply|respond|answer|get back|read|return|be (?:away|out))\b"
    r"|\bwill get back to you\b|\byour (?:message|e-?mail|mail|request|enquiry|inquiry|ticket|case)\b"
    r"|\bwe (?:have )?received\b|\b(?:for|in) (?:all |any )?(?:urgent|emergenc|immediate|other)"
    r"|\bif (?:it is|it's|this is|you (?:need|require|have))\b|\bplease do not reply\b"
    r"|(?:^|\bplease |\bcan )(?:contact|call|reach|e-?mail|write to)\b(?! (?:me|us)\b)"
    r"|\b(?:nicht im büro|abwesend|wenden sie sich|vertretung|ihre (?:nachricht|e-?mail|anfrage)|dringenden fällen)\b"
    r"|\bje (?:vous )?répondrai\b|\bvotre (?:message|courriel|e-?mail)\b|\ben cas d['\u2019]urgence\b",
    re.IGNORECASE,
)
"""Topics of notices."""
_CLAUSES = re.compile(r"[.!?;](?=\s|$)|,\s|\n|\s(?:and|but|und|aber|et|mais|y|pero|maar)\s", re.IGNORECASE)
_HINTS = (
    *("out of", "away from", "auto", " leave", "vacation", "holiday", "not reply", "abwesend", "nicht im"),
    *("außer haus", "im urlaub", "absent", "en congé", "oficina", "fuori ", "afwezig", "aanwezig", "kantoor"),
    *("kontoret", "escritório", "poza biurem"),
)
"""Each phrase of a notice holds one of these; most mails hold none, so the slower patterns need not run on them."""


def declared(headers: dict[str, str]) -> bool | None:
    """Whether the headers say that a machine wrote the mail (RFC 3834 and older headers); None when they say nothing.

    >>> declared({"auto_submitted": "auto-replied"}), declared({"precedence": "list"}), declared({"subject": "Help"})
    (True, False, None)
    """
    submitted = headers.get("auto_submitted", "").partition(";")[0].strip().lower()
    if submitted:
        return submitted not in {"no", "false"}
    if "x_autoreply" in headers or "x_autorespond" in headers:
        return True
    precedence = headers.get("precedence", "").strip().lower()
    return precedence in {"auto_reply", "bulk", "junk"} if precedence else None


def is_notice(subject: str) -> bool:
    """Whether the subject alone shows an automatic answer.

    >>> is_notice("Automatic reply: your invoice"), is_notice("Automatic reply is all I get")
    (True, False)
    """
    return _NOTICE_SUBJECT.match(subject) is not None


def sounds_automatic(text: str, subject: str, *, hinted: bool = False) -> bool:
    """Whether the text, with the help of the subject or another hint (`hinted`), shows an automatic answer.

    >>> sounds_automatic("I am on holiday until 5 May. Please contact Jo.", "")
    True
    >>> sounds_automatic("I am on holiday until 5 May and my card was declined.", "")
    False
    """
    if _BOUNCED_SUBJECT.match(subject) and _BOUNCED.search(text[:LONGEST]):
        return True
    beginning = text[:BEGINNING]
    lower = beginning.lower()
    hinted = hinted or _SUBJECT.match(subject) is not None
    if len(text) > LONGEST or not (hinted or any(hint in lower for hint in _HINTS)):
        return False
    leave, back = _ON_LEAVE.search(beginning), _UNTIL.search(beginning)
    found = (leave and back) or (hinted and (leave or back)) or _NOTICE.search(beginning)
    return found is not None and _says_nothing_else(text)


def _says_nothing_else(text: str) -> bool:
    """Whether every clause of the text is a topic of notices or a name."""
    return all(_ABOUT.search(clause) or _is_name(clause) for part in _CLAUSES.split(text) if (clause := part.strip()))


def _is_name(clause: str) -> bool:
    words = [word for word in clause.split() if word.isalpha()]
    return len(words) <= LONGEST_NAME and all(word[0].isupper() and not word[1:].isupper() for word in words)
