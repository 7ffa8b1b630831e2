"""Email: only what this author wrote this time. Everything quoted was scored when it was written.

HTML goes through inscriptis, with quoted blocks taken out of the tree before; what is left is read line by line
(`quotes.new_text`). Automatic answers say nothing about anybody's mood and are skipped.
"""

from __future__ import annotations

import html
import re

from inscriptis import Inscriptis
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, fromstring

from operators.channels.common import Cleaned, tidy, without_tags
from operators.channels.quotes import new_text
from operators.records import Event

_HTML = re.compile(r"<(?:html|body|div|p|br|table|span|font|blockquote|!doctype)\b[^<>]{0,2000}>", re.IGNORECASE)
_QUOTED_CLASS = re.compile(
    r"\b(?:gmail_quote|gmail_signature|yahoo_quoted|moz-cite-prefix|moz-signature|protonmail_quote)"
)
_QUOTED_ID = re.compile(
    r"^(?:divRplyFwdMsg|appendonsend|mail-editor-reference-message-container|Signature|OLK_SRC_BODY)"
)
_REST_IS_QUOTED = frozenset({"divRplyFwdMsg", "appendonsend"})
_UNSEEN = frozenset({"style", "script", "head", "title", "template"})
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_PARSER = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
_LAYOUT = ParserConfig(css=CSS_PROFILES["relaxed"], display_links=False, display_images=False)

_AUTO_SUBJECT = re.compile(
    r"\s*(?:\[?auto(?:matic(?:ally)?|mated)?[\]: -]*(?:reply|response|answer|generated)|out of (?:the )?office"
    r"|ooo\b|on (?:vacation|annual leave)"
    r"|abwesen(?:heit|d)|automatische (?:antwort|abwesenheit)|nicht im büro|réponse automatique|absen(?:ce"
    r"|t) du bureau|respuesta automática"
    r"|fuera de (?:la )?oficina|risposta automatica|fuori (?:sede|ufficio)|automatisch antwoord|afwezig"
    r"|resposta automática"
    r"|ausência|autosvar|automatiskt svar|automaattinen vastaus|automatyczna odpowiedź|automatická odpověď"
    r"|自動(?:返信|応答)|自动(?:回复|答复)"
    r"|undeliver(?:able|ed)|unzustellbar|delivery (?:status notification|failure)|mail delivery (?:failed"
    r"|subsystem)|returned mail|read:)",
    re.IGNORECASE,
)
_AUTO_BODY = re.compile(
    r"(?:^|[.!,\n]\s{0,3})(?:i am|i'm|i\u2019m|i will be|i'll be) (?:currently |presently "
    r"|now )?(?:out of (?:the )?office|away from (?:the office|my desk|my email)"
    r"|on (?:annual |parental |maternity |sick )?(?:leave|vacation|holiday))\b"
    r"|(?:^|\n)\s{0,3}(?:\*+\s?)?(?:this is an? (?:auto(?:matic(?:ally)?|mated)|auto-generated)"
    r"|please do not reply to this (?:automated )?(?:e-?mail|message))"
    r"|(?:^|\n)\s{0,3}(?:this (?:e-?mail|message) (?:was|is|has been) (?:automatically|auto-?)\s?generated)"
    r"|ich bin (?:derzeit |zurzeit |zur zeit |momentan |aktuell |bis |ab |vom ).{0,60}?(?:nicht im (?:büro"
    r"|haus)|abwesend|außer haus|im urlaub)"
    r"|je suis (?:actuellement |présentement )?(?:absente?|en congés?)\b.{0,40}?(?:jusqu|du |bureau)"
    r"|(?:actualmente )?estoy fuera de la oficina"
    r"|sono (?:attualmente )?fuori (?:ufficio|sede)|ik ben (?:momenteel |tot |van ).{0,60}?(?:afwezig"
    r"|niet (?:aanwezig|op kantoor))"
    r"|jag är (?:för närvarande )?inte på kontoret|estou (?:atualmente )?fora do escritório"
    r"|jestem (?:obecnie )?poza biurem",
    re.IGNORECASE,
)
_AUTO_HINTS = (
    *("out of", "away from", "auto", " leave", "vacation", "holiday", "abwesend", "nicht im", "außer haus"),
    *("im urlaub", "absent", "en congé", "oficina", "fuori ", "afwezig", "aanwezig", "kantoor", "kontoret"),
    *("escritório", "poza biurem"),
)
"""One of these is in every phrase above; most mails have none and are spared the pattern."""


def clean(event: Event) -> Cleaned:
    """The new words of a mail; `attributes` may carry its headers (`subject`, `auto_submitted`, `content_type` ...)."""
    headers = {name.lower().replace("-", "_"): value for name, value in event.attributes.items()}
    if _automatic(headers):
        return Cleaned(text="", skipped="auto_reply")
    text = event.text
    if "html" in headers.get("content_type", "").lower() or ("<" in text and _HTML.search(text)):
        text = from_html(text)
    elif "&" in text:
        text = html.unescape(text)
    text = new_text(text)
    if _sounds_automatic(text[:300]):
        return Cleaned(text="", skipped="auto_reply")
    text = tidy(text)
    if text.isascii() and not any(map(str.isalnum, text)):
        return Cleaned(text="", skipped="quoted_only")
    return Cleaned(text=text)


def _automatic(headers: dict[str, str]) -> bool:
    """What the headers say; RFC 3834 and the older customs."""
    return (
        headers.get("auto_submitted", "no").strip().lower() not in {"no", "", "false"}
        or headers.get("precedence", "").strip().lower() in {"auto_reply", "bulk", "junk"}
        or any(name in headers for name in ("x_autoreply", "x_autorespond", "x_auto_response_suppress"))
        or _AUTO_SUBJECT.match(headers.get("subject", "")) is not None
    )


def _sounds_automatic(beginning: str) -> bool:
    lower = beginning.lower()
    return any(hint in lower for hint in _AUTO_HINTS) and _AUTO_BODY.search(beginning) is not None


def from_html(source: str) -> str:
    """Text of an HTML mail without its quoted parts.

    >>> from_html("<div>Still broken</div><blockquote>old<br>text</blockquote>").strip()
    'Still broken'
    """
    try:
        tree = fromstring(source.encode("utf-8", "replace"), parser=_PARSER)
        _drop_quoted(tree)
        return str(Inscriptis(tree, _LAYOUT).get_text())
    except (etree.LxmlError, ValueError, RecursionError, AssertionError):
        return html.unescape(without_tags(source))  # not a tree at all: take the signs out and keep the words


def _drop_quoted(tree: HtmlElement) -> None:
    for element in list(tree.iter()):
        if element is tree or not isinstance(element.tag, str) or not _is_quoted(element):
            continue
        if element.get("id") in _REST_IS_QUOTED:
            for later in list(element.itersiblings()):
                later.drop_tree()
        if element.getparent() is not None:
            element.drop_tree()


def _is_quoted(element: HtmlElement) -> bool:
    return (
        element.tag in _UNSEEN
        or element.tag == "blockquote"
        or _QUOTED_CLASS.search(element.get("class", "")) is not None
        or _QUOTED_ID.match(element.get("id", "")) is not None
        or _HIDDEN.search(element.get("style", "")) is not None
    )
