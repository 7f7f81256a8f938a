"""The containers that carry artifacts of a Pod: what one stores, the other lays out."""

import base64
import json
import os
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from podium.api.artifact_rules import ArtifactType
from podium.artifacts import collector, fetcher, targets
from podium.artifacts.errors import ArtifactError
from podium.artifacts.file_values import dump_values, load_values
from podium.artifacts.left import Declared
from podium.artifacts.pod import Leaving, Outside, Task, Wanted, load_store, message_of
from podium.artifacts.reach import IN_POD
from podium.artifacts.settings import DirectorySettings, S3Settings, StaticKeys, WebIdentity
from tests.unit.artifacts.s3 import KEYS, S3Server
from tests.unit.artifacts.servers import git, git_daemon, http_server
from tests.unit.artifacts.support import make

HERE = IN_POD._replace(allow_loopback=True)
TOLD = {"bucket": "b", "prefix": "team", "region": "r", "endpoint": "", "webIdentity": False}


def task(*outputs, absolute=None, wanted=()):
    return Task("uid", "n", "n-1", tuple(outputs), absolute or {}, tuple(wanted))


def stored(task, settings, out):
    """Collect, and return what was said of it."""
    return json.loads(collector.collect(task, lambda: settings, out, lambda _: None))


def left(tmp_path, files=None):
    return make(tmp_path / "out", files or {"dist/app": b"app", "report": b"fine"})


@pytest.fixture
def settings(tmp_path):
    return DirectorySettings(tmp_path / "store")


def test_a_task_survives_the_annotation():
    whole = task(
        Declared("a", "dist", optional=True, type=ArtifactType.DIRECTORY),
        Declared("b", "/work/r$(HOME)é.xml"),
        absolute={"/work/r$(HOME)é.xml": ("/podium/at/0", "r$(HOME)é.xml")},
        wanted=[
            Wanted("m", "m-1", "0" * 64, None, "/podium/artifacts/in", "m"),
            Wanted("m", "m-1", "", "a", "/podium/found", "a"),
        ],
    )
    assert Task.load(whole.dump()) == whole
    assert "outside" not in whole.dump(), "as an operator before had it"
    outside = (
        Outside("x", {"raw": {"content": "é$(HOME)"}}, "/podium/found", "x"),
        Outside("y", {"git": {"repository": "https://h/"}}, "/podium/found", "y", "/podium/s/0"),
    )
    leaving = (Leaving("a", {"http": {"url": "https://h/"}}), Leaving("b", {"s3": {}}, "/s/1"))
    more = replace(whole, outside=outside, leaving=leaving)
    assert Task.load(more.dump()) == more


def test_what_one_stores_the_other_lays_out_read_only(tmp_path, settings):
    at = make(tmp_path / "at", {"x.xml": b"x"})
    declared = [Declared("dist", "dist"), Declared("x", "/work/x.xml")]
    said = stored(
        task(*declared, absolute={"/work/x.xml": (str(at), "x.xml")}), settings, left(tmp_path)
    )["artifacts"]
    assert (said["files"], said["bytes"]) == (3, 8)
    root, found = make(tmp_path / "in", {"stale": b""}), make(tmp_path / "found", {})
    wanted = [
        Wanted("n", "n-1", said["digest"], None, str(root), "n"),
        Wanted("n", "n-1", said["digest"], "dist", str(root), "deep/d"),
        Wanted("n", "n-1", said["digest"], "x", str(found), "x"),
        Wanted("n", "n-1", said["digest"], "never", str(root), "never"),
        Wanted("quiet", "quiet-1", "", None, str(root), "quiet"),
    ]
    for _ in range(2):  # the sandbox of a Pod may be made again
        fetcher.fetch(task(wanted=wanted), settings)
        names = sorted(str(each.relative_to(root)) for each in root.rglob("*"))
        assert names == [
            *("deep", "deep/d", "deep/d/app"),
            *("n", "n/dist", "n/dist/app", "n/report", "n/x", "quiet"),
        ]
        assert (found / "x").read_bytes() == b"x"
        assert not (root / "n/report").stat().st_mode & 0o222
        assert not (root / "n").stat().st_mode & 0o222


