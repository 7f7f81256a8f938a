"""Artifacts from outside: files at URLs, repositories, texts; what is not let in."""

import os
import socket
import stat
import threading
import time

import pytest

from podium.api.sources import GitSource, HttpSource, RawSource, S3Object
from podium.artifacts import addresses, git_source, http_source, s3_source, sources
from podium.artifacts.authorities import AUTHORITIES_VARIABLE, trust_authorities
from podium.artifacts.errors import ArtifactError
from podium.artifacts.reach import Reach
from podium.artifacts.sources import Fetched
from tests.unit.artifacts.s3 import KEYS, S3Server
from tests.unit.artifacts.servers import CONTENT, digest, git, git_daemon, http_server

REACH = Reach(("https", "git", "http", "file"), allow_loopback=True)


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "in"
    directory.mkdir()
    yield directory
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)  # noqa: PTH101 - a string already


@pytest.fixture
def server():
    with http_server() as found:
        yield found


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(http_source, "BACKOFF_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(http_source, "PATIENCE_SECONDS", 1.0)


def fetch(root, source, path="x", *, secret=None, is_stopped=lambda: False, **more):
    wanted = Fetched("x", source, path, secret or {})
    sources.fetch(wanted, root, more.pop("reach", REACH), is_stopped, for_all=False, **more)
    return root / path


def http(server, name, **more):
    return HttpSource.model_validate({"url": f"{server.base}/{name}", **more})


@pytest.mark.parametrize("name", ["whole", "busy", "broken"])
def test_a_file_comes_whole_whatever_the_server_does(server, root, name):
    found = fetch(root, http(server, name, sha256=digest(CONTENT)), "a/b/c.bin")
    assert found.read_bytes() == CONTENT
    assert stat.S_IMODE(found.stat().st_mode) == 0o400
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o500
    if name == "broken":
        ranges = [headers.get("Range") for _, headers in server.asked]
        assert ranges[:2] == [None, "bytes=300000-"]


def test_a_file_that_changed_meanwhile_comes_from_its_beginning(server, root):
    assert fetch(root, http(server, "changing")).read_bytes() == b"b" * 50_000


def test_a_body_of_unknown_length_that_breaks_off_is_asked_for_again(server, root):
    assert fetch(root, http(server, "chunked")).read_bytes() == b"hello" * 3
    assert len(server.asked) == 2


def test_an_empty_file_is_a_file(server, root):
    assert fetch(root, http(server, "empty", sha256=digest(b""))).read_bytes() == b""


def test_headers_are_sent_and_nothing_is_compressed_on_the_way(server, root):
    fetch(root, http(server, "whole", headers={"X-Team": "a"}))
    ((_, headers),) = server.asked
    assert (headers["X-Team"], headers["Accept-Encoding"]) == ("a", "identity")


@pytest.mark.parametrize(
    ("name", "more", "words", "again"),
    [
        ("missing", {}, "the artifact x: http://127.0.0.1:PORT/missing: answers 404", False),
        ("private", {}, "answers 401 Unauthorized: check the credentials", False),
        ("whole", {"sha256": "0" * 64}, f"has the SHA-256 {digest(CONTENT)}, and sha256 says 0", False),
        ("circle", {}, "redirects more than 5 times", False),
        ("redirect?ftp://127.0.0.1/x", {}, "redirects to what is not https", False),
        ("redirect?file:///etc/passwd", {}, "redirects to what is not https", False),
        ("redirect?http://169.254.169.254/latest", {}, "where machines keep their own secrets", False),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_named(server, root, name, more, words, again):
    with pytest.raises(ArtifactError) as caught:
        fetch(root, http(server, name, **more))
    assert words.replace("PORT", str(server.server_port)) in str(caught.value)
    assert caught.value.is_retryable is again


def test_a_server_that_is_not_there_is_asked_for_a_while(root):
    with pytest.raises(ArtifactError, match=r"does not answer .*tried again in vain") as caught:
        fetch(root, HttpSource(url="http://127.0.0.1:1/x?signature=hush"))
    assert caught.value.is_retryable
    assert "hush" not in str(caught.value)


def test_what_is_too_large_is_given_up_while_it_comes(server, tmp_path):
    with (
        (tmp_path / "x").open("wb") as file,
        pytest.raises(ArtifactError, match="more than 100,000"),
    ):
        http_source.fetch_file(
            http(server, "endless"), file, {}, lambda: False, REACH, most=100_000
        )
    assert (tmp_path / "x").stat().st_size <= 100_000


def test_a_slow_server_does_not_hold_up_a_stop_nor_for_ever(server, root, monkeypatch):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(InterruptedError):
        fetch(root, http(server, "slow"), is_stopped=stop.is_set)
    assert time.monotonic() - begin < 10
    monkeypatch.setattr(http_source, "MAX_SECONDS", 0.3)
    with pytest.raises(ArtifactError, match="takes longer than"):
        fetch(root, http(server, "slow"), "y")


def test_credentials_go_to_their_host_only(root, tmp_path, monkeypatch):
    with http_server(tmp_path / "a.pem") as secure, http_server() as other:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "a.pem"))
        token, user = {"token": "hush\n"}, {"username": "u", "password": "hush"}
        for number, secret in enumerate((token, user)):
            found = fetch(root, http(secure, "private"), f"p{number}", secret=secret)
            assert found.read_bytes() == CONTENT
        source = http(secure, f"redirect?{secure.base}/private", headers={"X-Key": "k"})
        fetch(root, source, "same", secret=token)
        with http_server(tmp_path / "b.pem") as third:
            bundle = tmp_path / "both.pem"
            bundle.write_text((tmp_path / "a.pem").read_text() + (tmp_path / "b.pem").read_text())
            monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
            source = http(secure, f"redirect?{third.base}/whole", headers={"X-Key": "k"})
            fetch(root, source, "third", secret=token)
            ((_, headers),) = third.asked
            assert not {"Authorization", "X-Key"} & set(headers)
        with pytest.raises(ArtifactError, match="redirects from https to http://"):
            fetch(root, http(secure, f"redirect?{other.base}/whole"), "z", secret=token)
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(ArtifactError, match="certificate is not trusted"):
            fetch(root, http(secure, "whole"), "untrusted")
        with pytest.raises(ArtifactError, match="neither token nor username"):
            fetch(root, http(other, "whole"), "none", secret={"other": "x"})


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0",
        "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "100.100.100.200", "224.0.0.1", "2852039166",
    ],
)  # fmt: skip
def test_no_url_leads_to_where_machines_keep_their_secrets(root, host):
    with pytest.raises(ArtifactError, match=r"has the address .*: name another host"):
        fetch(root, HttpSource(url=f"http://{host}/"))


