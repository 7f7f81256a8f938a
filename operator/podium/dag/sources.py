"""What can be wrong with where artifacts come from, if from no node: URLs, refs, digests."""

import re
from collections.abc import Generator, Iterator
from urllib.parse import SplitResult, urlsplit

from podium.api.artifact_rules import unsafe_path
from podium.api.field_checks import no_object_name
from podium.api.names import is_object_name
from podium.api.problems import Path, Problem
from podium.api.sources import GitSource, HttpSource, HttpTarget, S3Object, SecretName

__all__ = ["git_problems", "http_problems", "s3_problems"]

_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,254}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_OWN_HEADERS = frozenset(
    (
        *("authorization", "host", "range", "if-range", "accept-encoding", "content-length"),
        *("cookie", "connection", "transfer-encoding", "proxy-authorization", "te", "upgrade"),
    )
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_GIT = ("https", "ssh", "git", "http", "file")
_HTTP = ("https", "http")


def git_problems(source: GitSource) -> Iterator[Problem]:
    """Find what is wrong with a repository; paths begin at it."""
    url = yield from _url(("repository",), source.repository, _GIT)
    if source.ref is not None and (
        not _REF.fullmatch(source.ref) or ".." in source.ref or source.ref.endswith((".lock", "/"))
    ):
        message = f"{source.ref!r:.80} is not a branch, tag or commit: write one such as main"
        yield Problem(("ref",), message)
    yield from _secret(source.secret_ref)
    if source.secret_ref is not None and url is not None and url.scheme != "https":
        message = f"is for https:// only, and the repository is {url.scheme}://: use https"
        yield Problem(("secretRef",), message)


def http_problems(source: HttpSource | HttpTarget) -> Iterator[Problem]:
    """Find what is wrong with a URL; paths begin at it."""
    url = yield from _url(("url",), source.url, _HTTP)
    sha256 = source.sha256 if isinstance(source, HttpSource) else None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        message = f"{sha256!r:.80} is not a SHA-256: write its 64 digits in lower-case hex"
        yield Problem(("sha256",), message)
    for name, value in source.headers.items():
        if not _TOKEN.fullmatch(name):
            yield Problem(("headers", name), f"{name!r:.80} is not the name of a header")
        elif name.lower() in _OWN_HEADERS:
            remedy = "use secretRef" if name.lower() == "authorization" else "leave it out"
            yield Problem(("headers", name), f"is not for a Workflow to set: {remedy}")
        if not value.isprintable() or not value.isascii():
            yield Problem(("headers", name), "must be printable ASCII")
    yield from _secret(source.secret_ref)
    if source.secret_ref is not None and url is not None and url.scheme != "https":
        message = "would be sent in clear: use https"
        yield Problem(("secretRef",), message)


def s3_problems(source: S3Object) -> Iterator[Problem]:
    """Find what is wrong with an object of a bucket; paths begin at it."""
    if not _BUCKET.fullmatch(source.bucket):
        message = f"{source.bucket!r:.80} is not the name of a bucket, such as team-data"
        yield Problem(("bucket",), message)
    if not source.key.isprintable() or (why := unsafe_path(source.key)):
        wrong = why if source.key.isprintable() else "has control characters"
        yield Problem(("key",), f"{source.key!r:.200} {wrong}: write one such as data/train.csv")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", source.region):
        yield Problem(("region",), f"{source.region!r:.80} is not a region such as eu-west-1")
    if source.endpoint is not None:
        url = yield from _url(("endpoint",), source.endpoint, _HTTP)
        if url is not None and (url.path.strip("/") or url.query):
            yield Problem(("endpoint",), "has a path, which is the bucket's and the key's")
    yield from _secret(source.secret_ref)


def _secret(secret: SecretName | None) -> Iterator[Problem]:
    if secret is not None and not is_object_name(secret.name):
        yield Problem(("secretRef", "name"), no_object_name(secret.name))


def _url(
    where: Path, text: str, schemes: tuple[str, ...]
) -> Generator[Problem, None, SplitResult | None]:
    """Find what is wrong with a URL; return it, None if it is wrong."""
    why, url = _parsed(text, schemes)
    if why:
        yield Problem(where, f"{_shown(text)!r:.200} {why}")
        return None
    return url


def _parsed(text: str, schemes: tuple[str, ...]) -> tuple[str, SplitResult | None]:
    wanted = f"write a URL such as {schemes[0]}://example.com/name"
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return f"has characters that no URL has: {wanted}, others as %XX", None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        return f"is not a URL ({error}): {wanted}", None
    if url.scheme not in schemes:
        return f"must begin with {', '.join(f'{each}://' for each in schemes)}", None
    if url.scheme == "file":
        is_right = text.startswith("file:///") and ".." not in url.path.split("/")
        return ("" if is_right else "must be file:///PATH, without '..'"), url
    if url.password is not None or (url.username is not None and url.scheme != "ssh"):
        return "holds a user name or password: put them into a Secret and name it, secretRef", None
    if url.username is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", url.username):
        return f"has a user name that is not one: {wanted}", None
    if not url.hostname or not _HOST.fullmatch(url.hostname) or url.hostname.startswith("-"):
        return f"has no host, or one that is not a name: {wanted}", None
    if port == 0:
        return "has port 0: leave it out, or name another", None
    if url.fragment:
        return "has a fragment (#…): leave it out", None
    return "", url


def _shown(text: str) -> str:
    """Return a URL without what may be a password in it."""
    return re.sub(r"//[^/@]*@", "//***@", text)
