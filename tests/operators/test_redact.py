"""Personal data is found by what it is, and no long number survives whatever it was."""

# ruff: noqa: RUF001 - digits of other scripts are the point
from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.redact import redact

FOUND = [
    ("card 4111 1111 1111 1111 please", "US", "card [CARD] please"),
    ("4111-1111-1111-1111 12/27 123", "US", "[CARD] [NUMBER]"),
    ("4111-1111-1111-1111 exp 12/27", "US", "[CARD] exp 12/27"),
    ("5500005555555559", "US", "[CARD]"),
    ("amex 3782 822463 10005", "US", "amex [CARD]"),
    ("card:6011000990139424.", "US", "card:[CARD]."),
    ("it is 4111 1111 1111 1112", "US", "it is [NUMBER]"),
    ("pay to DE89 3704 0044 0532 0130 00 today", "DE", "pay to [IBAN] today"),
    ("GB29NWBK60161331926819", "GB", "[IBAN]"),
    ("my iban is gb29 nwbk 6016 1331 9268 19 thanks a lot", "GB", "my iban is [IBAN] thanks a lot"),
    ("call +44 20 7946 0018 now", "US", "call [PHONE] now"),
    ("call (212) 736-5000", "US", "call [PHONE]"),
    ("Ruf 030 901820 an", "DE", "Ruf [PHONE] an"),
    ("appelle le 01 42 68 53 00", "FR", "appelle le [PHONE]"),
    ("mail jo.berg+x@mail.example!", "US", "mail [EMAIL]!"),
    ("mail jo\uff20mail.example", "US", "mail [EMAIL]"),
    ("jo (at) mail (dot) com", "US", "[EMAIL]"),
    ("jo dot berg at mail dot com", "US", "[EMAIL]"),
    ("mail jane(at)gmail.com please", "US", "mail [EMAIL] please"),
    ("jane [at] gmail [dot] com", "US", "[EMAIL]"),
    ("jane[at]gmail[dot]com!", "US", "[EMAIL]!"),
    ("JANE (AT) GMAIL (DOT) COM", "US", "[EMAIL]"),
    ("jane ( at ) mail.co.uk.", "US", "[EMAIL]."),
    ("jane.doe [at] my-shop.museum", "US", "[EMAIL]"),
    ("it's jane.doe at gmail dot com", "US", "it's [EMAIL]"),
    ("Jane Dot Doe At Gmail Dot Com", "US", "[EMAIL]"),
    ("write to o'neil_x+y%z-1 at my-shop dot co dot uk", "US", "write to [EMAIL]"),
    ('"john doe"@mail.example', "US", "[EMAIL]"),
    ("it is \u201cjohn doe\u201d@mail.example", "US", "it is [EMAIL]"),
    ("myshop.store/reset/8f3kd92ls", "US", "[URL]"),
    ("see myshop.store/reset/8f3kd92ls, please", "US", "see [URL], please"),
    ("a.my-shop.photography:8080/r#8F3KD92LS", "US", "[URL]"),
    ("myshop.store/reset/jo/8f3k-d92l_s/done", "US", "[URL]"),
    ("bücher-shop.example/r?u=jo&t=x", "US", "[URL]"),
    ("yes.no/https://shop.example/jo", "US", "[URL]"),
    ("and.or/else,linked.com/in/jo-berg", "US", "[URL]"),
    ("jo@maildotcom", "US", "[EMAIL]"),
    ("jo at mail (dot) com", "US", "[EMAIL]"),
    ("my social is 536-22-1234", "US", "my social is [ID]"),
    ("NHS 943 476 5919", "GB", "NHS [ID]"),
    ("ni number AB 12 34 56 C", "GB", "ni number [ID]"),
    ("IdNr 36 574 261 809", "DE", "IdNr [ID]"),
    ("bsn 1112.22.333", "NL", "bsn [ID]"),
    ("nir 2 95 10 99 126 111 93", "FR", "nir [ID]"),
    ("DNI 54362315K", "US", "DNI [ID]"),
    ("nie X-2482300-W", "ES", "nie [ID]"),
    ("cf RSSMRA85T10A562S", "IT", "cf [ID]"),
    ("aadhaar 2341 2341 2346", "IN", "aadhaar [ID]"),
    ("pan ACUPA7085R", "IN", "pan [ID]"),
    ("cpf 390.533.447-05", "BR", "cpf [ID]"),
    ("pesel 44051401359", "PL", "pesel [ID]"),
    ("order 1234567", "US", "order [NUMBER]"),
    ("account number is 123456", "US", "account number is [NUMBER]"),
    ("Kundennummer 1234567", "DE", "Kundennummer [NUMBER]"),
    ("my pin is 4821", "US", "my pin is [NUMBER]"),
    ("cvv: 123", "US", "cvv: [NUMBER]"),
    ("ref AB-1234567", "US", "ref AB-[NUMBER]"),
    ("from 192.168.100.12 today", "US", "from [NUMBER] today"),
    ("id 550e8400-e29b-41d4-a716-446655440000", "US", "id [NUMBER]"),
    ("https://shop.example/reset?token=abc.", "US", "[URL]."),
    ("https://jo:pw@shop.example", "US", "[URL]"),
    ("www.social.example/jo.berg", "US", "[URL]"),
    ("www.shop.com and linked.com/in/jo-berg ok", "US", "www.shop.com and [URL] ok"),
    ("api key sk_live_51H8abcDEFghiJKLmno", "US", "api key [NUMBER]"),
    ("my password is hunter2", "US", "my password is [NUMBER]"),
    ("Ruf 030/901820 an", "DE", "Ruf [PHONE] an"),
    ("imei 490154203237518", "US", "imei [CARD]"),
    ("shop.example/r?u=jo&t=x", "US", "[URL]"),
    ("１２３４５６７８９", "US", "[NUMBER]"),
    ("٤١١١ ١١١١ ١١١١ ١١١١", "US", "[CARD]"),
    ("4\u200b1\u200b1\u200b1 1111 1111 1111", "US", "[CARD]"),
    ("4️⃣1️⃣1️⃣1️⃣1️⃣1️⃣1️⃣1️⃣1️⃣", "US", "[NUMBER]"),
    ("it's four one one one double one two", "US", "it's [NUMBER]"),
    ("null acht eins fünf null sieben drei", "DE", "[NUMBER]"),
    ("cero nueve uno uno dos tres cuatro", "ES", "[NUMBER]"),
    ("four one 1 1 two two nine, ok", "US", "[NUMBER], ok"),
]
LEFT = [
    "I waited 3 hours and paid $1,299.00",
    "on 2026-03-02 at 10:30",
    "it cost 1,000,000 dollars",
    "call me in 15 minutes",
    "one two three go",
    "oh oh oh oh oh oh oh oh",
    "version 1.2.3 is broken",
    "see www.shop.example or https://shop.example/",
    "my score is 10/10, 24/7, 100%",
    "meet @ noon",
    "model AB-12 and iPhone 15",
    "code red",
    "great pressure @ 0.3 bar",
    "meet me at home dot",
    "I was at costco. com is down",
    "I was at costco.com and at home.",
    "that costco dot com thing",
    "we looked at the dot com bubble",
    "see you (at) home. Then we talk",
    "I am (at) home",
    "he said [at] last dot dot dot",
    "join the dots. dot to dot at school",
    'he said "hello" @ me',
    'they call it "service" @user wrote',
    "and/or12345678",
    "yes/no/8f3kd92ls",
    "myshop.store/products/blue-shirts",
    "ver.two/part2/page3",
    "see e.g. this/that or i.e./etc. now",
    "v1.2/build1234567a",
    "my password does not work and/or I am locked out, 2 times",
    "yes/no 50/50 w/o",
    "😡😡 5️⃣ stars",
]


