"""Checks of fields that several objects have: names, labels, annotations, one of several."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from podium.api import names
from podium.api.addresses import literal, refusal
from podium.api.problems import Path, Problem

__all__ = [
    "RESERVED",
    "check_annotations",
    "check_labels",
    "check_volume_name",
    "is_reserved_key",
    "no_object_name",
    "no_users_host",
    "one_of",
    "server_url",
]


RESERVED = ("kubernetes.io", "k8s.io", names.GROUP)
"""Domains of labels and annotations that belong to the platform."""


def is_reserved_key(key: str) -> bool:
    """Return whether a label or annotation belongs to Kubernetes or to Podium."""
    prefix, slash, _ = key.rpartition("/")
    if not slash:
        return False
    # Every part before the last slash is looked at: a key of two slashes is invalid anyway.
    domain = prefix.rsplit("/", maxsplit=1)[-1].lower().rstrip(".")
    return any(domain == own or domain.endswith("." + own) for own in RESERVED)


_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def one_of(base: Path, sources: Mapping[str, object]) -> Iterator[Problem]:
    """Report a problem unless exactly one of several fields is set."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        what = "has none" if not given else f"has {' and '.join(given)}"
        yield Problem(base, f"{what} of {', '.join(sources)}: name exactly one")


def no_object_name(name: str, *, generated: bool = False) -> str:
    """Report that a name is not one that Kubernetes takes, and which one it would take."""
    right = names.object_name(name) + ("-" if generated and name.endswith(("-", "_")) else "")
    what = "beginning of a Kubernetes name" if generated else "Kubernetes name"
    return (
        f"{name!r:.80} is not a {what} (lower-case letters, digits, - and ., beginning and ending"
        f" with a letter or digit, 253 characters at most): write {right}"
    )


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_volume_name(
    entry: Path, name: str, known: Mapping[str, int], what: str
) -> Iterator[Problem]:
    """Check the name of an entry of a list of volumes.

    `known`: the names of the entries before it, and their positions.
    """
    if not _DNS_LABEL.fullmatch(name):
        yield Problem(
            (*entry, "name"),
            f"{name!r:.80} is not a valid name of a volume: lower-case letters, digits"
            f" and -, 63 at most, such as {names.object_name(name)}",
        )
    if name in known:
        message = f"duplicate {what} {name!r:.80}: entry {known[name]} has it too"
        yield Problem((*entry, "name"), message)


def check_labels(base: Path, labels: Mapping[str, str]) -> Iterator[Problem]:
    """Check keys and values of labels."""
    for key, value in labels.items():
        yield from _key((*base, key), key, "label")
        if value and not _QUALIFIED.fullmatch(value):
            yield Problem(
                (*base, key),
                f"{value!r:.80} is not a valid value of a label: 63 letters, digits, -, _ and . at"
                " most, beginning and ending with a letter or digit",
            )


def check_annotations(base: Path, annotations: Mapping[str, str]) -> Iterator[Problem]:
    """Check keys of annotations."""
    for key in annotations:
        yield from _key((*base, key), key, "annotation")


def _key(path: Path, key: str, what: str) -> Iterator[Problem]:
    prefix, slash, name = key.partition("/")
    if not _QUALIFIED.fullmatch(name if slash else key) or (
        slash and not names.is_object_name(prefix)
    ):
        yield Problem(
            path,
            f"{key!r:.80} is not a valid key of {'a label' if what == 'label' else 'an annotation'}"
            ": a name of 63 letters, digits, -, _ and . at most, optionally after a domain and /",
        )


_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)


def server_url(text: str) -> SplitResult | str:
    """Return the parts of a server's URL, or what is wrong with it."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        return f"is not a URL ({error})"
    if url.scheme not in ("http", "https"):
        return "must begin with https:// or http://"
    if not url.hostname or not _HOST.fullmatch(url.hostname) or port == 0:
        return "has no host, or one that is not a name"
    return url


def no_users_host(host: str) -> str:
    """Return why a URL of a user may not name a host by its address; empty: it may, or is a name.

    Where a name leads is known only where it is asked for.
    """
    address = literal(host)
    why = refusal(address) if address is not None else ""
    return (
        f"{host} is an address {why}, as metadata services have: name another host" if why else ""
    )
