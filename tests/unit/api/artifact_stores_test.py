"""ArtifactStores as teams write them: what is wrong with one is said at its field."""

import pytest
import yaml

from podium.api.source import files
from podium.cli.checked_file import check_file

BUCKET = {"bucket": "team-data", "credentialsSecret": "keys"}


def problems(spec, **document):
    whole = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ArtifactStore",
        "metadata": {"name": "team"},
        "spec": spec,
        **document,
    }
    return [str(each) for each in files.read_text(yaml.safe_dump(whole)).problems]


@pytest.mark.parametrize(
    "spec",
    [
        {"s3": BUCKET},
        {"s3": {"bucket": "abc", "roleARN": "arn:aws:iam::123456789012:role/team/artifacts"}},
        {
            "s3": {
                **BUCKET,
                "endpoint": "https://s3.example.com:9000",
                "prefix": "podium/x=1",
                "addressing": "Virtual",
                "encryption": "aws:kms",
                "kmsKeyId": "k",
            }
        },
        {"pvc": {"claimName": "store", "singleNode": True}},
    ],
)
def test_a_store_that_is_right(spec):
    assert problems(spec) == []


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({}, "spec:", "none of s3, pvc: name exactly one"),
        ({"s3": BUCKET, "pvc": {"claimName": "c"}}, "spec:", "has s3 and pvc"),
        ({"pvc": {"claimName": "A_b"}}, "spec.pvc.claimName", "write a-b"),
        ({"s3": {"bucket": "abc"}}, "spec.s3:", "none of credentialsSecret and roleARN"),
        ({"s3": {**BUCKET, "roleARN": "arn:aws:iam::1:role/r"}}, "spec.s3:", "has both"),
        ({"s3": {"bucket": "abc", "roleARN": "r"}}, "spec.s3.roleARN", "arn:aws:iam::"),
        ({"s3": {**BUCKET, "bucket": "A"}}, "spec.s3.bucket", "not the name of a bucket"),
        ({"s3": {**BUCKET, "prefix": "a/../b"}}, "spec.s3.prefix", "not the beginning of a key"),
        ({"s3": {**BUCKET, "prefix": "/a"}}, "spec.s3.prefix", "not the beginning of a key"),
        ({"s3": {**BUCKET, "region": "evil.example/?"}}, "spec.s3.region", "not a region"),
        ({"s3": {**BUCKET, "endpoint": "ftp://x"}}, "spec.s3.endpoint", "begin with https://"),
        ({"s3": {**BUCKET, "endpoint": "http://u:p@x"}}, "spec.s3.endpoint", "characters"),
        ({"s3": {**BUCKET, "endpoint": "http://x:99999"}}, "spec.s3.endpoint", "not a URL"),
        ({"s3": {**BUCKET, "endpoint": "http://x/y"}}, "spec.s3.endpoint", "has a path"),
        ({"s3": {**BUCKET, "encryption": "rot13"}}, "spec.s3.encryption", "AES256 or aws:kms"),
        ({"s3": {**BUCKET, "kmsKeyId": "k"}}, "spec.s3.kmsKeyId", "aws:kms only"),
        ({"s3": {**BUCKET, "addressing": "path"}}, "spec.s3.addressing", "Path"),
        ({"s3": {**BUCKET, "secretKey": "x"}}, "spec.s3.secretKey", "unknown field"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(spec, path, words):
    (problem,) = problems(spec)
    assert path in problem
    assert words in problem


def test_a_store_is_referred_to_by_its_name():
    (problem,) = problems({"s3": BUCKET}, metadata={"generateName": "x-"})
    assert "write name instead" in problem


WORKFLOW = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  artifacts: {store: STORE}
  nodes: [{id: a, executor: script, config: {script: "true"}, artifacts: {}}]
"""


def test_a_workflow_names_a_store_that_may_be_anywhere():
    """On a laptop artifacts are in .podium/artifacts, whatever is named."""
    assert check_file(files.read_text(WORKFLOW.replace("STORE", "team"))).problems == []
    (problem,) = check_file(files.read_text(WORKFLOW.replace("STORE", "No_Name"))).problems
    assert "spec.artifacts.store" in str(problem)


def test_no_user_pins_a_store():
    """It would be a store that nobody with the right to make one has made."""
    pinned = WORKFLOW.replace("artifacts: {store: STORE}", "pinnedStore: {pvc: {claimName: c}}")
    (problem,) = files.read_text(pinned).problems
    assert "spec.pinnedStore" in str(problem)
    assert "unknown field" in str(problem)