@pytest.mark.parametrize(("text", "region", "expected"), FOUND)
def test_personal_data_is_replaced_by_its_kind(text: str, region: str, expected: str) -> None:
    redacted, count = redact(text, region)
    assert redacted == expected
    assert count == redacted.count("[")


@pytest.mark.parametrize("text", LEFT)
def test_ordinary_numbers_and_words_stay(text: str) -> None:
    assert redact(text) == (text.replace("\ufe0f\u20e3", ""), 0)


def test_the_shortest_dictated_number_that_mixes_words_and_figures_is_found() -> None:
    assert redact("un 1 1 12345") == ("[NUMBER]", 1)
    assert redact("un 1 12345") == ("un 1 12345", 0), "six digits"


def test_dictated_numbers_are_only_looked_for_in_transcripts() -> None:
    text = "it's four one one one double one two"
    assert redact(text, dictated=False) == (text, 0)


def test_several_in_one_text_are_all_replaced() -> None:
    text = "I'm jo@mail.example, +1 212 736 5000, card 4111111111111111, order 99887766, https://x.example/a?b=c"
    assert redact(text) == ("I'm [EMAIL], [PHONE], card [CARD], order [NUMBER], [URL]", 5)


def digits_in_a_row(text: str) -> int:
    """The longest run of decimal digits of any script, spaces and dashes inside not counted."""
    plain = "".join("0" if unicodedata.decimal(sign, None) is not None else sign for sign in text)
    return max((len(re.sub("[^0]", "", run)) for run in re.findall("0(?:[ -]{0,3}0)*", plain)), default=0)


NUMBERS = ("4111 1111 1111 1111", "+1 212 736 5000", "jo@mail.example", "DE89370400440532013000", "536-22-1234")
BETWEEN = (
    " ",
    "-",
    ".",
    ",",
    "/",
    "x",
    "@",
    "=",
    "://",
    "www.",
    "12",
    "7",
    "2026",
    "٣٤",
    "\uff15\uff16",
    "one two",
    "(at)",
    "[dot]",
    ".store/",
    '"',
    "h",
    "é",
)
PIECES = st.sampled_from((*NUMBERS, *BETWEEN, "[CARD]", "order", "pin"))


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["US", "GB", "DE", "FR", "IN"]))
@example("1 2 3 4 5 6 7 8 9", "US")
@example("12345678 [CARD] 12345678", "US")
def test_redaction_is_idempotent_and_no_long_number_survives(text: str, region: str) -> None:
    redacted, _ = redact(text, region)
    assert digits_in_a_row(redacted) < 9
    assert redact(redacted, region) == (redacted, 0)
    assert "jo@mail.example" not in redacted


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    redacted, _ = redact(text)
    assert digits_in_a_row(redacted) < 9
    assert redact(redacted)[0] == redacted


@given(
    st.lists(st.integers(0, 9), min_size=9, max_size=24),
    st.lists(st.sampled_from(["", " ", "-", " - ", "."]), min_size=24),
)
def test_no_spelling_of_a_long_number_survives(digits: list[int], gaps: list[str]) -> None:
    number = "".join(f"{digit}{gap}" for digit, gap in zip(digits, gaps, strict=False))
    redacted, count = redact(f"it is {number} ok")
    assert count > 0
    assert digits_in_a_row(redacted.replace(".", "")) < 9
