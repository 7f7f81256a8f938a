"""A store whose credentials are exchanged for tokens, by a real token service that asks the cluster."""

import contextlib

import pytest
from kubernetes import client

from tests import buckets
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.artifacts_test import FINDS, leaves, same
from tests.e2e.support import Kubectl, require_cluster, script, workflow_run
from tests.unit.artifacts.s3 import S3Server
from tests.unit.artifacts.sts import ROLE, token_service

pytestmark = pytest.mark.cluster

AUDIENCE = "podium-store"
LOOK = (
    "if ls -d /podium/store /var/run/secrets/* 2>/dev/null; then exit 8; fi\n"
    "if env | grep AWS_; then exit 9; fi\n"
)


@contextlib.contextmanager
def world(directory):
    """A namespace, a bucket without fixed keys, a token service for it, and an operator."""
    require_cluster()
    api = connect()
    apply_crds(api)
    address = buckets.address_for(api)
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(own_namespace(api))
        server = S3Server(directory / "s3", address=address, accounts=True)
        server.bucket(buckets.BUCKET)
        server.start()
        stack.callback(server.kill)
        reviews = client.AuthenticationV1Api(api)

        def accepts(token):
            spec = {"token": token, "audiences": [AUDIENCE]}
            status = reviews.create_token_review({"spec": spec}).status
            who = f"system:serviceaccount:{namespace}:default"
            return bool(status.authenticated) and status.user.username == who

        service = stack.enter_context(
            token_service(server, accepts, directory / "sts.pem", seconds=4, address=address)
        )
        bucket = {"bucket": buckets.BUCKET, "endpoint": server.endpoint, "roleARN": ROLE}
        artifacts = {
            "s3": bucket | {"caBundle": service.authority},
            "tokenAudience": AUDIENCE,
            "stsEndpoint": service.endpoint,
        }
        stack.enter_context(own_operator(namespace, directory, {"artifacts": artifacts}))
        yield Kubectl(namespace), service


def test_a_token_is_exchanged_again_while_files_are_stored(tmp_path):
    with world(tmp_path) as (k, service):
        make = leaves(160 << 20)
        make["config"]["script"] = LOOK + make["config"]["script"]
        k.apply(workflow_run("r", make, FINDS))
        k.wait("r")
        same(k)
        assert len(service.issued) >= 3, "by what stores, again while it does, and by what finds"
        assert service.refused == 0
        for pod in k.items("pods"):
            tokens = {
                volume["name"]: source["serviceAccountToken"]["audience"]
                for volume in pod["spec"]["volumes"]
                for source in volume.get("projected", {}).get("sources", ())
                if "serviceAccountToken" in source
            }
            assert tokens == {"podium-store": AUDIENCE}
            every = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
            holders = {
                each["name"]
                for each in every
                if "podium-store" in [mount["name"] for mount in each.get("volumeMounts", ())]
            }
            assert holders <= {"podium-collector", "podium-fetcher"}
            assert holders
        everything = k("get", "workflowruns,jobs,pods,events", "-o", "yaml").stdout
        assert not [secret for _, secret in service.issued if secret in everything]


def test_a_token_that_is_not_taken_fails_the_node_and_is_not_shown(tmp_path):
    with world(tmp_path) as (k, service):
        service.accepts = lambda _: False
        k.apply(workflow_run("r", script("make", "echo x > $PODIUM_ARTIFACTS_OUT/f", artifacts={})))
        k.wait("r", "Failed")
        state = k.nodes("r")["make"]
        assert state["reason"] == "Upload"
        assert "check what the role trusts" in state["message"]
        assert "eyJ" not in state["message"]
        assert service.issued == []
