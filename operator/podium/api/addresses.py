"""What an address is: a form of another one, or where machines keep their own secrets."""

import ipaddress
import socket
from collections.abc import Iterator

__all__ = ["Address", "forms", "literal", "refusal"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(each) for each in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Metadata services of clouds that have no link-local address."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def literal(host: str) -> Address | None:
    """Return the address that a host is, as systems read it: also 2852039166, 0xa9fea9fe, 127.1.

    None: it is a name.
    """
    host = host.partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host.isascii() else None
    except (OSError, ValueError):
        return None


def refusal(address: Address, *, allow_loopback: bool = True) -> str:
    """Return why a URL of a user may not lead to an address; empty: it may."""
    for each in forms(address):
        if each.is_link_local or each in _METADATA:
            return "where machines keep their own secrets"
        if each.is_multicast or each.is_unspecified:
            return "where no machine can be"
        if each.is_loopback and not allow_loopback:
            return "which is this machine"
    return ""


def forms(address: Address) -> Iterator[Address]:
    """Give an address, and those that it is another form of."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
