"""Masks an e-mail address, so that a page behind a link shows its owner which address it means, and others little."""

from __future__ import annotations


def mask_address(address: str) -> str:
    """Return the address with the beginnings of its name and its domain alone: `ada@example.com` is `a••@e••.com`."""
    name, _, domain = address.rpartition("@")
    host, _, suffix = domain.rpartition(".")
    return f"{name[:1]}••@{host[:1]}••.{suffix}"
