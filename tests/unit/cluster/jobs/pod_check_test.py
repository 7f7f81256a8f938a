import pytest

from podium.cluster.jobs import pod_policy
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.settings import Settings
from tests.pods import ACCEPTED, GONE, NODE, REFUSED, REFUSED_TOGETHER, changed, pod


def test_the_pod_that_the_operator_makes_is_on_the_list():
    assert check_pod(pod(), Settings()) == []


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_what_nodes_may_set_is_on_the_list(path, value):
    assert check_pod(changed(path, value), Settings()) == []


@pytest.mark.parametrize(("path", "value"), [each[:2] for each in REFUSED])
def test_what_is_not_on_the_list_is_refused_and_named(path, value):
    (first, *_) = [str(each) for each in check_pod(changed(path, value), Settings())]
    top = path.split(".")[1]
    assert top in first or (top == "initContainers" and "containers" in first), first


@pytest.mark.parametrize("fields", REFUSED_TOGETHER)
def test_what_needs_two_fields_is_refused(fields):
    made = pod()
    for path, value in fields:
        made = changed(path, value, made)
    assert check_pod(made, Settings())


def test_what_a_later_kubernetes_adds_is_refused_everywhere():
    """A field that no version knows, at each level that a node's Pod has."""
    volume = [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]
    whole = changed("spec.volumes", volume)
    whole = changed(f"{NODE}.volumeMounts", [{"name": "v", "mountPath": "/v"}], whole)
    whole = changed(f"{NODE}.env", [{"name": "A", "valueFrom": {"fieldRef": {}}}], whole)
    whole = changed(f"{NODE}.resources", {}, whole)
    assert check_pod(whole, Settings()) == []
    for level in (
        "spec", "spec.securityContext", "spec.securityContext.seccompProfile", "spec.volumes.0",
        "spec.volumes.0.projected", "spec.volumes.0.projected.sources.0", NODE,
        f"{NODE}.securityContext", f"{NODE}.securityContext.capabilities", f"{NODE}.volumeMounts.0",
        f"{NODE}.env.0", f"{NODE}.env.0.valueFrom", f"{NODE}.resources",
    ):  # fmt: skip
        (problem,) = check_pod(changed(f"{level}.fromTheFuture", 1, whole), Settings())
        assert "fromTheFuture" in str(problem)


def test_an_empty_source_of_a_token_is_refused():
    """The server drops kinds of sources that its feature gates switch off."""
    volume = [{"name": "v", "projected": {"sources": [{}]}}]
    assert check_pod(changed("spec.volumes", volume), Settings())


def test_the_runtime_class_is_that_of_the_defaults():
    settings = Settings(podDefaults={"runtimeClassName": "gvisor"})
    assert check_pod(changed("spec.runtimeClassName", "gvisor"), settings) == []
    assert check_pod(changed("spec.runtimeClassName", "kata"), settings)
    assert check_pod(changed("spec.runtimeClassName", "gvisor"), Settings())


def test_arbitrary_user_ids_are_any_but_root():
    settings = Settings(arbitraryUserIDs=True)
    user = "spec.securityContext.runAsUser"
    level = "spec.securityContext.seLinuxOptions"
    annotation = "metadata.annotations.seccomp~security~alpha~kubernetes~io/pod"
    for path, good, bad in [
        (user, 1_000_650_000, 0),
        (f"{NODE}.securityContext.runAsUser", 1_000_650_000, 0),
        (level, {"level": "s0:c26,c5"}, {"level": "s0", "type": "spc_t"}),
    ]:
        assert check_pod(changed(path, good), settings) == []
        assert check_pod(changed(path, bad), settings)
        assert check_pod(changed(path, good), Settings())
    assert check_pod(changed(annotation, "runtime/default"), settings) == []
    assert check_pod(changed(annotation, "runtime/default"), Settings())
    assert check_pod(changed(user, GONE), settings) == []


def test_numbers_are_not_booleans():
    assert check_pod(changed("spec.securityContext.runAsNonRoot", 1), Settings())
    assert check_pod(changed("spec.securityContext.runAsUser", True), Settings())


def test_the_charts_rules_are_those_of_the_list(tmp_path):
    assert pod_policy.run(["check"]) == 0
