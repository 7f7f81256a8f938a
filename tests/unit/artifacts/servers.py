"""Real servers of this machine for artifacts from outside: HTTP that misbehaves, and git's own."""

import hashlib
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.unit.artifacts.s3 import make_certificate

CONTENT = bytes(range(256)) * 4000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if self.path.startswith("/files/"):
            self.file()
            return
        getattr(self, self.path.strip("/").partition("?")[0].replace("-", "_"))()

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def whole(self):
        self.answer(200, CONTENT, ETag='"one"')

    def empty(self):
        self.answer(200)

    def busy(self):
        """Answer 503 twice."""
        if len(self.server.asked) < 3:
            self.answer(503, b"later", Retry_After="0")
        else:
            self.whole()

    def broken(self):
        """Break off in the middle, and go on by range."""
        begin = 0
        if self.headers.get("If-Range") == '"one"':
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        left = CONTENT[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(left)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(left[:300_000])
        self.close_connection = True

    def changing(self):
        """Break off once, and be another file then."""
        first = len(self.server.asked) == 1
        body = b"a" * 100_000 if first else b"b" * 50_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"a"' if first else '"b"')
        self.end_headers()
        self.wfile.write(body[:10_000] if first else body)
        self.close_connection = True

    def chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(3):
            self.wfile.write(b"5\r\nhello\r\n")
        if len(self.server.asked) > 1:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def slow(self):
        """Send a byte now and then."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x")
            time.sleep(0.02)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)

    def missing(self):
        self.answer(404, b"<html>no</html>")

    def private(self):
        if self.headers.get("Authorization") in ("Bearer hush", "Basic dTpodXNo"):
            self.whole()
        else:
            self.answer(401)

    def file(self):
        """A file below a directory, for who knows the password."""
        place = self.server.files / self.path.removeprefix("/files/").partition("?")[0]
        # token:hush
        if self.headers.get("Authorization") != "Basic dG9rZW46aHVzaA==":
            self.answer(401)
        elif place.is_file():
            self.answer(200, place.read_bytes())
        else:
            self.answer(404)

    def redirect(self):
        self.answer(302, Location=self.path.partition("?")[2])

    def circle(self):
        self.answer(302, Location="/circle")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.put.append((self.path, dict(self.headers), body))
        busy = self.path == "/busy" and len(self.server.put) < 3
        wrong = self.path == "/private" and self.headers.get("Authorization") != "Bearer hush"
        statuses = {"/redirect": 307, "/refuses": 409}
        self.answer(503 if busy else 401 if wrong else statuses.get(self.path, 201))

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextmanager
def http_server(certificate: Path | None = None, *, address="127.0.0.1"):
    server = Server((address, 0), Handler)
    server.asked, server.put, server.files = [], [], None
    if certificate is not None:
        make_certificate(certificate, address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.base = f"http{'s' if certificate else ''}://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def git(directory, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def git_daemon(base: Path, *, address="127.0.0.1"):
    """Serve the repositories below a directory."""
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--export-all", f"--listen={address}"),
            *(f"--port={port}", f"--base-path={base}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex((address, port)) == 0:
                    break
            time.sleep(0.02)
        yield f"git://{address}:{port}"
    finally:
        process.terminate()
        process.wait()


def digest(data):
    return hashlib.sha256(data).hexdigest()
