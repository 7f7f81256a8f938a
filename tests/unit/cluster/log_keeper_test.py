"""Logs of ended Pods go to the store, each once, whatever fails meanwhile."""

import asyncio
import contextlib
import os
import signal

import pytest

from podium.artifacts.errors import ArtifactError
from podium.artifacts.kept_logs import FirstAndLast, KeptLog, log_key, log_of
from podium.artifacts.settings import DirectorySettings
from podium.cluster import log_keeper
from podium.cluster.artifact_sweep import sweep_namespace
from podium.cluster.kube.errors import ApiError
from podium.cluster.log_keeper import LogKeeper, keep_logs
from podium.cluster.settings import Settings
from tests.unit.artifacts.s3 import KEYS, S3Server
from tests.unit.artifacts.support import make
from tests.unit.cluster.artifact_sweep_test import Cluster as Runs
from tests.unit.cluster.artifact_sweep_test import grown_old

LINE = b"2026-01-01T00:00:00.123456789Z hello\n"
PVC = Settings(
    artifacts={"pvc": {"claimName": "c"}, "logs": {"enabled": True, "namespaces": ["team"]}}
)


def pod(name="p", phase="Succeeded", run="uid", node="build", namespace="team"):
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "labels": {"podium.dev/run-uid": run},
            "annotations": {"podium.dev/node": node, "podium.dev/execution": f"{node}-1"},
        },
        "status": {"phase": phase, "startTime": "2026-01-01T00:00:00Z"},
    }


KEY = "logs/uid/build/build-1/1767225600.uid-p.log"


class Cluster:
    """Pods and their logs."""

    def __init__(self, *pods, answers=(LINE,)):
        self.pods, self.answers, self.asked = pods, list(answers), []

    async def list_all(self, _resource, namespace, selector):
        assert selector == "podium.dev/run-uid"
        yield [each for each in self.pods if namespace in ("", each["metadata"]["namespace"])], "1"

    async def watch(self, *_):
        await asyncio.Event().wait()
        yield {}

    async def chunks(self, path, _accept, _silence=None):
        self.asked.append(path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        yield answer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(log_keeper, "BACKOFF_SECONDS", (0.01, 0.01))


async def until(is_so):
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)


async def kept(cluster, settings, directory, namespace, is_so):
    """Run the keeper until that is so, and end it as a kubelet does."""
    task = asyncio.create_task(keep_logs(cluster, settings, directory, namespace))
    await until(lambda: task.done() or is_so())
    os.kill(os.getpid(), signal.SIGTERM)
    await task


async def test_the_log_of_an_ended_pod_is_kept_and_read_once(tmp_path):
    running, other = pod("q", "Running"), pod("o", namespace="other")
    file = tmp_path / KEY
    cluster = Cluster(pod(), running, other)
    await kept(cluster, PVC, tmp_path, "team", file.exists)
    assert file.read_bytes() == LINE
    assert cluster.asked == ["/api/v1/namespaces/team/pods/p/log?container=node&timestamps=true"]
    assert list(tmp_path.rglob("*.log")) == [file]
    again = Cluster(pod(), pod("n"))
    await kept(again, PVC, tmp_path, "team", lambda: len([*tmp_path.rglob("*.log")]) == 2)
    assert [path.split("/")[6] for path in again.asked] == ["n"], "after a restart only what is new"


async def test_a_bucket_has_the_logs_of_all_namespaces(tmp_path):
    server = S3Server(tmp_path / "s3")
    server.bucket("artifacts")
    files = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": KEYS.secret_access_key}
    keys = make(tmp_path / "keys", {name: text.encode() for name, text in files.items()})
    bucket = {
        "bucket": "artifacts",
        "prefix": "p",
        "endpoint": server.endpoint,
        "credentialsSecret": "keys",
    }
    settings = Settings(artifacts={"s3": bucket, "logs": {"enabled": True}})
    server.start()
    server.kill()  # it is away at first
    root = tmp_path / "s3/artifacts/p"
    task = asyncio.create_task(asyncio.sleep(0.3))
    task.add_done_callback(lambda _: server.start())
    try:
        wanted = [root / "team" / KEY, root / "other" / KEY.replace("uid-p", "uid-o")]
        cluster = Cluster(pod(), pod("o", namespace="other"))
        await kept(cluster, settings, keys, "", lambda: all(each.exists() for each in wanted))
        assert all(each.read_bytes() == LINE for each in wanted)
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("answers", "asked", "is_kept"),
    [
        ([ApiError(0, "NoAnswer", "cut"), ApiError(500, "InternalError", "no"), LINE], 3, True),
        ([b""], 1, True),
        ([ApiError(404, "NotFound", "gone")], 1, False),
        ([ApiError(400, "BadRequest", "waiting to start")], 1, False),
        ([ApiError(502, "BadGateway", "its machine is gone")], 3, False),
    ],
)
async def test_what_cannot_be_read_is_asked_again_as_long_as_that_may_help(
    tmp_path, monkeypatch, answers, asked, is_kept
):
    monkeypatch.setattr(log_keeper, "TRIES", 2)
    cluster = Cluster(pod(), answers=answers)
    keeper = LogKeeper(cluster, lambda: DirectorySettings(tmp_path), 2048, by_namespace=False)
    keeper.take("ADDED", pod())
    keeper.take("MODIFIED", pod())
    work = asyncio.create_task(keeper.run())
    await until(lambda: len(cluster.asked) >= asked and (tmp_path / KEY).exists() == is_kept)
    await asyncio.sleep(0.1)
    assert len(cluster.asked) == asked
    await ended(work)


