"""A real token service of this machine: AssumeRoleWithWebIdentity by HTTPS, for accounts of a bucket.

What it gives ends after a few seconds: then the server of the bucket does not know the account any more.
That server takes session tokens of its own accounts only, so these have none.
"""

import secrets
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.unit.artifacts.s3 import make_certificate

ROLE = "arn:aws:iam::123456789012:role/artifacts"
_ANSWER = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>
<SecretAccessKey>{secret}</SecretAccessKey><SessionToken></SessionToken>
<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>the token is not one</Message></Error></ErrorResponse>"""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        asked = parse_qs(urlsplit(self.path).query) | parse_qs(body)
        given = {name: values[0] for name, values in asked.items()}
        service = self.server.service
        is_right = (given.get("Action"), given.get("RoleArn")) == (
            "AssumeRoleWithWebIdentity", ROLE,
        )  # fmt: skip
        token = given.get("WebIdentityToken", "")
        if is_right and service.accepts(token):
            service.taken.append(token)
            status, text = 200, service.issue()
        else:
            service.refused += 1
            status, text = 400, _ERROR.format(code="InvalidIdentityToken")
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_):
        pass


class TokenService:
    """Gives the accounts of a server (`S3Server(accounts=True)`), each for so many seconds."""

    def __init__(self, server, accepts, seconds):
        self.accepts, self._server, self._seconds = accepts, server, seconds
        self.issued, self.taken, self.refused, self._living = [], [], 0, {}
        self._lock = threading.Lock()

    def issue(self):
        key, secret = secrets.token_hex(8), f"canary-{secrets.token_hex(8)}"
        with self._lock:
            self.issued.append((key, secret))
            self._living[key] = (secret, time.monotonic() + self._seconds)
        self.sweep()
        end = datetime.now(UTC) + timedelta(seconds=self._seconds)
        return _ANSWER.format(key=key, secret=secret, end=end)

    def sweep(self):
        """Take away what has ended."""
        with self._lock:
            now = time.monotonic()
            self._living = {k: each for k, each in self._living.items() if each[1] > now}
            self._server.set_accounts({k: secret for k, (secret, _) in self._living.items()})


@contextmanager
def token_service(server, accepts, certificate: Path, *, seconds, address="127.0.0.1"):
    service = TokenService(server, accepts, seconds)
    http = ThreadingHTTPServer((address, 0), _Handler)
    http.daemon_threads, http.service = True, service
    make_certificate(certificate, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    http.socket = context.wrap_socket(http.socket, server_side=True)
    service.endpoint, service.authority = (
        f"https://{address}:{http.server_port}",
        certificate.read_text(),
    )
    stop = threading.Event()

    def sweep():
        while not stop.wait(0.2):
            service.sweep()

    threads = [threading.Thread(target=each, daemon=True) for each in (http.serve_forever, sweep)]
    for thread in threads:
        thread.start()
    try:
        yield service
    finally:
        stop.set()
        http.shutdown()
        http.server_close()
        for thread in threads:
            thread.join()
