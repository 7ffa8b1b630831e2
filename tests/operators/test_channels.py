"""Each channel's text as its platform delivers it, and what is left of it to score."""

# ruff: noqa: RUF001 - letters of other scripts are the point
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.channels import clean
from operators.records import CHANNELS
from tests.operators.wire import event

CASES = [
    ("chat", "plain words", "plain words"),
    ("chat", "**Really** <b>bad</b> &amp; slow", "Really bad & slow"),
    ("chat", "~~good~~ *awful*, see [this](https://shop.example/a?b=1)", "good awful, see this"),
    ("chat", "<@U123> look: <https://shop.example/x|our page>", "@user look: our page"),
    ("chat", "2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
    ("chat", "I <3 it :) &lt;3", "I <3 it :) <3"),
    ("voice", "so I [noise] said <unk> no (inaudible) twice [laughter]", "so I said no twice"),
    ("voice", "Caller: it was [crosstalk 00:01:12] late", "it was late"),
    ("voice", "00:01:12.500 hello there", "hello there"),
    ("voice", "my name is [REDACTED] and (I mean it) no", "my name is [REDACTED] and (I mean it) no"),
    ("voice", "the music (hold music) was too loud", "the music was too loud"),
    ("social", "@Acme #WorstServiceEver 😡 https://t.example/x1 &amp; more", "@user Worst Service Ever 😡 http & more"),
    ("social", "RT @Acme: all good", "@user: all good"),
    ("social", "#24hours #not_again #ACMEFail #happy2day", "24hours not again ACME Fail happy 2day"),
    ("social", "write to jo@mail.example", "write to jo@mail.example"),
    ("social", "we're #1 family 👨‍👩‍👧 ❤️", "we're #1 family 👨‍👩‍👧 ❤️"),
    ("social", "@user@social.example hi", "@user hi"),
    ("survey", "  took\r\n  three &quot;calls&quot; ", 'took three "calls"'),
    ("survey", ":(", ":("),
    ("survey", "😡", "😡"),
]


@pytest.mark.parametrize(("channel", "text", "expected"), CASES)
def test_the_words_are_kept(channel: str, text: str, expected: str) -> None:
    cleaned = clean(event(channel=channel, text=text))
    assert (cleaned.text, cleaned.skipped) == (expected, "")


@pytest.mark.parametrize(
    ("channel", "text"),
    [("voice", "[noise] <unk>"), ("survey", "n/a"), ("survey", " - "), ("chat", "\u200b"), ("chat", "<br>")],
)
def test_nothing_said_is_told_as_empty(channel: str, text: str) -> None:
    cleaned = clean(event(channel=channel, text=text))
    assert (cleaned.text, cleaned.skipped) == ("", "empty")


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_event_without_text_stays_without(channel: str) -> None:
    cleaned = clean(event(channel=channel, kind="opened", text=None))
    assert (cleaned.text, cleaned.skipped) == ("", "")


@pytest.mark.parametrize("channel", CHANNELS)
def test_text_is_composed_and_visible(channel: str) -> None:
    cleaned = clean(event(channel=channel, text="Cafe\u0301 i\u200bs clo\u00adsed\u2060 p\u200dw ہ\u200cم"))
    assert cleaned.text == "Café is closed pw ہ\u200cم"


@pytest.mark.parametrize("channel", CHANNELS)
@given(text=st.text(alphabet="ab1 <>&;[](){}*_~`@#:./\n\"'-😡é\u200d", max_size=80))
def test_any_text_is_cleaned_to_one_line(channel: str, text: str) -> None:
    cleaned = clean(event(channel=channel, text=f"x{text}"))
    assert cleaned.text == " ".join(cleaned.text.split())
    assert bool(cleaned.text) != bool(cleaned.skipped)
