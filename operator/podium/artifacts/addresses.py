"""Addresses that URLs of users may lead to: none that tells a machine's own secrets."""

import ipaddress
import socket
from collections.abc import Sequence

from podium.api.addresses import Address, forms, refusal
from podium.artifacts.errors import ArtifactError
from podium.artifacts.reach import Reach

__all__ = ["resolved"]


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
        if why := refusal(address, allow_loopback=reach.allow_loopback):
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
    return any(form in network for form in forms(address) for network in networks)


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
