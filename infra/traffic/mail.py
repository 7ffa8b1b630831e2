"""Make e-mails from a customer's words: add quoted text, signature, disclaimer and HTML; also make auto-replies."""

from __future__ import annotations

import html
from random import Random

from infra.traffic.people import Person

CLOSINGS = ("Kind regards,", "Best regards,", "Many thanks,", "Yours sincerely,", "Regards,")
DISCLAIMERS = (
    "This e-mail and any attachment are confidential and intended solely for the addressee. If you have received it in"
    " error, please notify the sender and delete it.",
    "CONFIDENTIALITY NOTICE: The contents of this message may be privileged. Any unauthorised copying or"
    " distribution is prohibited.",
    "Please consider the environment before printing this e-mail.",
)
DEVICES = ("Sent from my iPhone", "Sent from my Galaxy", "Get Outlook for Android")


def letter(rng: Random, words: str, sender: Person, previous: str, brand: str) -> tuple[str, dict[str, str]]:
    """Make a mail from the customer's words; return its text and attributes (`content_type`, `subject`)."""
    parts = [words, "", *_signature(rng, sender)]
    if rng.random() < 0.3:
        parts += ["", rng.choice(DISCLAIMERS)]
    quoted = previous.splitlines() if previous and rng.random() < 0.8 else []
    subject = ("Re: " if previous else "") + rng.choice(("My request", "Your message", "Question", "Reference"))
    if rng.random() < 0.3:
        return _as_html(parts, quoted, brand), {"content_type": "text/html", "subject": subject}
    if quoted:
        parts += ["", f"On Sun, {brand} Customer Care <care@example.com> wrote:", *(f"> {line}" for line in quoted)]
    return "\n".join(parts), {"content_type": "text/plain", "subject": subject}


def auto_reply(words: str, sender: Person) -> tuple[str, dict[str, str]]:
    """Make an automatic answer, marked as RFC 3834 requires."""
    text = f"{words}\n\n{sender.first} {sender.last}"
    return text, {
        "content_type": "text/plain",
        "subject": "Automatic reply: Your message",
        "auto_submitted": "auto-replied",
    }


def _signature(rng: Random, sender: Person) -> list[str]:
    style = rng.random()
    if style < 0.2:
        return [rng.choice(DEVICES)]
    lines = [rng.choice(CLOSINGS), f"{sender.first} {sender.last}"]
    return (
        lines
        if style < 0.5
        else [*lines, "", "-- ", f"{sender.first} {sender.last}", f"Tel. {sender.phone}", sender.mail]
    )


def _as_html(parts: list[str], quoted: list[str], brand: str) -> str:
    body = "".join(f"<p>{html.escape(part)}</p>" if part else "<br>" for part in "\n".join(parts).split("\n"))
    reply = "".join(f"{html.escape(line)}<br>" for line in quoted)
    quote = f'<div class="gmail_quote">On Sun, {brand} wrote:<blockquote>{reply}</blockquote></div>' if quoted else ""
    return f"<html><head><style>p{{margin:0}}</style></head><body>{body}{quote}</body></html>"
