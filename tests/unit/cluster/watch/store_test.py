"""The cache: what the watches said last, and what it does when they say it late, twice, or never."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.cluster.kube.views import job_view
from podium.cluster.watch import run_store
from podium.cluster.watch.run_store import TOMBSTONE_SECONDS
from podium.cluster.watch.store import InformerCache
from tests.unit.cluster import support
from tests.unit.cluster.support import JOB_UID, POD_UID, RUN_UID, condition, running, terminated

KEY = ("team", "release-x7")
COMPLETE = {"conditions": [condition("Complete")]}


def run(version, **meta):
    return support.run(metadata={"resourceVersion": str(version), **meta})


def job(version=101, name="j", ended=False, **meta):
    return support.job(
        metadata={"resourceVersion": str(version), "name": name, **meta},
        status=COMPLETE if ended else {},
    )


def pod(version=102, phase="Running", state=None, **meta):
    return support.pod(phase=phase, state=state, metadata={"resourceVersion": str(version), **meta})


def owned_by(run_uid):
    owner = support.job()["metadata"]["ownerReferences"][0]
    return [{**owner, "uid": run_uid}]


# Runs and Workflows


def test_an_older_copy_of_a_run_is_passed_over():
    cache = InformerCache()
    latest = cache.put_run(run(10, generation=5))
    assert cache.put_run(run(9, generation=4)) is latest
    assert cache.runs[KEY].generation == 5
    assert cache.put_run(run(10, generation=5)) is not latest
    assert cache.put_run(run(11, generation=6)).generation == 6


@pytest.mark.parametrize("odd", ["", "x", "-1"])
def test_a_version_that_is_no_number_is_taken(odd):
    cache = InformerCache()
    cache.put_run(run(10))
    assert cache.put_run(run(odd, generation=9)).generation == 9


def test_a_run_made_again_under_its_name_replaces_the_old_one():
    cache = InformerCache()
    cache.put_run(run(10))
    cache.put_job(job())
    again = cache.put_run(run(20, uid="again"))
    assert cache.runs[KEY] is again
    assert cache.keys == {"again": KEY}
    assert cache.live.total() == 0, "its Jobs went with it, though no watch said so"
    assert cache.put_run(run(15)) is again, "a late answer about the old one"
    cache.drop_run(KEY, RUN_UID)
    assert cache.runs[KEY] is again


def test_a_deleted_run_goes_with_its_jobs():
    cache = InformerCache()
    cache.put_run(run(10))
    cache.put_job(job())
    cache.drop_run(KEY, RUN_UID)
    assert (cache.runs, cache.keys, dict(cache.jobs("team", RUN_UID))) == ({}, {}, {})
    assert cache.live.total() == 0
    cache.drop_run(KEY, RUN_UID)


@pytest.mark.parametrize("seen", [True, False], ids=["seen while it goes", "unseen"])
def test_nothing_is_kept_of_what_is_gone(seen):
    cache = InformerCache()
    cache.put_run(run(10))
    cache.put_job(job(11))
    cache.put_pod(pod(12))
    cache.drop_run(KEY, RUN_UID)
    if seen:  # the server removes a run's Jobs after the run
        cache.put_job(job(13))
        cache.put_pod(pod(14, "Succeeded"))
    cache.drop_job(cache.job(JOB_UID) or job_view(job(13)))
    cache.lose_pod(POD_UID)
    assert {name: kept for name, kept in vars(cache).items() if kept} == {"live": {"team": 0}}


def test_what_is_gone_stays_gone_although_an_answer_comes_late(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(run_store, "time", clock)
    cache = InformerCache()
    late = run(10), job(11), pod(12)
    for body in late:
        cache.add_tombstone(body)
    clock.now += TOMBSTONE_SECONDS
    cache.add_tombstone({"metadata": {"uid": "another"}})
    assert [put(body) for put, body in zip(puts(cache), late, strict=True)] == [None] * 3
    assert all(cache.is_tombstoned(body["metadata"]["uid"]) for body in late)
    assert {name for name, kept in vars(cache).items() if kept} == {"_tombstones"}
    clock.now += 1
    cache.add_tombstone({"metadata": {"uid": "a third"}})
    assert len(cache._tombstones) == 2, "nobody remembers until cancelled"
    assert None not in [put(body) for put, body in zip(puts(cache), late, strict=True)]


def puts(cache):
    return cache.put_run, cache.put_job, cache.put_pod


def test_a_workflow_is_found_by_name_and_by_id():
    cache = InformerCache()
    cache.put_workflow(support.workflow())
    cache.put_workflow(support.workflow(metadata={"name": "release_workflow"}))
    assert cache.find_workflow("team", "release") == "release"
    assert cache.find_workflow("team", "release_workflow") == "release_workflow", "names first"
    assert cache.find_workflow("other", "release") is None
    assert cache.find_workflow("team", "") is None


# Jobs and Pods


def test_jobs_are_counted_until_they_end():
    cache = InformerCache()
    cache.put_job(job(1, "a", uid="a"))
    cache.put_job(job(2, "b", uid="b"))
    cache.put_job(job(3, "a", uid="a"))
    assert cache.live == Counter(team=2)
    cache.put_job(job(4, "a", uid="a", ended=True))
    assert cache.live == Counter(team=1)
    for name in ("a", "b", "b"):
        view = cache.jobs("team", RUN_UID).get(name)
        if view is not None:
            cache.drop_job(view)
    assert cache.live.total() == 0


def test_an_older_copy_of_a_job_is_passed_over():
    """The answer to its creation may come after the watch said that it ended."""
    cache = InformerCache()
    cache.put_job(job(9, ended=True))
    assert cache.put_job(job(8)).ended
    assert cache.jobs("team", RUN_UID)["j"].ended
    assert cache.live.total() == 0


def test_a_job_made_again_under_its_name_replaces_the_old_one():
    cache = InformerCache()
    cache.put_job(job(1, uid="old"))
    cache.put_job(job(2, uid="new"))
    assert cache.jobs("team", RUN_UID)["j"].uid == "new"
    assert cache.live == Counter(team=1)


def test_an_older_copy_of_a_pod_is_passed_over():
    """A list may be answered after the watch has gone on."""
    cache = InformerCache()
    cache.put_pod(pod(9, "Succeeded"))
    view, _ = cache.put_pod(pod(8, "Running"))
    assert view.phase == "Succeeded"
    assert cache.pods(JOB_UID) == [view]


def test_a_pod_may_come_before_its_job():
    cache = InformerCache()
    assert cache.put_pod(pod())[1] is None
    view = cache.put_job(job())
    assert [each.uid for each in cache.pods(view.uid)] == [POD_UID]


def test_a_pod_that_vanished_is_remembered_as_long_as_its_job():
    cache = InformerCache()
    view = cache.put_job(job())
    cache.put_pod(pod(state=terminated(3)))
    assert cache.lose_pod(POD_UID) == view
    (left,) = cache.pods(JOB_UID)
    assert (left.gone, left.alive, left.exit_code) == (True, False, 3)
    assert cache.lose_pod(POD_UID) is None
    cache.drop_job(view)
    assert cache.pods(JOB_UID) == []


def test_a_pod_that_outlives_its_job_is_known_until_it_goes():
    cache = InformerCache()
    view = cache.put_job(job())
    cache.put_pod(pod(state=running()))
    cache.drop_job(view)
    assert [each.alive for each in cache.pods(JOB_UID)] == [True]
    assert cache.lose_pod(POD_UID) == view, "its run has to look at it"
    assert cache.pods(JOB_UID) == []
    assert cache.lose_pod(POD_UID) is None


def test_the_first_word_about_when_a_pods_deletion_was_asked_for_holds():
    """At its end the kubelet deletes it again, without grace: that moves the time."""
    cache = InformerCache()
    cache.put_job(job())
    going = {"deletionTimestamp": support.at(50), "deletionGracePeriodSeconds": 30}
    cache.put_pod(pod(103, **going))
    over = {"deletionTimestamp": support.at(22), "deletionGracePeriodSeconds": 0}
    state = terminated(7, until=21)
    view, _ = cache.put_pod(pod(104, phase="Failed", state=state, **over))
    assert view.asked_to_end
    cache.mark_suspend_deletion(view.uid)
    assert cache.ended_by_suspension(view)


def test_a_pod_that_was_orphaned_still_speaks_for_its_job():
    """As `kubectl delete job --cascade=orphan` leaves it."""
    cache = InformerCache()
    view = cache.put_job(job())
    cache.put_pod(pod(state=running()))
    cache.drop_job(view)
    orphan = pod(103, phase="Succeeded", state=terminated(0), ownerReferences=[])
    assert cache.put_pod(orphan)[0].phase == "Succeeded"
    assert cache.lose_pod(POD_UID) == view
    assert InformerCache().put_pod(orphan) is None, "whose it was is not known any more"


def test_pods_of_foreign_jobs_leave_nothing_behind():
    cache = InformerCache()
    cache.put_pod(pod())
    assert cache.lose_pod(POD_UID) is None
    assert cache.pods(JOB_UID) == []


def test_what_no_run_owns_is_nothing():
    cache = InformerCache()
    assert cache.put_job(support.job(metadata={"ownerReferences": None})) is None
    assert cache.put_pod(support.pod(metadata={"ownerReferences": None})) is None
    assert cache.put_run({}) is None
    assert cache.put_workflow({}) is None
    assert cache.live.total() == 0


# Lists


def relist(cache, jobs, pods):
    """Do what `watches.Reflector` does with a list: take in what is there, lose what is not."""
    jobs, pods = list(jobs), list(pods)
    listed = {body["metadata"]["uid"] for body in (*jobs, *pods)}
    known = list(cache.jobs("team", RUN_UID).values())
    lost = [uid for uid in cache._job_of_pod if uid not in listed]  # also of a Job not seen yet
    for body in jobs:
        cache.put_job(body)
    for job in known:
        if job.uid not in listed:
            cache.lose_job(job.uid)
    for body in pods:
        cache.put_pod(body)
    for uid in lost:
        cache.lose_pod(uid)


def test_a_list_heals_missed_deletions():
    cache = InformerCache()
    cache.put_job(job(name="stays", uid="stays"))
    cache.put_job(job(name="gone", uid="gone"))
    cache.put_pod(pod(uid="p", ownerReferences=pod_owner("stays")))
    relist(cache, [job(name="stays", uid="stays")], [])
    assert list(cache.jobs("team", RUN_UID)) == ["stays"]
    assert [each.gone for each in cache.pods("stays")] == [True]
    assert cache.live == Counter(team=1)
    assert cache.lose_job("gone") is None
    assert cache.job("gone") is None
    assert cache.job("stays").name == "stays"


def test_a_pod_that_waits_to_be_let_go_outlives_its_job():
    cache = InformerCache()
    view = cache.put_job(job())
    cache.put_pod(pod(6, "Succeeded", finalizers=["podium.dev/result"]))
    assert cache.jobs_with_finalizers() == [JOB_UID]
    cache.drop_job(view)
    (kept,) = cache.pods(JOB_UID)
    assert kept.finalizer == 0
    cache.drop_pod(kept.uid)
    assert cache.pods(JOB_UID) == []
    assert cache.jobs_with_finalizers() == []


def pod_owner(job_uid):
    return [{"apiVersion": "batch/v1", "kind": "Job", "uid": job_uid, "controller": True}]


# Against a naive model


def has_ended(body):
    return "conditions" in body["status"]


class Server:
    """Jobs and Pods as they are, each change with a version, and every copy that was ever sent."""

    def __init__(self):
        self.version = 0
        self.jobs = {}
        self.pods = {}
        self.sent = []

    def put_job(self, name, *, ended):
        known = self.jobs.get(name)
        ended = ended or (known is not None and has_ended(known))  # for good
        self.version += 1
        uid = known["metadata"]["uid"] if known is not None else f"job-{self.version}"
        self.jobs[name] = body = job(self.version, name, ended=ended, uid=uid)
        self.sent.append(body)
        return body

    def put_pod(self, name, phase):
        owner = self.jobs.get(name)
        if owner is None:
            return None
        self.version += 1
        job_uid = owner["metadata"]["uid"]
        uid = next(iter(self.pods_of(job_uid)), f"pod-{self.version}")
        meta = {"uid": uid, "ownerReferences": pod_owner(job_uid)}
        self.pods[uid] = body = pod(self.version, phase, **meta)
        self.sent.append(body)
        return body

    def pods_of(self, job_uid):
        return {
            uid
            for uid, body in self.pods.items()
            if body["metadata"]["ownerReferences"][0]["uid"] == job_uid
        }


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["job", "end", "pod", "done", "delete", "lose", "late", "list"]),
        st.sampled_from("abc"),
        st.booleans(),  # whether the watch sees it
        st.integers(0, 50),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_after_a_list_the_cache_is_what_the_server_has(steps):
    server, cache = Server(), InformerCache()

    for step, name, seen, number in steps:
        if step in ("job", "end"):
            body = server.put_job(name, ended=step == "end")
            if seen:
                cache.put_job(body)
        elif step in ("pod", "done"):
            body = server.put_pod(name, "Running" if step == "pod" else "Succeeded")
            if seen and body is not None:
                cache.put_pod(body)
        elif step == "delete" and name in server.jobs:
            body = server.jobs.pop(name)
            if seen:
                view = cache.put_job(body)
                cache.drop_job(view)
        elif step == "lose":
            uid = next((u for u in server.pods if number % 2), None)
            if uid is not None:
                body = server.pods.pop(uid)
                if seen:
                    cache.put_pod(body)
                    cache.lose_pod(uid)
        elif step == "late" and server.sent:
            body = server.sent[number % len(server.sent)]
            alive = {
                each["metadata"]["uid"] for each in (*server.jobs.values(), *server.pods.values())
            }
            if body["metadata"]["uid"] in alive:
                cache.put_job(body)
                cache.put_pod(body)
        elif step == "list":
            relist(cache, server.jobs.values(), server.pods.values())
        known = [view for view in cache.jobs("team", RUN_UID).values() if not view.ended]
        assert cache.live.total() == len(known)
    relist(cache, server.jobs.values(), server.pods.values())
    assert {view.uid for view in cache.jobs("team", RUN_UID).values()} == {
        body["metadata"]["uid"] for body in server.jobs.values()
    }
    assert cache.live.total() == sum(not has_ended(body) for body in server.jobs.values())
    for name, body in server.jobs.items():
        assert cache.jobs("team", RUN_UID)[name].ended is has_ended(body)
        alive = {p.uid for p in cache.pods(body["metadata"]["uid"]) if not p.gone}
        assert alive == server.pods_of(body["metadata"]["uid"])


# Items of maps: what each has of its Indexed Job is seen as a Job


def indexed(**changes):
    return support.job(spec={"completionMode": "Indexed", "completions": 3}, **changes)


def item_pod(index=0, **changes):
    notes = {
        "batch.kubernetes.io/job-completion-index": str(index),
        "podium.dev/node": f"build[{index}]",
        "podium.dev/execution": f"build[{index}]-1",
    }
    meta = {"uid": f"pod-{index}", "name": f"pod-{index}", "annotations": notes}
    return support.pod(metadata={**meta, **changes})


def share_uid(index=0):
    return f"{JOB_UID}/build[{index}]-1"


def test_an_item_is_a_job_by_itself_with_its_own_pods():
    cache = InformerCache()
    cache.put_job(indexed())
    for index in range(2):
        _, job = cache.put_pod(item_pod(index))
        assert (job.uid, job.node) == (share_uid(index), f"build[{index}]")
        assert [pod.name for pod in cache.pods(job.uid)] == [f"pod-{index}"]
    assert cache.pods(JOB_UID) == []
    assert cache.live["team"] == 2, "what runs is the items"
    cache.put_pod(item_pod(0, resourceVersion="500"))
    assert cache.pods(share_uid())[0].version == "500"


def test_pods_of_items_may_come_before_their_job():
    cache = InformerCache()
    cache.put_pod(item_pod())
    assert cache.job(share_uid()) is None
    cache.put_job(indexed())
    assert cache.job(share_uid()).name.endswith("/build[0]-1")


def test_items_change_with_their_job_and_are_told_of_once():
    cache = InformerCache()
    cache.put_job(indexed())
    cache.put_pod(item_pod())
    cache.put_job(indexed(metadata={"resourceVersion": "300"}, status={"active": 2}))
    assert cache.take_changed_items() == []
    suspended = indexed(metadata={"resourceVersion": "301"})
    suspended["spec"]["suspend"] = True
    cache.put_job(suspended)
    assert [each.suspended for each in cache.take_changed_items()] == [True]
    assert cache.take_changed_items() == []


def test_items_go_with_their_job_once_nothing_of_them_runs():
    cache = InformerCache()
    job = cache.put_job(indexed())
    cache.put_pod(item_pod())
    cache.drop_job(job)
    assert cache.job(share_uid()) is None
    assert len(cache.pods(share_uid())) == 1, "it may run"
    cache.lose_pod("pod-0")
    assert cache.pods(share_uid()) == []
    assert cache.live["team"] == 0
    assert [name for name, kept in vars(cache).items() if kept and name != "live"] == []


def test_an_item_without_a_pod_goes_with_the_end_of_its_job():
    cache = InformerCache()
    job = cache.put_job(indexed())
    cache.put_item(job, "build[0]", "build[0]-1", 5.0)
    ended = {"conditions": [support.condition("Complete")]}
    cache.put_job(indexed(metadata={"resourceVersion": "300"}, status=ended))
    assert cache.job(share_uid()) is None
    assert cache.live["team"] == 0


def test_what_a_pod_says_of_its_item_is_bounded():
    for note in ("x" * 500, "", "a/b", 7):
        pod = item_pod()
        pod["metadata"]["annotations"]["podium.dev/execution"] = note
        cache = InformerCache()
        cache.put_job(indexed())
        view, _ = cache.put_pod(pod)
        assert (view.job_uid, view.item, view.is_indexed) == (JOB_UID, "", True)