def test_a_name_with_one_such_address_is_refused_and_none_is_asked_for_twice(
    root, server, monkeypatch
):
    asked, answers = [], ["127.0.0.1", "169.254.169.254"]
    real = socket.getaddrinfo

    def lookup(host, port, *more, **options):
        if host != "example.test":
            return real(host, port, *more, **options)
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in answers]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", lookup)
    with pytest.raises(ArtifactError, match=r"169\.254\.169\.254"):
        fetch(root, HttpSource(url=f"http://example.test:{server.server_port}/whole"))
    answers.pop()
    asked.clear()
    fetch(root, HttpSource(url=f"http://example.test:{server.server_port}/whole"), "y")
    assert asked == ["example.test"], "the address that was looked at is the one that is used"
    closed = Reach(("https",), allow_loopback=False)
    with pytest.raises(ArtifactError, match="which is this machine"):
        fetch(root, HttpSource(url=f"http://example.test:{server.server_port}/"), "z", reach=closed)


@pytest.mark.parametrize(
    ("hosts", "is_let"),
    [
        (["example.test"], True),
        (["EXAMPLE.test", "other"], True),
        (["*.test"], True),
        (["127.0.0.0/8"], True),
        (["127.0.0.1"], True),
        (["10.0.0.0/8"], False),
        (["ample.test"], False),
        (["*.example.test"], False),
        (["other.test"], False),
    ],
)
def test_the_chart_lists_hosts_and_nothing_else_is_reached(
    root, server, monkeypatch, hosts, is_let
):
    asked = []

    def lookup(host, port, *_, **_options):
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", lookup)
    reach = REACH._replace(hosts=hosts)
    url = f"http://example.test:{server.server_port}/whole"
    if is_let:
        assert fetch(root, HttpSource(url=url), reach=reach).read_bytes() == CONTENT
        return
    with pytest.raises(ArtifactError, match=r"example.test is none of those .*allowedHosts"):
        fetch(root, HttpSource(url=url), reach=reach)
    assert not server.asked
    assert (asked == []) is ("10.0.0.0/8" not in hosts), "names are not asked for in vain"
    sources = (
        GitSource(repository=f"http://example.test:{server.server_port}/x"),
        GitSource(repository="git://example.test/x"),
        S3Object(bucket="data", key="k", endpoint=f"http://example.test:{server.server_port}"),
        S3Object(bucket="data", key="k"),
    )
    for number, source in enumerate(sources):
        with pytest.raises(ArtifactError, match=r"artifacts\.allowedHosts"):
            fetch(root, source, f"y{number}", reach=reach)
    assert not server.asked