def test_an_attempt_never_stands_in_for_another(tmp_path, settings):
    """A Pod that was evicted left something; the next one runs the same execution."""
    first = stored(task(), settings, left(tmp_path))["artifacts"]["digest"]
    (tmp_path / "out/report").write_bytes(b"whole")
    second = stored(task(), settings, tmp_path / "out")["artifacts"]["digest"]
    assert first != second
    assert stored(task(), settings, tmp_path / "out")["artifacts"]["digest"] == second
    root = make(tmp_path / "in", {})
    fetcher.fetch(task(wanted=[Wanted("n", "n-1", second, None, str(root), "n")]), settings)
    assert (root / "n/report").read_bytes() == b"whole"


def test_nothing_left_is_nothing_stored(tmp_path, settings):
    said = stored(task(), settings, make(tmp_path / "out", {}))
    assert said == {"artifacts": {"digest": "", "files": 0, "bytes": 0}}
    optional = stored(task(Declared("a", "a", optional=True)), settings, tmp_path / "out")
    assert len(optional["artifacts"]["digest"]) == 64


def test_what_the_program_did_wrong_is_said(tmp_path, settings):
    said = stored(task(Declared("a", "a")), settings, left(tmp_path))["podiumError"]
    assert said["reason"] == "Artifact"
    assert "the artifact a is missing: the program left nothing at a" in said["message"]
    (tmp_path / "out/link").symlink_to("report")
    said = stored(task(), settings, tmp_path / "out")["podiumError"]
    assert said["reason"] == "Artifact"
    assert "$PODIUM_ARTIFACTS_OUT/link is a symbolic link" in said["message"]


def test_a_store_that_refuses_fails_at_once(tmp_path):
    with S3Server(tmp_path / "s3") as server:
        said = stored(task(), server.settings("missing"), left(tmp_path))["podiumError"]
        assert (said["reason"], said["retryable"]) == ("Upload", False)
        assert "there is no such bucket" in said["message"]
        wrong = StaticKeys("podium-tests", "wrong-canary")
        server.bucket("there")
        refused = server.settings("there", credentials=wrong)
        said = stored(task(), refused, tmp_path / "out")["podiumError"]
        assert (said["reason"], said["retryable"]) == ("Upload", False)
        assert "check the credentials" in said["message"]
        assert "canary" not in said["message"]


def test_a_store_that_is_away_is_tried_until_it_is_back(tmp_path, monkeypatch):
    server = S3Server(tmp_path / "s3")
    server.bucket("bucket")
    settings = server.settings("bucket", retry_seconds=0.1)
    noted = []

    def note(problem):
        noted.append(problem)
        server.start()

    monkeypatch.setattr(collector, "_PAUSE", 0.0)
    said = json.loads(collector.collect(task(), lambda: settings, left(tmp_path), note))
    server.kill()
    assert said["artifacts"]["files"] == 2
    assert len(noted) == 1


def test_credentials_that_were_renewed_are_read_again(tmp_path, monkeypatch):
    server = S3Server(tmp_path / "s3")
    server.start()
    right = server.bucket("bucket")
    nowhere = replace(right, endpoint="http://127.0.0.1:9", retry_seconds=0.1)
    given, noted = iter([nowhere, nowhere, right]), []
    monkeypatch.setattr(collector, "_PAUSE", 0.0)
    words = collector.collect(task(), lambda: next(given), left(tmp_path), noted.append)
    server.kill()
    assert json.loads(words)["artifacts"]["files"] == 2
    assert len(noted) == 2


