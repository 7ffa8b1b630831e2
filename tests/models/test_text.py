"""Cleaning: what is replaced, what is kept, and that nothing a customer types can break it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import MAX_CHARACTERS, normalise


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        pytest.param("@AcmeHelp hi", "@user hi", id="handle"),
        pytest.param("mail me at a.b@c.de", "mail me at a.b@c.de", id="address-is-no-handle"),
        pytest.param("see https://t.co/x and www.x.org/y", "see http and http", id="links"),
        pytest.param("it&amp;#39;s", "it's", id="twice-escaped"),
        pytest.param("don\\u2019t", "don't", id="escaped-quote"),
        pytest.param("late \\ud83d\\ude21 again", "late enraged face again", id="escaped-emoji"),
        pytest.param("cut \\ud83d off \ud83d here", "cut \ufffd off \ufffd here", id="half-an-emoji"),
        pytest.param("don\u2019t \u201cwait\u201d", 'don\'t "wait"', id="curly-quotes"),
        pytest.param("great \U0001f621", "great enraged face", id="emoji"),
        pytest.param("sooooo late!!!!!!", "soo late!!", id="repeats"),
        pytest.param("wait.......", "wait...", id="dots"),
        pytest.param("my card [CARD_2] and <PHONE>", "my card card and phone", id="placeholders"),
        pytest.param("see [URL], or <URL_2>", "see http, or http", id="a-redacted-link-is-a-link"),
        pytest.param("  a \n\t b ", "a b", id="space"),
        pytest.param("book 1000000", "book 1000000", id="digits-are-kept"),
        pytest.param("", "", id="empty"),
    ],
)
def test_normalise(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


def test_a_long_text_keeps_both_ends() -> None:
    clean = normalise("begin " + "x y " * 5000 + " end")
    assert clean.startswith("begin")
    assert clean.endswith("end")
    assert len(clean) <= MAX_CHARACTERS + 5


ANYTHING = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\\ud8de0&;\n"), max_size=300)


@given(ANYTHING)
def test_any_text_is_cleaned_to_one_line_without_double_spaces(text: str) -> None:
    clean = normalise(text)
    assert clean == clean.strip()
    assert not any(mark in clean for mark in ("\n", "\t", "  "))
    assert clean.encode().decode() == clean
