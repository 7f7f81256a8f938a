"""Where artifacts come from, if from no node: what is wrong with it is named before a start."""

import pytest

from podium.api.problems import InvalidError
from podium.judge import objects
from tests.unit.dag.artifacts_test import container, said
from tests.unit.dag.dag_test import node

SHA = "a" * 64


def of(**source):
    return node("a", artifacts={"in": [{"name": "x", **source}]})


def test_what_is_right_is_taken():
    sources = [
        {"git": {"repository": "https://example.com/a.git", "ref": "v1.2", "depth": 0}},
        {"git": {"repository": "https://example.com/a", "secretRef": {"name": "robot"}}},
        {"git": {"repository": "ssh://git@example.com:2222/a.git", "ref": "feature/x"}},
        {"git": {"repository": "git://[::1]:9418/a"}},
        {"git": {"repository": "file:///srv/repo"}},
        {"http": {"url": "https://example.com/a?b=c%20d", "sha256": SHA, "headers": {"X-A": "b"}}},
        {"http": {"url": "http://localhost:8080/"}},
        {"s3": {"bucket": "team-data", "key": "a b/é.csv", "endpoint": "http://localhost:9000"}},
        {"raw": {"content": "é\n"}, "path": "config/app.yaml"},
    ]
    made = [{"name": f"s{number}", **each} for number, each in enumerate(sources)]
    assert not said(node("a", artifacts={"in": made}))
    assert not said(
        container("a", artifacts={"in": [{"name": "x", "raw": {"content": ""}, "path": "/etc/x"}]})
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "artifacts.in[0]: has none of from, git, http, s3, raw: name exactly one"),
        ({"raw": {"content": ""}, "from": "b.x"}, "has from and raw of"),
        ({"git": {"repository": "git@example.com:a/b"}}, "in[0].git.repository: 'git@example.com:a/b' must begin with https://, ssh://"),
        ({"git": {"repository": "-u/tmp"}}, "must begin with"),
        ({"git": {"repository": "ext::sh -c x"}}, "has characters that no URL has"),
        ({"git": {"repository": "ext::x"}}, "must begin with"),
        ({"git": {"repository": "https://-oProxyCommand=x/a"}}, "has no host, or one that is not a name"),
        ({"git": {"repository": "ssh://-oProxyCommand@h/a"}}, "has a user name that is not one"),
        ({"git": {"repository": "https://u:p4ss@example.com/a"}}, "'https://***@example.com/a' holds a user name or password"),
        ({"git": {"repository": "https:///a"}}, "has no host"),
        ({"git": {"repository": "https://h:99999/a"}}, "is not a URL"),
        ({"git": {"repository": "file://host/a"}}, "must be file:///PATH"),
        ({"git": {"repository": "file:///a/../b"}}, "without '..'"),
        ({"git": {"repository": "https://h/a", "ref": "--upload-pack=x"}}, "git.ref: '--upload-pack=x' is not a branch"),
        ({"git": {"repository": "https://h/a", "ref": "a:b"}}, "is not a branch, tag or commit"),
        ({"git": {"repository": "https://h/a", "ref": "a..b"}}, "is not a branch"),
        ({"git": {"repository": "git://h/a", "secretRef": {"name": "s"}}}, "git.secretRef: is for https:// only"),
        ({"http": {"url": "ftp://h/a"}}, "http.url: 'ftp://h/a' must begin with https://, http://"),
        ({"http": {"url": "file:///etc/passwd"}}, "must begin with https://, http://"),
        ({"http": {"url": "https://h/a#b"}}, "has a fragment"),
        ({"http": {"url": "https://h/a b"}}, "has characters that no URL has"),
        ({"http": {"url": "https://h/\r\nX: y"}}, "has characters that no URL has"),
        ({"http": {"url": "https://h:0/a"}}, "has port 0"),
        ({"http": {"url": "https://h/a", "sha256": SHA.upper()}}, "is not a SHA-256: write its 64 digits in lower-case hex"),
        ({"http": {"url": "https://h/a", "headers": {"Authorization": "x"}}}, "is not for a Workflow to set: use secretRef"),
        ({"http": {"url": "https://h/a", "headers": {"X Y": "x"}}}, "is not the name of a header"),
        ({"http": {"url": "https://h/a", "headers": {"X": "a\r\nb"}}}, "must be printable ASCII"),
        ({"http": {"url": "http://h/a", "secretRef": {"name": "s"}}}, "http.secretRef: would be sent in clear: use https"),
        ({"http": {"url": "https://h/a", "secretRef": {"name": "S_"}}}, "is not a Kubernetes name"),
        ({"s3": {"bucket": "Team_Data", "key": "k"}}, "s3.bucket: 'Team_Data' is not the name of a bucket"),
        ({"s3": {"bucket": "team", "key": "../k"}}, "s3.key: '../k' has a part '..'"),
        ({"s3": {"bucket": "team", "key": "data/"}}, "has an empty part"),
        ({"s3": {"bucket": "team", "key": "k", "region": "a b"}}, "is not a region"),
        ({"s3": {"bucket": "team", "key": "k", "endpoint": "https://h/team"}}, "s3.endpoint: has a path"),
        ({"http": {"url": "https://h/${{ context.x }}"}}, "${{ }} is not filled in"),
        ({"raw": {"content": "${{ context.x }}"}}, "raw.content: ${{ }} is not filled in"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(source, words):
    found = said(of(**source))
    assert len(found) == 1, found
    assert words in found[0]
    assert "p4ss" not in found[0]


def test_a_cluster_takes_what_its_pods_can_fetch():
    def check(**artifacts):
        head = {"apiVersion": "podium.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}
        body = {**head, "spec": {"nodes": [node("a", artifacts=artifacts)]}}
        objects.check(body, is_pinned=False, offered=["artifacts"])

    secret = {"secretRef": {"name": "s"}}
    for source in (
        {"raw": {"content": "x"}},
        {"http": {"url": "https://example.com/", **secret}},
        {"s3": {"bucket": "team", "key": "k", **secret}},
        {"git": {"repository": "https://example.com/", **secret}},
        {"git": {"repository": "git://example.com/x"}},
    ):
        check(**{"in": [{"name": "x", **source}]})
    to = {"s3": {"bucket": "team", "key": "k", **secret}}
    check(out=[{"name": "x", "path": "x", "type": "File", "to": to}])
    for scheme in ("ssh", "http", "file"):
        words = rf"artifacts.in\[0\].git.repository: {scheme}:// is for a laptop only: name a URL"
        with pytest.raises(InvalidError, match=words):
            check(
                **{
                    "in": [
                        {
                            "name": "x",
                            "git": {
                                "repository": f"{scheme}:///x"
                                if scheme == "file"
                                else f"{scheme}://h/x"
                            },
                        }
                    ]
                }
            )


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ({}, "artifacts.out[0].to: has none of http, s3: name exactly one"),
        (
            {"http": {"url": "file:///x"}},
            "artifacts.out[0].to.http.url: 'file:///x' must begin with",
        ),
        ({"s3": {"bucket": "B", "key": "k"}}, "artifacts.out[0].to.s3.bucket: 'B' is not the name"),
    ],
)
def test_where_an_artifact_leaves_to_is_checked(to, words):
    made = {"name": "x", "path": "x", "type": "File", "to": to}
    (found,) = said(node("a", artifacts={"out": [made]}))
    assert words in found


def test_only_files_leave_the_run():
    to = {"http": {"url": "https://example.com/x"}}
    assert not said(
        node("a", artifacts={"out": [{"name": "x", "path": "x", "type": "File", "to": to}]})
    )
    for kind in ({}, {"type": "Directory"}):
        (found,) = said(
            node("a", artifacts={"out": [{"name": "x", "path": "x", "to": to, **kind}]})
        )
        assert "artifacts.out[0].to: is for files: add type: File" in found
