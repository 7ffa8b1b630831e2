"""E-mail: keep only the new text of this mail's author, because quoted text was scored when it was first sent.

Inscriptis turns HTML into text after quoted blocks are removed from the tree; `quotes.new_text` then reads the text
line by line. Automatic answers are skipped, because they say nothing about mood.
"""

from __future__ import annotations

import html
import re

from inscriptis import Inscriptis
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, fromstring

from operators.channels.automatic import declared, is_notice, sounds_automatic
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


def clean(event: Event) -> Cleaned:
    """Return the new text of a mail; `attributes` may hold headers (`subject`, `auto_submitted`, `content_type`)."""
    headers = {name.lower().replace("-", "_"): value for name, value in event.attributes.items()}
    subject = headers.get("subject", "")
    automatic = declared(headers)
    if automatic or (automatic is None and is_notice(subject)):
        return Cleaned(text="", skipped="auto_reply")
    text = event.text
    if "html" in headers.get("content_type", "").lower() or ("<" in text and _HTML.search(text)):
        text = from_html(text)
    elif "&" in text:
        text = html.unescape(text)
    text = new_text(text)
    if automatic is None and sounds_automatic(text, subject, hinted="x_auto_response_suppress" in headers):
        return Cleaned(text="", skipped="auto_reply")
    text = tidy(text)
    if text.isascii() and not any(map(str.isalnum, text)):
        return Cleaned(text="", skipped="quoted_only")
    return Cleaned(text=text)


def from_html(source: str) -> str:
    """Return the text of an HTML mail without its quoted parts.

    >>> from_html("<div>Still broken</div><blockquote>old<br>text</blockquote>").strip()
    'Still broken'
    """
    try:
        tree = fromstring(source.encode("utf-8", "replace"), parser=_PARSER)
        _drop_quoted(tree)
        return str(Inscriptis(tree, _LAYOUT).get_text())
    except (etree.LxmlError, ValueError, RecursionError, AssertionError):
        return html.unescape(without_tags(source))  # not parsable: remove tags and keep the words


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
