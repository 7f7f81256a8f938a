"""http and notify: what they send to a real server, and what they make of its answer."""

import json
import socket

import pytest

from podium import contracts
from podium.executors import shipped
from podium.runner import program, requests
from podium.runner.http_request import http_request
from podium.runner.notify import notify
from podium.runner.program import ProgramError
from tests.unit.runner.servers import serving


def whole(name, config):
    """Return a config as the program gets it: checked, its defaults filled in."""
    schema = shipped.load(name).spec.config
    made = contracts.with_defaults(schema, config)
    assert not contracts.compile_schema(schema).breaches(made)
    return made


def http(**config):
    return http_request(whole("http", config))


def test_the_body_is_the_output_as_json_or_as_text():
    def answer(method, path, headers, body):
        if path == "/text":
            return 200, {"content-type": "text/plain"}, b'{"not": "json"}'
        return 201, {"content-type": "application/problem+json; charset=utf-8"}, {"a": {"b": [1]}}

    with serving(answer) as (url, asked):
        assert http(url=url + "/json?x=1") == {"status": 201, "body": {"a": {"b": [1]}}}
        assert http(url=url + "/json", select="a.b") == {"status": 201, "body": [1]}
        assert http(url=url + "/text") == {"status": 200, "body": '{"not": "json"}'}
        assert asked[0][:2] == ("GET", "/json?x=1")
        with pytest.raises(ProgramError, match=r"select: the answer has no 'a\.c'"):
            http(url=url + "/json", select="a.c")


def test_what_is_sent(monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    headers = [{"name": "Authorization", "fromEnv": "TOKEN"}, {"name": "X", "value": "1"}]
    with serving(lambda *_: (200, {}, {})) as (url, asked):
        http(url=url, method="PUT", headers=headers, body={"é": 1})
        http(url=url, method="POST", body="text")
    (_, _, sent, body), (_, _, other, text) = asked
    assert json.loads(body) == {"é": 1}
    assert (sent["authorization"], sent["x"]) == ("secret", "1")
    assert sent["content-type"] == "application/json"
    assert (other["content-type"], text) == ("text/plain; charset=utf-8", b"text")


@pytest.mark.parametrize(
    ("status", "expected", "is_success"),
    [(204, None, True), (404, None, False), (404, [404], True), (404, ["4xx", 200], True),
     (500, [200], False)],
)  # fmt: skip
def test_the_status_that_is_a_success(status, expected, is_success):
    with serving(lambda *_: (status, {}, b"why")) as (url, _):
        more = {} if expected is None else {"expectedStatus": expected}
        if is_success:
            assert http(url=url, **more)["status"] == status
            return
        with pytest.raises(ProgramError, match=f"status {status}, not .*why") as error:
            http(url=url, **more)
        assert error.value.reason == "UnexpectedStatus"


def test_a_redirect_is_not_followed():
    with serving(lambda *_: (302, {"location": "http://169.254.169.254/"}, b"")) as (url, asked):
        with pytest.raises(ProgramError, match="redirects are not followed"):
            http(url=url)
        assert len(asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://2852039166/",
        "http://100.100.100.200/latest/meta-data",
        "http://168.63.129.16/",
        "http://[fd00:ec2::254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
        "file:///etc/passwd",
        "http://",
        "http://user:password@127.0.0.1/",
    ],
)
def test_what_a_url_may_not_be(url):
    with pytest.raises(ProgramError) as error:
        http(url=url)
    assert error.value.reason == "Config"
    assert "password" not in str(error.value)


def test_a_name_is_looked_up_once(monkeypatch):
    """Else it could lead elsewhere after the check."""
    looked = []
    find = socket.getaddrinfo
    with serving(lambda *_: (200, {}, {})) as (url, asked):
        port = int(url.rpartition(":")[2])

        def look(host, *rest, **more):
            if host != "rebinding.example":
                return find(host, *rest, **more)
            looked.append(host)
            address = "127.0.0.1" if len(looked) == 1 else "169.254.169.254"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(requests.socket, "getaddrinfo", look)
        assert http(url=f"http://rebinding.example:{port}/")["status"] == 200
    assert looked == ["rebinding.example"]
    assert asked[0][2]["host"] == f"rebinding.example:{port}"


def test_an_answer_is_bounded_and_a_server_that_is_away_is_said():
    with serving(lambda *_: (200, {}, b"x" * (requests.MAX_BYTES + 1))) as (url, _):
        with pytest.raises(ProgramError) as error:
            http(url=url)
        assert error.value.reason == "OutputTooLarge"
    with pytest.raises(ProgramError, match=r"127\.0\.0\.1: ConnectionRefusedError") as error:
        http(url=url + "/secret")
    assert error.value.reason == "Unreachable"
    assert "secret" not in str(error.value)


def test_a_url_that_cannot_be_sent_is_not_quoted(monkeypatch):
    monkeypatch.setenv("HOOK", "http://127.0.0.1/secret x")
    with pytest.raises(ProgramError, match=r"^127\.0\.0\.1: InvalidURL$"):
        notify(whole("notify", {"message": "x", "urlFromEnv": "HOOK"}))


def test_a_header_splits_no_request(monkeypatch):
    monkeypatch.setenv("TOKEN", "a\r\nX: b")
    with pytest.raises(ProgramError, match="line break"):
        http(url="http://127.0.0.1", headers=[{"name": "x", "fromEnv": "TOKEN"}])


def test_a_message_goes_to_a_webhook_whose_url_is_secret(monkeypatch):
    with serving(lambda *_: (200, {}, b"ok")) as (url, asked):
        monkeypatch.setenv("HOOK", url + "/T0/secret")
        config = {
            "message": "done",
            "urlFromEnv": "HOOK",
            "payload": {"channel": "#x", "text": "y"},
        }
        assert notify(whole("notify", config)) == {"status": 200}
    method, path, _, body = asked[0]
    assert (method, path) == ("POST", "/T0/secret")
    assert json.loads(body) == {"channel": "#x", "text": "done"}
    with pytest.raises(ProgramError) as error:
        notify(whole("notify", config))
    assert "secret" not in str(error.value)
    monkeypatch.delenv("HOOK")
    with pytest.raises(ProgramError, match="the variable HOOK is not set"):
        notify(whole("notify", config))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("http", {}, "'url' is missing"),
        ("http", {"url": "x", "expectedStatus": ["ok"]}, "expectedStatus"),
        ("http", {"url": "x", "headers": [{"name": "a"}]}, "headers"),
        ("notify", {"message": "x"}, "is not valid under any"),
        ("notify", {"message": "x", "url": "a", "urlFromEnv": "b"}, "valid under each of"),
        ("kubernetes", {"action": "get", "object": {}, "serviceAccount": "s"}, "action"),
    ],
)
def test_a_wrong_config_breaks_the_schema(name, config, message):
    schema = shipped.load(name).spec.config
    made = contracts.with_defaults(schema, config)
    assert message in "; ".join(map(str, contracts.compile_schema(schema).breaches(made)))


def test_a_failure_is_written_where_the_output_would_stand(monkeypatch, tmp_path, capsys):
    output = tmp_path / "out"
    monkeypatch.setenv("PODIUM_OUTPUT", str(output))
    monkeypatch.setenv("PODIUM_CONFIG", json.dumps(whole("http", {"url": "ftp://x"})))
    assert program.run(http_request) == 1
    error = json.loads(output.read_text())["podiumError"]
    assert error["reason"] == "Config"
    assert error["message"] in capsys.readouterr().err
