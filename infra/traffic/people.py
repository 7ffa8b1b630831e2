"""Invented people with valid-looking personal data, from ranges reserved for tests and fiction.

Cards pass the Luhn check and IBANs the mod-97 check, because redaction must find valid numbers. Phone numbers come
from the blocks that Ofcom and NANPA reserve for drama, mail addresses from example.com, .org and .net. National
insurance numbers have prefixes that HMRC gives to no person; social security numbers have area numbers that were
never assigned before 2011, when area numbers lost their meaning.
"""

from __future__ import annotations

from random import Random

import msgspec

FIRST = (
    *(
        "Ada",
        "Amir",
        "Bea",
        "Boris",
        "Carmen",
        "Cyril",
        "Dana",
        "Dev",
        "Edith",
        "Elio",
        "Femi",
        "Freya",
        "Gita",
        "Goran",
    ),
    *("Hana", "Hugo", "Ines", "Ivo", "Jana", "Jonas", "Kemi", "Kurt", "Lena", "Luca", "Mara", "Milo", "Nadia", "Nils"),
    *("Oona", "Oscar", "Paula", "Pablo", "Rana", "Rolf", "Sana", "Stellan", "Tara", "Tomas", "Uma", "Viktor", "Zara"),
)
LAST = (
    *("Abara", "Albrecht", "Bell", "Bianchi", "Castro", "Chen", "Drummond", "Dvorak", "Eriksen", "Farah", "Fontaine"),
    *("Greer", "Haddad", "Holm", "Ibarra", "Jansen", "Kaur", "Kowalski", "Lindqvist", "Marsh", "Mbeki", "Nakamura"),
    *("Novak", "Okafor", "Osei", "Petrov", "Quist", "Rahman", "Ricci", "Sato", "Silva", "Tran", "Ueda", "Vance"),
)
AGENTS = ("Alba", "Bram", "Chloe", "Diego", "Erin", "Farid", "Greta", "Hamish", "Irina", "Joel", "Kaya", "Leon", "Mona")
CITIES = ("Lisbon", "Leeds", "Malmo", "Porto", "Turin", "Bergen", "Ghent", "Graz", "Cork", "Bilbao", "Lyon", "Gdansk")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CARD_PREFIXES = ("411111", "400005", "555555", "510510")
OFFICE_PREFIXES = ("MW", "NC", "PP", "PY", "PZ")
LETTERS = "bcdfghjkmnpqrstvwxz"
"""Ids consist of these letters, because an id without digits cannot be mistaken for a phone or card number."""


class Person(msgspec.Struct, frozen=True):
    """One invented customer."""

    number: int
    customer_id: str
    first: str
    last: str
    mail: str
    phone: str
    card: str
    """As typed: with spaces, dashes, or neither."""
    iban: str
    handle: str
    city: str
    agent: str
    region: str
    national_id: str
    """National insurance number in Britain, social security number in the United States."""
    account: str
    """A long number without check digits."""
    token: str
    """Secret in the customer's link; letters only, so that only the address around it shows that it is no word."""

    @property
    def link(self) -> str:
        """A web address with a personal token in its query."""
        return f"https://my.example.com/start?token={self.token}"

    @property
    def spoken_card(self) -> str:
        """The card number as a speech recogniser writes it."""
        return " ".join(DIGITS[int(digit)] for digit in self.card if digit.isdigit())

    def personal(self) -> dict[str, str]:
        """Personal data that must not appear in any output, by kind."""
        fields = (
            *("customer_id", "mail", "phone", "card", "iban", "handle", "spoken_card"),
            *("national_id", "account", "token"),
        )
        return {field: str(getattr(self, field)) for field in fields}


def person(seed: int, number: int) -> Person:
    """Invent customer `number`; the same seed and number give the same person.

    >>> person(7, 3) == person(7, 3)
    True
    """
    rng = Random(f"person/{seed}/{number}")
    first, last = rng.choice(FIRST), rng.choice(LAST)
    region = rng.choice(("GB", "US"))
    tag = letters(rng.getrandbits(40))
    papers = Random(f"person/{seed}/{number}/papers")  # separate, so that new papers do not change names
    return Person(
        number=number,
        customer_id=f"cust-{tag}-{letters(number)}",
        first=first,
        last=last,
        mail=f"{first}.{last}.{letters(number)}@example.{rng.choice(('com', 'org', 'net'))}".lower(),
        phone=_phone(rng, region),
        card=_card(rng),
        iban=_iban(rng),
        handle=f"@{first}_{letters(number)}_{rng.choice(LETTERS)}".lower(),
        city=rng.choice(CITIES),
        agent=rng.choice(AGENTS),
        region=region,
        national_id=_national_id(papers, region),
        account=_digits(papers, papers.randint(11, 14)),
        token=letters(papers.getrandbits(80)),
    )


def letters(number: int) -> str:
    """Write a number with letters only, for ids.

    >>> letters(0), letters(18), letters(19)
    ('b', 'z', 'cb')
    """
    out = ""
    while True:
        number, rest = divmod(number, len(LETTERS))
        out = LETTERS[rest] + out
        if not number:
            return out


def luhn_digit(digits: str) -> str:
    """Check digit that makes `digits` a valid card number (ISO/IEC 7812-1).

    >>> luhn_digit("411111111111111")
    '1'
    """
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def iban_check(country: str, rest: str) -> str:
    """Check digits of an IBAN (ISO 13616, mod 97).

    >>> iban_check("GB", "WEST12345698765432")
    '82'
    """
    number = "".join(str(int(char, 36)) for char in f"{rest}{country}00")
    return f"{98 - int(number) % 97:02d}"


def _card(rng: Random) -> str:
    start = rng.choice(CARD_PREFIXES) + _digits(rng, 9)
    digits = start + luhn_digit(start)
    separator = rng.choice((" ", "-", ""))
    return separator.join(digits[place : place + 4] for place in range(0, 16, 4))


def _iban(rng: Random) -> str:
    if rng.random() < 0.5:
        country, rest = "GB", "WEST" + _digits(rng, 14)
    else:
        country, rest = "DE", _digits(rng, 18)
    whole = country + iban_check(country, rest) + rest
    if rng.random() < 0.5:
        return whole
    return " ".join(whole[place : place + 4] for place in range(0, len(whole), 4))


def _national_id(rng: Random, region: str) -> str:
    if region == "GB":
        parts = (rng.choice(OFFICE_PREFIXES), *(_digits(rng, 2) for _ in range(3)), rng.choice("ABCD"))
        return rng.choice((" ", "")).join(parts)
    return f"{rng.randrange(734, 750)}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10_000):04d}"


def _digits(rng: Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def _phone(rng: Random, region: str) -> str:
    if region == "GB":
        return rng.choice(("+44 20 7946 0{:03d}", "020 7946 0{:03d}", "+442079460{:03d}")).format(rng.randrange(1000))
    area = rng.choice(("212", "312", "415", "617"))
    return rng.choice(("({}) 555-01{:02d}", "+1 {} 555 01{:02d}", "{}-555-01{:02d}")).format(area, rng.randrange(100))