def test_a_redirect_leads_to_listed_hosts_only(root, server):
    reach = REACH._replace(hosts=["127.0.0.1"])
    assert fetch(root, http(server, "whole"), reach=reach).read_bytes() == CONTENT
    with pytest.raises(ArtifactError, match=r"the host 127\.0\.0\.2 is none of those"):
        fetch(root, http(server, "redirect?http://127.0.0.2/whole"), "y", reach=reach)


@pytest.mark.parametrize("token", ["canary\ncanary", "canarü", " \n"])
def test_a_token_that_no_header_can_hold_is_not_quoted(root, server, token):
    with pytest.raises(ArtifactError, match="is empty, or not printable ASCII") as caught:
        fetch(root, http(server, "whole"), secret={"token": token})
    assert "canar" not in str(caught.value)
    assert not server.asked


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A real server with one bucket."""
    with S3Server(tmp_path_factory.mktemp("bucket") / "s3") as server:
        server.bucket("data")
        (server.root / "data" / "a b").mkdir()
        (server.root / "data" / "a b" / "é.bin").write_bytes(CONTENT * 12)
        yield server


KEYS_OF = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": f"{KEYS.secret_access_key}\n"}


def s3(server, key="a b/é.bin", **more):
    head = {"bucket": "data", "key": key, "endpoint": server.endpoint}
    return S3Object.model_validate({**head, "secretRef": {"name": "s"}, **more})


def test_an_object_of_any_bucket(root, bucket, tmp_path):
    assert fetch(root, s3(bucket), secret=KEYS_OF).read_bytes() == CONTENT * 12
    with (tmp_path / "x").open("wb") as file, pytest.raises(ArtifactError, match="more than 1,000"):
        s3_source.fetch_object(s3(bucket), file, KEYS_OF, lambda: False, REACH, most=1000)
    with (tmp_path / "x").open("wb") as file, pytest.raises(InterruptedError):
        s3_source.fetch_object(s3(bucket), file, KEYS_OF, lambda: True, REACH)


@pytest.mark.parametrize(
    ("more", "secret", "words"),
    [
        ({"key": "nothing"}, KEYS_OF, "/data/nothing: answers 404 Not Found: it is not there"),
        ({"bucket": "other"}, KEYS_OF, "there is no such bucket"),
        ({}, {**KEYS_OF, "secretAccessKey": "wrong"}, "the secret key is wrong"),
        ({}, {"accessKeyId": "a"}, "its Secret needs the keys accessKeyId and secretAccessKey"),
        ({"secretRef": None}, {}, "check the"),
        ({"endpoint": "http://169.254.169.254"}, KEYS_OF, "where machines keep their own secrets"),
    ],
)  # fmt: skip
def test_what_no_object_is_at_is_named(root, bucket, more, secret, words):
    with pytest.raises(ArtifactError) as caught:
        fetch(root, s3(bucket, **more), secret=secret)
    assert words in str(caught.value)
    assert KEYS.secret_access_key not in str(caught.value)
    assert not caught.value.is_retryable


def test_a_text_is_a_file(root):
    found = fetch(root, RawSource(content="é\n$HOME"), "a/b")
    assert found.read_text() == "é\n$HOME"
    for path in ("../x", "/x", "a/../../x"):
        with pytest.raises(ArtifactError, match="the path"):
            fetch(root, RawSource(content=""), path)


# Repositories


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "served" / "repo"
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet", "-b", "main")
    (directory / "f").write_text("one")
    (directory / "run").write_text("#!/bin/sh\n")
    (directory / "run").chmod(0o755)
    (directory / "link").symlink_to("/etc/passwd")
    (directory / ".gitattributes").write_text("f filter=evil\n* text=auto\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "one")
    git(directory, "tag", "v1")
    (directory / "f").write_text("two")
    git(directory, "commit", "-qam", "two")
    return directory


@pytest.mark.parametrize("scheme", ["git", "file"])
def test_the_files_of_a_commit(root, repository, scheme):
    first = git(repository, "rev-parse", "v1")
    with git_daemon(repository.parent) as served:
        base = served if scheme == "git" else f"file://{repository.parent}"
        for ref, text in ((None, "two"), ("main", "two"), ("v1", "one"), (first, "one")):
            source = GitSource(repository=f"{base}/repo", ref=ref)
            found = fetch(root, source, f"at/{ref}")
            assert (found / "f").read_text() == text
            assert stat.S_IMODE((found / "run").stat().st_mode) == 0o500
            assert not (found / "link").is_symlink()
            assert (found / "link").read_text() == "/etc/passwd"
        whole = fetch(root, GitSource(repository=f"{base}/repo", depth=0), "whole")
        commits = git(whole, "-c", "safe.directory=*", "log", "--format=%s", "refs/podium/fetched")
        assert commits.split() == ["two", "one"]


def test_the_address_that_was_looked_at_is_the_one_git_uses(root, repository, monkeypatch):
    asked = []

    def lookup(host, port, *_, **_options):
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    with git_daemon(repository.parent) as served:
        port = served.rpartition(":")[2]
        monkeypatch.setattr(addresses.socket, "getaddrinfo", lookup)
        monkeypatch.setattr(git_source.socket, "create_connection", answers)
        found = fetch(root, GitSource(repository=f"git://example.test:{port}/repo"))
    assert (found / "f").read_text() == "two"
    assert asked == ["example.test"], "no name of a test resolves, so git asked for none"


def answers(_address, _seconds):
    return socket.socket()


def test_nothing_of_anyones_configuration_runs(root, repository, tmp_path, monkeypatch):
    """Neither a filter or hook of the user's, nor a template, nor a rewriting of URLs."""
    ran = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / ".gitconfig").write_text(
        f'[filter "evil"]\n smudge = touch {ran}\n[core]\n hooksPath = {hooks}\n'
        f'[init]\n templateDir = {tmp_path}\n[url "file:///nowhere"]\n insteadOf = file://\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path))
    fetch(root, GitSource(repository=f"file://{repository}"))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"repository": "git://127.0.0.1:1/x"}, "git says: "),
        ({"repository": "file:///nowhere/at/all"}, "does not appear to be a git repository"),
        ({"repository": "git://169.254.169.254/x"}, "where machines keep their own secrets"),
        ({"repository": "ssh://example.com/x"}, "only https://, git://, http://, file:// are allowed"),
        ({"repository": "ext::sh -c touch% /tmp/x"}, "only https://"),
    ],
)  # fmt: skip
def test_what_no_repository_is_at_is_named(root, source, words):
    with pytest.raises(ArtifactError) as caught:
        fetch(root, GitSource.model_validate(source))
    assert words in str(caught.value)


