"""Turn one story, played by one person, into events, with the timing and the mistakes of real conversations."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from random import Random
from typing import Any

import msgspec

from infra.traffic import mail
from infra.traffic.people import Person, letters
from infra.traffic.script import Step, Story

SCHEMA = "undertone.event/1"
PAUSES = {"chat": (14, 50), "voice": (5, 14), "email": (80, 170), "social": (45, 150), "survey": (10, 30)}
"""Shortest and longest pause between turns in seconds, by channel."""
STRAY = ("did you feed the cat", "are we out of milk?", "omw, get me a coffee", "lol look at this", "see you at 6 then")
"""Messages typed into the wrong window, which their author then retracts."""
_CHOICE = re.compile(r"\{([^{}]*)\}")

Fields = dict[str, Any]
"""The wire event as a mapping, before it is encoded as JSON."""


class Timed(msgspec.Struct, frozen=True):
    """An event and the time at which its source sends it, in milliseconds; never before it happened."""

    at_ms: int
    fields: Fields


class Stage:
    """Plays one story; `events` holds the events so far, in the order in which they happened."""

    def __init__(self, rng: Random, who: Person, story: Story, start_ms: int, run: str, tenant: str) -> None:
        """Set the clock to `start_ms`; `run` makes ids differ between runs."""
        self.events: list[Timed] = []
        self._rng, self._who, self._story, self._tenant = rng, who, story, tenant
        self._clock = float(start_ms)
        self._prefix = f"{run}-{letters(who.number)}"
        self._count = 0
        self._contacts = 0
        self._channel = ""
        self._queue = story.industry
        self._heard = ""
        self._known = rng.random() > 0.1 or len({s.value for s in story.steps if s.action == "contact"}) > 1

    def play(self) -> list[Timed]:
        """Play the story to its end."""
        for step in self._story.steps:
            self._act(step)
        self._hang_up()
        return self.events

    def _act(self, step: Step) -> None:
        match step.action:
            case "wait":
                self._clock += 1000 * step.seconds
            case "contact":
                self._contact(step.value)
            case "hold":
                self._event("hold", "system")
                self._clock += 1000 * step.seconds
                self._event("resume", "system")
            case "transfer":
                self._queue = f"{self._story.industry}-{step.value}"
                self._event("transfer", "system", attributes={"to": step.value})
            case "rating":
                self._pass()
                self._event("rating", "customer", rating={"scale": step.value, "value": int(step.variants[0])})
            case _:
                self._say(step)

    def _contact(self, channel: str) -> None:
        self._hang_up()
        self._channel, self._heard = channel, ""
        self._contacts += 1
        self._pass()
        if channel != "survey":
            self._event("opened", "system")

    def _hang_up(self) -> None:
        if self._channel in ("chat", "voice"):
            self._clock += 1500
            self._event("closed", "system")

    def _say(self, step: Step) -> None:
        self._pass()
        words = self._fill(self._rng.choice(step.variants))
        if step.action != "customer":
            if step.action == "auto":
                self._auto(words)
            else:
                self._event("utterance", step.action, text=words)
            self._heard = words
            return
        {"email": self._write, "voice": self._speak, "chat": self._type}.get(self._channel, self._post)(words)

    def _write(self, words: str) -> None:
        text, attributes = mail.letter(self._rng, words, self._who, self._heard, self._story.brand)
        self._event("utterance", "customer", text=text, attributes=attributes)

    def _auto(self, words: str) -> None:
        """Send an auto-reply of the customer's own mail system; stories have them on e-mail only."""
        text, attributes = mail.auto_reply(words, self._who)
        self._event("utterance", "customer", text=text, attributes=attributes)

    def _speak(self, words: str) -> None:
        """Send a transcript; sometimes a partial one first, with the final one as a revision of the same event."""
        spoken = words.split()
        length_ms = 320 * len(spoken)
        confidence = round(self._rng.uniform(0.82, 0.98), 2)
        acoustic = {
            "silence_ms": int(self._rng.expovariate(1 / 600)),
            "overtalk_ms": int(self._rng.expovariate(1 / 250)),
        }
        said = {"asr_confidence": confidence, "duration_ms": length_ms, "acoustic": acoustic}
        partial = len(spoken) >= 8 and self._rng.random() < 0.4
        begun = self._clock
        if partial:
            part = len(spoken) * 3 // 5
            half = {
                **said,
                "text": " ".join(spoken[:part]),
                "final": False,
                "asr_confidence": round(confidence - 0.1, 2),
            }
            self._event("utterance", "customer", delay_ms=320 * part, **half)
            self._revise({**said, "text": words, "final": True}, length_ms)
        else:
            self._event("utterance", "customer", delay_ms=length_ms, text=words, **said)
        self._clock = begun + length_ms

    def _type(self, words: str) -> None:
        slip = self._rng.random()
        if slip < 0.02:
            self._event("utterance", "customer", text=self._rng.choice(STRAY))
            self._revise({"kind": "retracted", "text": ""}, 6000)
            self._clock += 8000
        if slip > 0.96 and len(words) > 24:
            self._event("utterance", "customer", text=self._misspell(words))
            self._revise({"text": words}, 9000)
        else:
            self._event("utterance", "customer", text=words)

    def _post(self, words: str) -> None:
        if self._channel == "social" and self._story.at not in words:
            words = f"{self._story.at} {words}"
        self._event("utterance", "customer", text=words)

    def _misspell(self, words: str) -> str:
        place = self._rng.randrange(1, len(words) - 2)
        return words[:place] + words[place + 1] + words[place] + words[place + 2 :]

    def _event(self, kind: str, speaker: str, delay_ms: int = 0, **fields: object) -> None:
        self._count += 1
        event: Fields = {
            "schema": SCHEMA,
            "event_id": f"e-{self._prefix}-{letters(self._count)}",
            "revision": 0,
            "tenant": self._tenant,
            "region": self._who.region,
            "channel": self._channel,
            "kind": kind,
            "interaction_id": f"i-{self._prefix}-{letters(self._contacts)}",
            "customer": self._customer(),
            "speaker": speaker,
            "agent_id": f"agent.{self._who.agent.lower()}" if self._heard and self._channel != "survey" else "",
            "queue": self._queue,
            "language": "en",
            "event_time": timestamp(int(self._clock)),
            **fields,
        }
        event["attributes"] = {"topic": self._story.topic, **event.get("attributes", {})}
        self.events.append(Timed(int(self._clock) + delay_ms, event))

    def _revise(self, changes: Fields, after_ms: int) -> None:
        """Send the last event again, changed: same id and event time, next revision."""
        last = self.events[-1].fields
        revised = {**last, **changes, "revision": last["revision"] + 1}
        self.events.append(Timed(int(self._clock) + after_ms, revised))

    def _customer(self) -> Fields:
        who = self._who
        refs = {
            "email": {"type": "email", "value": who.mail},
            "voice": {"type": "phone", "value": who.phone},
            "social": {"type": "handle", "value": who.handle},
        }
        ref = refs.get(self._channel)
        customer: Fields = {"refs": [ref] if ref else []}
        return {**customer, "id": who.customer_id} if self._known or not ref else customer

    def _pass(self) -> None:
        low, high = PAUSES[self._channel]
        self._clock += 1000 * self._rng.uniform(low, high)

    def _fill(self, text: str) -> str:
        """Replace each pair of braces with the person's own value, or with one of the choices in it."""
        who, story, rng = self._who, self._story, self._rng
        slots = {
            "name": who.first, "agent": who.agent, "city": who.city, "mail": who.mail, "phone": who.phone,
            "card": who.card, "iban": who.iban, "spoken_card": who.spoken_card, "national_id": who.national_id,
            "account": who.account, "link": who.link, "brand": story.brand, "at": story.at,
            "amount": f"{10 + who.number * 37 % 290}.{who.number * 13 % 100:02d}",
            "ref": f"{story.industry[:2].upper()}-{1000 + who.number * 7919 % 9000}",
        }  # fmt: skip
        filled = _CHOICE.sub(lambda hole: slots.get(hole[1]) or rng.choice(hole[1].split("/")), text)
        return filled.replace("\\n", "\n")


def timestamp(at_ms: int) -> str:
    """Format a time in milliseconds as RFC 3339 in UTC.

    >>> timestamp(1_750_000_000_123)
    '2025-06-15T15:06:40.123Z'
    """
    whole = datetime.fromtimestamp(at_ms // 1000, tz=timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
