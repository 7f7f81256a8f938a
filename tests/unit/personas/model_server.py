"""A server of chat completions on loopback that answers as its script says, with every fault."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


@dataclass
class Turn:
    """One answer."""

    body: bytes
    status: int = 200
    headers: dict = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    wait: float = 0
    """Seconds before it."""
    drip: float = 0
    """Seconds between two bytes."""
    pause: tuple | None = None
    """After so many bytes, so many seconds."""
    has_length: bool = True
    """Without it the answer ends where the connection does."""


def says(content, *, usage=USAGE, finish="stop", **message):
    """Answer with a text, or with an object as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    made = {"choices": [choice], **({"usage": usage} if usage is not None else {})}
    return Turn(json.dumps(made).encode())


def calls(*asked, usage=USAGE):
    """Ask for tools: (name, arguments)."""
    tool_calls = [
        {
            "id": f"call{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(asked)
    ]
    return says(None, finish="tool_calls", usage=usage, tool_calls=tool_calls)


def frames(*events, **turn):
    """Answer with these events, objects as JSON."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in events]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return Turn(body, headers={"content-type": "text/event-stream; charset=utf-8"}, **turn)


def piece(text=None, finish=None, **delta):
    """Return an event of a stream."""
    given = {"content": text} if text is not None else {}
    return {"choices": [{"index": 0, "delta": {**given, **delta}, "finish_reason": finish}]}


def streams(content, *, usage=USAGE, finish="stop", done=True, **turn):
    """Answer in a stream, three characters at a time."""
    text = content if isinstance(content, str) else json.dumps(content)
    pieces = [piece(text[place : place + 3]) for place in range(0, len(text), 3)]
    end = [piece(finish=finish)] if finish else []
    told = [{"choices": [], "usage": usage}] if usage else []
    return frames(piece("", role="assistant"), *pieces, *end, *told, *["[DONE]"] * done, **turn)


def fails(status, message="no", code=None, **headers):
    """Answer with an error."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = {"message": message, **({"code": code} if code else {})}
    return Turn(json.dumps({"error": error}).encode(), status, names)


class Server:
    """What was asked, and what is to be answered; the last turn is repeated."""

    def __init__(self, turns):
        self.turns = list(turns)
        self.asked = []
        self.headers = []
        self.url = ""
        self._lock = threading.Lock()

    def next(self, headers, body):
        with self._lock:
            self.asked.append(json.loads(body))
            self.headers.append(headers)
            turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return turn(self.asked[-1]) if callable(turn) else turn


@contextmanager
def model(*turns, address="127.0.0.1"):
    """Serve; a turn may be a function of the request. Pods reach `tests.buckets.address_for`."""
    script = Server(turns)

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            turn = script.next({**headers, ":path": self.path}, body)
            time.sleep(turn.wait)
            self.send_response(turn.status)
            given = {"content-type": "application/json", **turn.headers}
            for name, value in given.items():
                self.send_header(name, str(value))
            if turn.has_length:
                self.send_header("content-length", str(len(turn.body)))
            else:
                self.close_connection = True
            self.end_headers()
            try:
                self._send(turn)
            except OSError:
                self.close_connection = True

        def _send(self, turn):
            whole = turn.body if turn.cut is None else turn.body[: turn.cut]
            if turn.pause is not None:
                place, seconds = turn.pause
                self.wfile.write(whole[:place])
                self.wfile.flush()
                time.sleep(seconds)
                self.wfile.write(whole[place:])
            elif not turn.drip:
                self.wfile.write(whole)
            else:
                for byte in whole:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(turn.drip)
            if turn.cut is not None:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    script.url = f"http://{address}:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
