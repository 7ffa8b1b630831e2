"""Pseudonyms: keyed hashes of customers, agents and identifiers.

The hash is HMAC-SHA-256 under a secret of the installation. Without the secret nobody can find the customer behind a
key, not even by trying all phone numbers; a different secret gives different keys.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

import phonenumbers

from operators.records import Event

CACHED = 20_000
"""Most customers, and most agents, whose pseudonyms are cached."""

_EMAIL_TYPES = frozenset({"email", "e-mail", "mail"})
_PHONE_TYPES = frozenset({"phone", "tel", "telephone", "mobile", "cell", "msisdn", "sms", "whatsapp", "caller"})


class Identity:
    """Pseudonyms under one secret.

    >>> Identity("k").agent_key("acme", "anna") == Identity("k").agent_key("acme", "anna")
    True
    >>> Identity("k").agent_key("acme", "anna") == Identity("other").agent_key("acme", "anna")
    False
    """

    def __init__(self, secret: str, default_region: str = "US") -> None:
        """`default_region` is the country of phone numbers without a prefix where the event names no region."""
        if not secret:
            raise ValueError("the secret of the customer pseudonyms is empty")
        self._secret = secret.encode()
        self._default_region = default_region
        self._customer = lru_cache(maxsize=CACHED)(self._hash_customer)
        self._agent = lru_cache(maxsize=CACHED)(self._hash_agent)

    def customer_key(self, event: Event) -> int:
        """Unsigned 64-bit key of the customer: from `customer.id`, else the first reference, else the interaction.

        References are hashed in one spelling: e-mail in lower case, phone numbers in E.164.
        """
        customer = event.customer
        if customer.id is not None:
            return self._customer(event.tenant, "id", customer.id, "")
        if customer.refs:
            ref = customer.refs[0]
            return self._customer(event.tenant, ref.type, ref.value, event.region)
        return self._customer(event.tenant, "\x00interaction", event.interaction_id, "")

    def agent_key(self, tenant: str, agent_id: str) -> str:
        """Return 16 hex digits for an agent of a tenant; empty when no agent is named."""
        return self._agent(tenant, agent_id) if agent_id else ""

    def opaque(self, tenant: str, value: str) -> str:
        """Return `h_` and 24 hex digits to replace an identifier that may hold personal data."""
        return "h_" + self._digest("identifier", tenant, value).hex()[:24]

    def _hash_customer(self, tenant: str, kind: str, value: str, region: str) -> int:
        kind = kind.strip().lower()
        if kind in _EMAIL_TYPES:
            kind, value = "email", value.strip().lower()
        elif kind in _PHONE_TYPES:
            kind, value = "phone", _e164(value, country(region, self._default_region))
        return int.from_bytes(self._digest("customer", tenant, f"{kind}:{value}")[:8], "big")

    def _hash_agent(self, tenant: str, agent_id: str) -> str:
        return self._digest("agent", tenant, agent_id).hex()[:16]

    def _digest(self, purpose: str, tenant: str, value: str) -> bytes:
        # The tenant's length distinguishes ("a", "bc") from ("ab", "c"), whatever characters they hold.
        message = f"{purpose}|{len(tenant)}|{tenant}|{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, message, "sha256")


@lru_cache(maxsize=4096)
def country(region: str, default: str) -> str:
    """Country (ISO 3166) of a region such as "DE" or "US-CA"; that of `default` when the region names no country.

    "UK" means the United Kingdom; "EU" is no country. Empty when `default` names no country either.

    >>> [country(region, "DE") for region in ("FR", "UK", "EU", "us-east-1", "")]
    ['FR', 'GB', 'DE', 'US', 'DE']
    """
    return _country(region) or _country(default)


def _country(region: str) -> str:
    name = region.partition("-")[0].upper()
    name = "GB" if name == "UK" else name
    return name if name in phonenumbers.SUPPORTED_REGIONS else ""


def _e164(value: str, region: str) -> str:
    """The number in E.164, or its letters and digits in lower case when it cannot be read as a number.

    Whether such a number is possible or in use is not asked: it only has to be spelled the same each time.

    >>> _e164("030 901820", "DE"), _e164("12", "DE"), _e164("Front desk", "DE")
    ('+4930901820', '+4912', 'frontdesk')
    """
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return "".join(sign for sign in value if sign.isalnum()).lower()
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