def test_what_was_changed_in_the_store_is_not_laid_out(tmp_path, settings):
    digest = stored(task(), settings, left(tmp_path))["artifacts"]["digest"]
    root = make(tmp_path / "in", {})
    (manifest,) = settings.path.glob("runs/uid/n/*/manifest.json")
    whole = manifest.read_text()
    wanted = [Wanted("n", "n-1", digest, None, str(root), "n")]
    for changed in (whole.replace("report", "rep0rt"), whole + " ", "{}", ""):
        manifest.write_text(changed)
        with pytest.raises(ArtifactError, match="is not what was stored"):
            fetcher.fetch(task(wanted=wanted), settings)
    manifest.unlink()
    with pytest.raises(ArtifactError, match=r"is not in .* any more: run n again") as caught:
        fetcher.fetch(task(wanted=wanted), settings)
    assert not caught.value.is_retryable
    assert not list(root.iterdir())


def test_credentials_are_read_from_files_only(tmp_path):
    keys = make(tmp_path, {"accessKeyId": b"id\n", "secretAccessKey": b"canary"})
    found = load_store({"PODIUM_STORE": json.dumps(TOLD)}, keys)
    assert isinstance(found, S3Settings)
    assert found.credentials == StaticKeys("id", "canary")
    assert "canary" not in repr(found)
    (keys / "secretAccessKey").unlink()
    with pytest.raises(ValueError, match="needs the keys accessKeyId and secretAccessKey"):
        load_store({"PODIUM_STORE": json.dumps(TOLD)}, keys)
    web = load_store({"PODIUM_STORE": json.dumps({**TOLD, "webIdentity": True})}, keys)
    assert isinstance(web, S3Settings)
    assert isinstance(web.credentials, WebIdentity)
    assert load_store({"PODIUM_STORE": "{}"}, keys) == DirectorySettings(keys, is_durable=True)


def test_last_words_fit_a_pod():
    for letter in ("é", "\x01", "\U0001f600", "\udcff"):
        words = message_of("Upload", letter * 5000, is_retryable=True)
        assert len(words.encode()) < 4096
        assert json.loads(words)["podiumError"]["message"].endswith("…")


def test_it_hears_sigterm_before_it_says_that_it_does(tmp_path):
    """As the first of the Pod's containers: what it does not hear is lost with its program."""
    code = (
        "import runpy\n"
        "from pathlib import Path\n"
        "Path.write_text = lambda self, text: print(text, flush=True)\n"
        "runpy.run_module('podium.artifacts.collector', run_name='__main__')\n"
    )
    ready = Path(collector.READY)
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PODIUM_UPLOAD_SECONDS": "30", "PODIUM_STORE": "{}"},
    )
    while not ready.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    ready.unlink()
    assert json.loads(out)["podiumError"]["reason"] == "Upload"  # it has no task here
    assert process.returncode == 0


def test_what_comes_from_no_node_is_laid_out_beside_the_rest(tmp_path, settings):
    found = tmp_path / "in"
    found.mkdir()
    outside = (
        Outside("x", {"raw": {"content": "text"}}, str(found), "config/x"),
        Outside("y", {"raw": {"content": ""}}, str(found), "config/y"),
    )
    for _ in range(2):  # as where the Pod's sandbox is made again
        fetcher.fetch(replace(task(), outside=outside), settings)
    assert (found / "config/x").read_text() == "text"
    assert (found / "config").stat().st_mode & 0o777 == 0o555
    assert (found / "config/x").stat().st_mode & 0o777 == 0o444
    source = {"http": {"url": "http://127.0.0.1:1/x"}}
    with pytest.raises(
        ArtifactError, match=r"the artifact z: .* 127\.0\.0\.1, which is this machine"
    ):
        fetcher.fetch(replace(task(), outside=(Outside("z", source, str(found), "z"),)), settings)
    for path, _, _ in os.walk(found):
        Path(path).chmod(0o700)


def secret(directory, **keys):
    """As a kubelet mounts one: links into a directory of its own, which has another name each time."""
    data = make(directory, {f"..1/{name}": value.encode() for name, value in keys.items()})
    for name in keys:
        (data / name).symlink_to(f"..1/{name}")
    return str(directory)


KEYS_OF = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}


