"""Decides which URLs Beckon may call for a user: http or https, and no private or reserved address as the host.

A literal address is checked at publication and again before the call, in every form that a resolver or a browser reads
as an address: decimal, octal, hexadecimal, short, full-width, mapped into IPv6. A name is checked by the addresses it
resolves to, which are known only at the call.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]

#: Allows every address: for documents that were checked at publication.
ALL_NETWORKS: Networks = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

#: IPv6 ranges that embed an IPv4 address, and its offset in bits.
_EMBEDDING_NETWORKS = ((ipaddress.ip_network("64:ff9b::/96"), 0), (ipaddress.ip_network("2002::/16"), 80))
#: Ranges that the standard library of some Python versions treats as global: protocol assignments, the old 6to4 relays,
#: a documentation range, and the address at which Azure's machines reach their host.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")
)
#: The routed part of IPv6, and the prefix by which a NAT64 gateway reaches IPv4.
_IPV6_PUBLIC = (ipaddress.ip_network("2000::/3"), ipaddress.ip_network("64:ff9b::/96"))

_LOOPBACK: tuple[Address, ...] = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
#: Names with the same addresses on every machine that resolves them.
_FIXED_NAMES: dict[str, tuple[Address, ...]] = {
    **dict.fromkeys(("localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4"), _LOOPBACK),
    **dict.fromkeys(("localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"), _LOOPBACK),
    "metadata.google.internal": (ipaddress.ip_address("169.254.169.254"),),
}

_URL = re.compile(r"https?://([^/?#\s]+)\S*", re.IGNORECASE)
_SCHEME_AND_AUTHORITY = re.compile(r"[^/?#]*?://([^/?#\s]*)")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_GAP = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
#: Placeholder of a template tag; no document may contain it.
_UNKNOWN = "\x00"

_NO_HOST = "must have a valid host"


class _InvalidHost(ValueError):
    """A host that is neither a name nor an address."""


def check_url(url: str, networks: Networks) -> str | None:
    """Return why this URL must not be called, or None; `networks` are the allowed private networks."""
    match = _URL.fullmatch(url)
    return check_authority(match[1], networks) if match else "must be an http or https URL"


def check_template_url(source: str, networks: Networks) -> str | None:
    """Check a template's URL as far as its host is literal; the rest is checked at the call."""
    match = _SCHEME_AND_AUTHORITY.match(_GAP.sub(_UNKNOWN, source))
    if match is None:
        return None
    authority = match[1]
    if "@" not in authority:
        # If only the port contains a tag, the host is known.
        host, colon, port = authority.rpartition(":")
        authority = host if colon and _UNKNOWN in port else authority
    if _UNKNOWN in authority and "@" not in authority:
        return None
    return check_authority(authority, networks)


def check_authority(authority: str, networks: Networks) -> str | None:
    """Return what is wrong with the part of a URL between `//` and the path, or None."""
    # Read it as a resolver that maps characters does: full-width letters, digits, dots and slashes.
    plain = unicodedata.normalize("NFKC", authority).replace("\u3002", ".").lower()
    if "@" in plain:
        return "must not contain a user name or password"
    if "%" in plain:
        return "must not contain a percent sign in its host: write the host in plain characters, without a zone"
    match = _AUTHORITY.fullmatch(plain)
    if match is None or int(match[2] or 1) not in range(1, 65_536):
        return _NO_HOST
    try:
        addresses = find_host_addresses(match[1])
    except _InvalidHost:
        return _NO_HOST
    return None if all(is_allowed(address, networks) for address in addresses) else format_private_host_error(match[1])


def format_private_host_error(host: str) -> str:
    """Format the message that the host must not be called."""
    return (
        f"must not point to {host}, which is in a private or reserved network: use a public address, or ask an "
        "operator to add the network to WEBHOOK_ALLOWED_NETWORKS"
    )


def find_host_addresses(host: str) -> tuple[Address, ...]:
    """Return the host's addresses that need no resolver, empty for a name. Raises ValueError for an invalid host."""
    if host.startswith("["):
        return (_parse_ipv6(host[1:-1]),)
    labels = "".join(map(_normalise_digit, host)).removesuffix(".").split(".")
    if not all(labels) or not all(map(_is_name_character, "".join(labels))):
        raise _InvalidHost(host)
    if _is_number(labels[-1]):
        return (_parse_ipv4(labels),)
    name = ".".join(labels)
    return _LOOPBACK if labels[-1] == "localhost" else _FIXED_NAMES.get(name, ())


def is_allowed(address: Address, networks: Networks) -> bool:
    """Whether the address is public, or in one of the networks."""
    embedded = _extract_ipv4(address)
    if any(address in network or (embedded is not None and embedded in network) for network in networks):
        return True
    return all(_is_public(each) for each in (address, embedded) if each is not None)


def _is_public(address: Address) -> bool:
    # `is_global` is false for private, loopback, link-local (cloud metadata), shared and reserved ranges.
    if not address.is_global or address.is_multicast or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.version == 4 or any(address in network for network in _IPV6_PUBLIC)


def _extract_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in _EMBEDDING_NETWORKS:
        if address in network:
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None


def _normalise_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _is_name_character(character: str) -> bool:
    # Letters, marks and digits of any script: a host may be an internationalised name. Nothing invisible.
    return character in "-_" or unicodedata.category(character)[0] in "LMN"


def _is_number(label: str) -> bool:
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", label) is not None


def _parse_ipv4(labels: list[str]) -> ipaddress.IPv4Address:
    """Parse one to four numbers as `inet_aton` does: the last number fills the remaining bytes."""
    if len(labels) > 4 or not all(map(_is_number, labels)):
        raise _InvalidHost(".".join(labels))
    *first, last = map(_parse_number, labels)
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        raise _InvalidHost(".".join(labels))
    return ipaddress.IPv4Address(last + sum(number << (24 - 8 * index) for index, number in enumerate(first)))


def _parse_number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    is_octal = label.startswith("0") and len(label) > 1
    try:
        return int(label, 8 if is_octal else 10)
    except ValueError:
        raise _InvalidHost(label) from None


def _parse_ipv6(text: str) -> ipaddress.IPv6Address:
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        raise _InvalidHost(text) from None
