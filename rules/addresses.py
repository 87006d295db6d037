"""Addresses of the channels that reach contacts: their normalized form, and the keyed hash that outlives erasure."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from rules.channels import ADDRESS_FIELDS
from rules.contacts import normalise_email, normalise_phone

#: By the contact's field; other fields have ids of the provider, which are kept as they are.
_NORMALISERS: dict[str, Callable[[str], str]] = {"email": normalise_email, "phone": normalise_phone}
MAX_LENGTH = 320


def normalise_address(channel: str, text: str) -> str:
    """Return the address as contacts have it. Raises `ValueError` for what no contact can have on the channel."""
    address = text.strip()
    if not address or len(address) > MAX_LENGTH or not address.isprintable():
        raise ValueError(f"must be an address of at most {MAX_LENGTH} characters")
    return _NORMALISERS.get(ADDRESS_FIELDS[channel], str)(address)


def hash_address(key: bytes, channel: str, address: str) -> bytes:
    """Return the keyed hash of a normalized address on a channel."""
    return hmac.digest(key, f"{channel}:{address}".encode("utf-8", "surrogatepass"), "sha256")