def test_sources_of_all_kinds_are_laid_out_with_their_secrets(tmp_path, settings):
    served = tmp_path / "served" / "repo"
    served.mkdir(parents=True)
    make(served, {"f": b"one"})
    git(served, "init", "--quiet", "-b", "main")
    git(served, "add", "-A")
    git(served, "commit", "-qm", "one")
    found = make(tmp_path / "in", {})
    bucket = S3Server(tmp_path / "s3")
    bucket.bucket("data")
    make(bucket.root / "data", {"a/k": b"object"})
    bucket.start()
    place = {
        "bucket": "data",
        "key": "a/k",
        "endpoint": bucket.endpoint,
        "secretRef": {"name": "k"},
    }
    keys = secret(tmp_path / "keys", **KEYS_OF)
    with git_daemon(served.parent) as base, http_server() as server:
        outside = (
            Outside("g", {"git": {"repository": f"{base}/repo"}}, str(found), "g"),
            Outside("s", {"s3": place}, str(found), "s", keys),
            Outside("h", {"http": {"url": f"{server.base}/whole"}}, str(found), "h"),
        )
        for _ in range(2):  # as where the Pod's sandbox is made again
            fetcher.fetch(replace(task(), outside=outside), settings, HERE)
        wrong = Outside("s", {"s3": place}, str(found), "x", secret(tmp_path / "no", user="canary"))
        with pytest.raises(ArtifactError, match="artifact s: its Secret needs the keys") as caught:
            fetcher.fetch(replace(task(), outside=(wrong,)), settings, HERE)
        assert "canary" not in str(caught.value)
        bare = Outside("s", {"s3": place}, str(found), "x", secret(tmp_path / "empty"))
        with pytest.raises(ArtifactError, match="artifact s: the Secret that it names is empty"):
            fetcher.fetch(replace(task(), outside=(bare,)), settings, HERE)
    bucket.kill()
    assert not found.joinpath("x").exists()
    for path, _, _ in os.walk(found):
        Path(path).chmod(0o700)


def test_what_leaves_the_run_is_sent_before_the_manifest_is_there(tmp_path, settings):
    bucket = S3Server(tmp_path / "s3")
    bucket.bucket("data")
    bucket.start()
    s3 = {"bucket": "data", "key": "r", "endpoint": bucket.endpoint, "secretRef": {"name": "k"}}
    keys = secret(tmp_path / "keys", **KEYS_OF)
    declared = Declared("r", "report", type=ArtifactType.FILE)
    declared_too = Declared("none", "none", optional=True, type=ArtifactType.FILE)
    with http_server() as server:
        leaving = (
            Leaving("r", {"http": {"url": f"{server.base}/r"}}),
            Leaving("none", {"http": {"url": f"{server.base}/none"}}),
        )
        leaves = replace(task(declared, declared_too), leaving=leaving)
        out = left(tmp_path)
        said = json.loads(collector.collect(leaves, lambda: settings, out, print, HERE))
        assert len(said["artifacts"]["digest"]) == 64
        assert [(path, body) for path, _, body in server.put] == [("/r", b"fine")]
        to_bucket = replace(leaves, leaving=(Leaving("r", {"s3": s3}, keys),), execution="n-2")
        collector.collect(to_bucket, lambda: settings, out, print, HERE)
        assert (bucket.root / "data/r").read_bytes() == b"fine"
        refused = (Leaving("r", {"http": {"url": f"{server.base}/refuses"}}),)
        fails = replace(leaves, leaving=refused, execution="n-3")
        said = json.loads(collector.collect(fails, lambda: settings, out, print, HERE))
        assert said["podiumError"]["reason"] == "Upload"
        assert said["podiumError"]["retryable"] is False
        assert "the artifact r: " in said["podiumError"]["message"]
        assert "answers 409" in said["podiumError"]["message"]
    bucket.kill()
    executions = {path.parent.parent.name for path in settings.path.rglob("manifest.json")}
    executions |= {path.parent.name for path in settings.path.rglob("manifest.json")}
    assert not [name for name in executions if name.startswith("n-3")]


