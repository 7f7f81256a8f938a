"""The examples on a cluster; runs_test has more of hello and sdlc."""

import shlex

import pytest
import yaml

from tests.conformance.cluster_shell import connect
from tests.e2e.example_commands import pages
from tests.e2e.support import ROOT, kubectl_path, run
from tests.volumes import volumes_for

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("file", "outputs"),
    [
        (
            "hello/workflow.yaml",
            {
                "greet": {"text": "Hello, world"},
                "shout": {"text": "HELLO, WORLD!"},
                "sum_up": {"said": "HELLO, WORLD!", "letters": 13},
            },
        ),
        (
            "hello/container.yaml",
            {"greet": {"text": "Hello, world"}, "shout": {"text": "HELLO, WORLD!"}, "say": {}},
        ),
        (
            "outputs/workflow.yaml",
            {
                "list": {"numbers": ["1", "2", "3"]},
                "multiply": {"product": 42},
                "keep": {"system": "Linux"},
                "report": {"said": "42 on Linux"},
            },
        ),
        (
            "sdlc/cluster.yaml",
            {
                row["node"]: row["output"]
                for row in yaml.safe_load((ROOT / "examples/sdlc/recorded.yaml").read_text())[
                    "answers"
                ]
            },
        ),
        (
            "volume/workflow.yaml",
            {"fetch": {}, "count": {}, "longest": {}, "sum_up": {"words": 12, "longest": "under"}},
        ),
        (
            "groups/workflow.yaml",
            {
                "build": {"lines": 3},
                "checks": {},
                "checks.lint": {"warnings": 0},
                "checks.tests": {},
                "checks.tests.old": {"passed": 12},
                "checks.tests.new": {"passed": 12},
                "checks.sum_up": {"lines": 3, "passed": 12},
                "publish": {"published": True},
            },
        ),
        (
            "map/workflow.yaml",
            {
                "chapters": {
                    "list": [
                        {"name": "one", "text": "call me ishmael"},
                        {"name": "two", "text": ""},
                        {"name": "three", "text": "some years ago"},
                        {"name": "four", "text": "never mind"},
                    ]
                },
                "count": {},
                "count[0]": {"words": 3},
                "count[2]": {"words": 3},
                "count[3]": {"words": 2},
                "report": {"words": 8},
            },
        ),
        (
            "regions/workflow.yaml",
            {
                "find": {"regions": ["eu-1", "us-1", "ap-1"]},
                "deploy": {},
                "deploy[0]": {"endpoint": "eu-1.example.com"},
                "deploy[1]": {"endpoint": "us-1.example.com"},
                "deploy[2]": {"endpoint": "ap-1.example.com"},
                "report": {"endpoints": "eu-1.example.com us-1.example.com ap-1.example.com"},
            },
        ),
        (
            "rollback/workflow.yaml",
            {
                "flight": {"reference": "F-12"},
                "flight.compensation": {},
                "hotel": {"reference": "H-7"},
                "hotel.compensation": {},
                "pay": {},
            },
        ),
        (
            "finally/workflow.yaml",
            {
                "create": {"name": "db-7"},
                "tests": {"passed": 12},
                "remove": {"removed": "db-7"},
                "tell": {},
            },
        ),
    ],
)
def test_each_ends_with_its_outputs(k, file, outputs):
    with volumes_for(connect(), k.namespace):
        k("apply", "-f", str(ROOT / "examples" / file))
        (run,) = k.items("workflowruns")
        status = k.wait(run["metadata"]["name"], seconds=180)
    found = {node: state.get("output", {}) for node, state in status["nodes"].items()}
    assert found == outputs
    if "say" in outputs:
        log = k("logs", "-l", "podium.dev/node=say", "--tail=-1").stdout
        assert log.strip() == "HELLO, WORLD!"


def test_the_kubectl_lines_of_the_pages_are_taken_by_the_server(k):
    for page in pages():
        base = page.path.parent if "cd examples/" in " ".join(page.block) else ROOT
        for line in page.of("kubectl"):
            _, *arguments = shlex.split(line)
            dry = ["--dry-run=server"] if arguments[0] == "apply" else []
            done = run(kubectl_path(), "-n", k.namespace, *arguments, *dry, cwd=base)
            assert done.returncode == 0, f"{page.name}: {line}\n{done.stderr}"
