"""Addresses that URLs of users may lead to: none that tells a machine's own secrets."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence

from podium.artifacts.errors import ArtifactError
from podium.artifacts.reach import Reach

__all__ = ["resolved"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(each) for each in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Metadata services of clouds that have no link-local address."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def resolved(host: str, port: int, reach: Reach) -> list[str]:
    """Return the addresses of a host, in the order in which to try them. Raises `ArtifactError`.

    Who connects must use these: a second question might have another answer. One that is not
    allowed refuses the host, whatever the others are.
    """
    is_named = not reach.hosts or _is_named(host, reach.hosts)
    if not is_named and not any(map(_network, reach.hosts)):
        raise _not_listed(host)  # nor asked for: a question to a name server tells something, too
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "is not a name"
        raise ArtifactError(f"the host {host} is not found: {why}") from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for text in addresses:
        address = ipaddress.ip_address(text)
        if why := _refusal(address, allow_loopback=reach.allow_loopback):
            message = f"the host {host} has the address {text}, {why}: name another host"
            raise ArtifactError(message, is_retryable=False)
        if not is_named and not _is_within(address, reach.hosts):
            raise _not_listed(host)
    return addresses


def _is_named(host: str, hosts: Sequence[str]) -> bool:
    name = host.lower().rstrip(".")
    for each in hosts:
        wanted = each.lower()
        if name == wanted or (wanted.startswith("*.") and name.endswith(wanted[1:])):
            return True
    return False


def _is_within(address: Address, hosts: Sequence[str]) -> bool:
    networks = [found for each in hosts if (found := _network(each)) is not None]
    return any(form in network for form in _forms(address) for network in networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _not_listed(host: str) -> ArtifactError:
    return ArtifactError(
        f"the host {host} is none of those that artifacts may come from and go to, which the"
        " chart's value artifacts.allowedHosts lists",
        is_retryable=False,
    )


def _refusal(address: Address, *, allow_loopback: bool) -> str:
    for each in _forms(address):
        if each.is_link_local or each in _METADATA:
            return "where machines keep their own secrets"
        if each.is_multicast or each.is_unspecified:
            return "where no machine can be"
        if each.is_loopback and not allow_loopback:
            return "which is this machine"
    return ""


def _forms(address: Address) -> Iterator[Address]:
    """Give an address, and those that it is another form of."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