def test_what_cannot_be_sent_now_is_tried_again_and_what_was_sent_is_not(
    tmp_path, settings, monkeypatch
):
    monkeypatch.setattr(targets, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(targets, "BACKOFF_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(collector, "_PAUSE", 0.0)
    noted = []
    declared = [Declared(n, n, type=ArtifactType.FILE) for n in ("a", "b")]
    out = make(tmp_path / "out", {"a": b"a", "b": b"b"})
    with http_server() as server:
        leaving = (
            Leaving("a", {"http": {"url": f"{server.base}/a"}}),
            Leaving("b", {"http": {"url": f"{server.base}/busy"}}),
        )
        leaves = replace(task(*declared), leaving=leaving)
        said = json.loads(collector.collect(leaves, lambda: settings, out, noted.append, HERE))
        assert said["artifacts"]["digest"]
        assert [path for path, _, _ in server.put].count("/a") == 1
    assert noted
    assert all("answers 503" in each for each in noted)


def with_values(tmp_path, settings, files, names=("a", "b")):
    """Collect an execution with values in files, and return what was said."""
    place = make(tmp_path / "values", {str(n): data for n, data in enumerate(files)})
    leaves = replace(task(), values=names)
    out = tmp_path / "nothing"
    return json.loads(collector.collect(leaves, lambda: settings, out, print, HERE, place))


def test_values_in_files_are_part_of_the_last_words(tmp_path, settings):
    assert Task.load(replace(task(), values=("a", "b")).dump()).values == ("a", "b")
    said = with_values(tmp_path, settings, [b"x\n", b"\xff\xc3\xa9"])
    assert said["artifacts"]["digest"] == ""
    assert load_values(said["values"]) == {"a": b"x\n", "b": b"\xff\xc3\xa9"}
    assert load_values(with_values(tmp_path, settings, [b"", b"1"])["values"]) == {"b": b"1"}


def test_values_of_any_output_fit_into_the_last_words(tmp_path, settings):
    letters = base64.b64encode(os.urandom(3000))
    said = with_values(tmp_path, settings, [letters[:100], letters[100:3990]])
    assert len(json.dumps(said)) < 4096
    assert load_values(said["values"])["b"] == letters[100:3990]
    said = with_values(tmp_path, settings, [b"x", os.urandom(1 << 20)])
    assert len(load_values(said["values"])["b"]) == 4096, "too large for the engine, too"
    error = with_values(tmp_path, settings, [os.urandom(4000), os.urandom(4000)])["podiumError"]
    assert (error["reason"], error["retryable"]) == ("OutputTooLarge", False)


def test_what_is_not_values_is_refused():
    bomb = base64.b85encode(zlib.compress(b'{"a": "' + b" " * (8 << 20) + b'"}')).decode()
    for words in ("", "x", "é", dump_values({"a": b"x"})[:-1], bomb):
        with pytest.raises(ValueError):
            load_values(words)
    assert load_values(base64.b85encode(zlib.compress(b'{"a": 1}')).decode()) == {}


@pytest.mark.parametrize(
    ("endpoint", "of_namespace", "hosts", "words"),
    [
        ("http://169.254.169.254", True, [], "where machines keep their own secrets"),
        ("http://[::ffff:169.254.169.254]:80", True, [], "where machines keep their own secrets"),
        ("http://127.0.0.1:9", True, ["s3.example.com"], "allowedHosts"),
        ("http://127.0.0.1:9", True, ["127.0.0.0/8"], ""),
        ("http://127.0.0.1:9", True, [], ""),
        ("http://169.254.169.254", False, [], ""),
    ],
)
def test_the_server_of_an_artifact_store_is_where_urls_may_lead(
    tmp_path, endpoint, of_namespace, hosts, words
):
    told = {**TOLD, "endpoint": endpoint, "webIdentity": True, "ofNamespace": of_namespace}
    variables = {"PODIUM_STORE": json.dumps(told), "PODIUM_ALLOWED_HOSTS": json.dumps(hosts)}
    if not words:
        assert load_store(variables, tmp_path).endpoint == endpoint
        return
    with pytest.raises(ArtifactError, match=words):
        load_store(variables, tmp_path)