async def ended(work):
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_a_store_that_fails_is_tried_until_the_pod_is_gone(tmp_path, caplog):
    tried = []

    def store():
        tried.append(1)
        raise ValueError("the Secret of the artifact store needs the keys")

    keeper = LogKeeper(Cluster(pod()), store, 2048, by_namespace=False)
    keeper.take("ADDED", pod())
    work = asyncio.create_task(keeper.run())
    await until(lambda: len(tried) >= 15)
    keeper.take("DELETED", pod())
    await until(lambda: "its Pod is gone" in caplog.text)
    count = len(tried)
    await asyncio.sleep(0.1)
    assert len(tried) == count
    await ended(work)


@pytest.mark.parametrize("run", ["", "../x", "a/b", "x" * 300])
async def test_names_that_are_none_of_podiums_are_left_alone(tmp_path, run, caplog):
    keeper = LogKeeper(
        Cluster(pod()), lambda: DirectorySettings(tmp_path / "store"), 2048, by_namespace=True
    )
    keeper.take("ADDED", pod(run=run))
    keeper.take("ADDED", pod("good"))
    work = asyncio.create_task(keeper.run())
    await until(lambda: any(tmp_path.rglob("*uid-good.log")))
    assert "cannot be a key" in caplog.text
    assert len([*tmp_path.rglob("*.log")]) == 1
    await ended(work)


async def test_without_a_store_it_says_which_value_to_set(tmp_path):
    for settings in (Settings(), PVC):
        with pytest.raises(ValueError, match=r"set the chart's value artifacts\.s3"):
            await keep_logs(Cluster(), settings, tmp_path)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_of_a_long_log_the_first_and_the_last_lines_are_kept(size):
    whole = b"".join(b"%06d\n" % number for number in range(10_000))
    read = FirstAndLast(2_000)
    for start in range(0, len(whole), size):
        read.add(whole[start : start + size])
    found = read.kept()
    first, mark, last = found.partition(b"podium: ")
    count, _, last = last.partition(b" bytes are left out here\n")
    assert mark
    assert whole.startswith(first)
    assert whole.endswith(last)
    assert first.endswith(b"\n")
    assert len(first) + len(last) + int(count) == len(whole)
    assert 1_980 <= len(first) + len(last) <= 2_000


def test_a_short_log_is_kept_as_it_is_and_a_line_without_end_is_cut():
    for whole in (b"", b"x", b"a\nb\n", b"y" * 2_000):
        read = FirstAndLast(2_000)
        read.add(whole)
        assert read.kept() == whole
    read = FirstAndLast(2_000)
    for _ in range(100):
        read.add(b"z" * 1_000)
    assert read.kept() == b"z" * 1_000 + b"\npodium: 98000 bytes are left out here\n" + b"z" * 1_000
    assert read._in_last <= 2_000


def test_a_key_says_whose_log_it_is():
    log = KeptLog("uid", "build", "build-1", 1767225600, "uid-p")
    assert (log_key(log), log_of(KEY)) == (KEY, log)
    item = KeptLog("uid", "g.each[30]", "g.each[30]-2", 1767225600, "uid-p")
    key = "logs/uid/g.each.30/g.each.30-2/1767225600.uid-p.log"
    assert (log_key(item), log_of(key)) == (key, item)
    inside = KeptLog("uid", "g[3].a-1", "g[3].a-1-2", 1767225600, "uid-p")
    assert log_of(log_key(inside)) == inside
    assert log_of("logs/uid/build/x") is None
    with pytest.raises(ArtifactError, match="cannot be a key"):
        log_key(KeptLog("uid", "..", "x", 1, "p"))


def test_a_sweep_removes_logs_of_runs_that_are_gone(tmp_path):
    for uid in ("gone", "there"):
        make(tmp_path, {f"logs/{uid}/n/n-1/1.p.log": LINE})
    grown_old(tmp_path)
    make(tmp_path, {"logs/young/n/n-1/1.p.log": LINE})
    asyncio.run(sweep_namespace(Runs(("team", "there")), PVC, tmp_path, "team", ""))
    found = {each.parts[-4] for each in tmp_path.rglob("*.log")}
    assert found == {"there", "young"}
