"""A read-only image registry on loopback, run as a process of its own: `registry.py PORT DIRECTORY`.

The node asks it for every image of every registry (see components.py). So `image: busybox`, whose pull
policy is Always, works without a network, and an image that does not exist is refused at once.

DIRECTORY holds `blobs/sha256/HEX` and `tags.json`, a map from `REPOSITORY:TAG` to a manifest's digest.
It needs nothing but the standard library, and nothing of this package.
"""

import json
import re
import shutil
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ROUTE = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Handler(BaseHTTPRequestHandler):
    """The pulling half of the distribution protocol."""

    protocol_version = "HTTP/1.1"
    directory = Path()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in {"/v2", "/v2/"}:
            self._head(HTTPStatus.OK, "application/json", 2)
            self._body(b"{}")
            return
        route = ROUTE.fullmatch(path)
        found = self._find(route["repository"], route["reference"]) if route else None
        if route is None or found is None:
            unknown = "BLOB_UNKNOWN" if route and route["kind"] == "blobs" else "MANIFEST_UNKNOWN"
            error = {"code": unknown, "message": f"the test registry does not hold {path}"}
            body = json.dumps({"errors": [error]}).encode()
            self._head(HTTPStatus.NOT_FOUND, "application/json", len(body))
            self._body(body)
            return
        media = "application/octet-stream"
        if route["kind"] == "manifests":
            media = json.loads(found.read_bytes()).get("mediaType", MANIFEST)
        digest = f"sha256:{found.name}"
        self._head(HTTPStatus.OK, media, found.stat().st_size, digest)
        if self.command == "GET":
            with found.open("rb") as blob:
                shutil.copyfileobj(blob, self.wfile, 1 << 20)

    do_HEAD = do_GET  # noqa: N815 - the name is the base class's

    def _find(self, repository: str, reference: str) -> Path | None:
        if not DIGEST.fullmatch(reference):
            tags = json.loads((self.directory / "tags.json").read_text())
            reference = tags.get(f"{repository}:{reference}", "")
        digest = DIGEST.fullmatch(reference)
        if digest is None:
            return None
        blob = self.directory / "blobs" / "sha256" / digest[1]
        return blob if blob.exists() else None

    def _head(self, status: HTTPStatus, media: str, size: int, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        if self.command == "GET":
            self.wfile.write(body)


if __name__ == "__main__":
    Handler.directory = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