def test_a_ref_that_is_not_there(root, repository):
    with pytest.raises(ArtifactError, match="couldn't find remote ref nope") as caught:
        fetch(root, GitSource(repository=f"file://{repository}", ref="nope"))
    assert not caught.value.is_retryable


def test_submodules_stay_out(root, repository):
    other = repository.parent / "other"
    other.mkdir()
    git(other, "init", "--quiet", "-b", "main")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(other),
        "sub",
    )
    git(repository, "commit", "-qm", "sub")
    found = fetch(root, GitSource(repository=f"file://{repository}"))
    assert list((found / "sub").iterdir()) == []


def test_credentials_of_a_repository_are_not_arguments_and_go_to_its_host(root, server, tmp_path):
    """The server is none of git's; what it was asked for is what counts."""
    with pytest.raises(ArtifactError, match="git says"):
        fetch(
            root,
            GitSource(repository=f"{server.base}/missing"),
            secret={"username": "u", "password": "hush"},
        )
    assert {headers.get("Authorization") for _, headers in server.asked} == {"Basic dTpodXNo"}


def test_an_authority_of_the_chart_is_trusted_by_files_and_git(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.delenv("SSL_CERT_FILE")
    with http_server(tmp_path / "a.pem") as secure:
        served = tmp_path / "served" / "repo"
        served.mkdir(parents=True)
        git(served, "init", "--quiet", "-b", "main")
        (served / "f").write_text("one")
        git(served, "add", "-A")
        git(served, "commit", "-qm", "one")
        git(served, "update-server-info")
        secure.files = served.parent
        source = GitSource(repository=f"{secure.base}/files/repo/.git", depth=0)
        secret = {"token": "hush"}
        with pytest.raises(ArtifactError, match="certificate"):
            fetch(root, source, "before", secret=secret)
        given = {AUTHORITIES_VARIABLE: (tmp_path / "a.pem").read_text()}
        trust_authorities(given, str(tmp_path / "all.pem"))
        found = fetch(root, source, "after", secret=secret)
        assert (found / "f").read_text() == "one"
        assert "hush" not in (found / ".git/config").read_text()
        assert fetch(root, http(secure, "private"), "file", secret=secret).read_bytes() == CONTENT
        with pytest.raises(ArtifactError, match="git says"):
            fetch(root, source, "wrong", secret={"token": "other"})


def test_a_stop_ends_git(root, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(InterruptedError):
            fetch(
                root,
                GitSource(repository=f"git://127.0.0.1:{silent.getsockname()[1]}/x"),
                is_stopped=stop.is_set,
            )
