"""Where an endpoint or a server of tools may be: not where machines keep their own secrets."""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from podium.api.addresses import refusal
from podium.api.reasons import NodeReason
from podium.personas.errors import PersonaError

__all__ = ["require_allowed"]


async def require_allowed(url: str) -> None:
    """Raise `PersonaError` where a URL's host has the address of a metadata service.

    Not where a proxy is asked, which looks the name up itself.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if getproxies().get(parts.scheme) and not proxy_bypass(host):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # whoever connects says so
    for text in (str(each[4][0]) for each in found):
        if why := refusal(ipaddress.ip_address(text.partition("%")[0])):
            message = f"{host} is {text}, {why} (metadata services): name another host"
            raise PersonaError(NodeReason.CONFIG, message)
