"""Keys that recognise a customer again and tell nobody who it is."""

from __future__ import annotations

import pytest

from operators.identity import Identity, country
from tests.operators.wire import event

IDENTITY = Identity("a secret of the tests")


def key(**changes: object) -> int:
    return IDENTITY.customer_key(event(**changes))


def test_the_same_customer_has_one_key_on_every_channel() -> None:
    assert key(channel="chat") == key(channel="voice", interaction_id="call-9", event_id="x")
    assert 0 <= key() < 2**64


def test_tenants_and_secrets_keep_customers_apart() -> None:
    assert key() != key(tenant="other")
    assert key() != Identity("another secret").customer_key(event())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "email", "value": "Jo@Mail.Example"}, {"type": "E-Mail", "value": " jo@mail.example"}),
        ({"type": "phone", "value": "(212) 736-5000"}, {"type": "msisdn", "value": "+1 212 736 5000"}),
    ],
)
def test_references_are_compared_in_one_spelling(one: dict[str, str], other: dict[str, str]) -> None:
    assert key(customer={"refs": [one]}) == key(customer={"refs": [other]})


def test_a_phone_number_is_read_in_the_region_of_its_event() -> None:
    national = {"refs": [{"type": "phone", "value": "030 901820"}]}
    international = {"refs": [{"type": "phone", "value": "+4930901820"}]}
    assert key(customer=national, region="DE") == key(customer=international)
    assert key(customer=national, region="FR") != key(customer=international)
    assert key(customer={"refs": [{"type": "phone", "value": "anonymous"}]}, region="ZZ") != key()


@pytest.mark.parametrize(
    ("region", "default", "expected"),
    [
        ("GB", "US", "GB"),
        ("UK", "US", "GB"),
        ("uk-London", "US", "GB"),
        ("US-CA", "DE", "US"),
        ("de", "US", "DE"),
        ("EU", "DE", "DE"),
        ("eu-central-1", "DE", "DE"),
        ("asia", "DE", "DE"),
        ("ZZ", "DE", "DE"),
        ("D", "DE", "DE"),
        ("", "de", "DE"),
        ("", "UK", "GB"),
        ("EU", "EU", ""),
    ],
)
def test_a_region_is_read_as_a_country_or_as_the_default(region: str, default: str, expected: str) -> None:
    assert country(region, default) == expected


@pytest.mark.parametrize(("region", "default"), [("UK", "US"), ("EU", "GB"), ("eu-west-2", "GB"), ("", "UK")])
def test_a_phone_number_of_a_region_that_is_no_country_has_the_key_of_its_country(region: str, default: str) -> None:
    customer = {"refs": [{"type": "phone", "value": "020 7946 0018"}]}
    told = Identity("a secret of the tests", default).customer_key(event(customer=customer, region=region))
    assert told == key(customer=customer, region="GB") != key(customer=customer, region="US")


def test_an_id_goes_before_references_and_both_before_the_interaction() -> None:
    refs = [{"type": "handle", "value": "jo"}]
    assert key(customer={"id": "7", "refs": refs}) == key(customer={"id": "7"})
    assert key(customer={"refs": refs}) != key(customer={"id": "jo"})
    assert key(customer=None, interaction_id="a") == key(customer={}, interaction_id="a")
    assert key(customer=None, interaction_id="a") != key(customer=None, interaction_id="b")


def test_agents_have_short_keys_of_their_tenant() -> None:
    agent = IDENTITY.agent_key("acme", "anna")
    assert len(agent) == 16
    assert int(agent, 16) >= 0
    assert agent != IDENTITY.agent_key("other", "anna")
    assert IDENTITY.agent_key("acme", "") == ""


def test_fields_cannot_be_moved_into_each_other() -> None:
    assert IDENTITY.agent_key("ab", "c") != IDENTITY.agent_key("a", "bc")
    assert IDENTITY.agent_key("a|1", "b") != IDENTITY.agent_key("a", "1|b")


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="secret"):
        Identity("")
