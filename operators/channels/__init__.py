"""Clean an event's text: from what the platform delivers to the words that the author wrote. One module per channel.

>>> from datetime import datetime, timezone
>>> from operators.records import Event
>>> event = Event(
...     schema="undertone.event/1",
...     event_id="e",
...     tenant="t",
...     channel="social",
...     interaction_id="i",
...     event_time=datetime(2026, 1, 1, tzinfo=timezone.utc),
...     text="@Acme #NotHappy &lt;3",
... )
>>> clean(event).text
'@user Not Happy <3'
"""

from collections.abc import Callable
from typing import Final

from operators.channels import chat, email, social, survey, voice
from operators.channels.common import Cleaned
from operators.records import Event

__all__ = ["Cleaned", "clean"]

_CLEAN: Final[dict[str, Callable[[Event], Cleaned]]] = {
    "voice": voice.clean,
    "chat": chat.clean,
    "email": email.clean,
    "social": social.clean,
    "survey": survey.clean,
}
_NOTHING = Cleaned(text="")


def clean(event: Event) -> Cleaned:
    """Clean the event's text by the rules of its channel; an event without text stays empty."""
    return _CLEAN[event.channel](event) if event.text else _NOTHING
