"""Files with their graphs: what runs refer to, and that a graph is checked once."""

import pytest
from click.testing import CliRunner

from podium.api.problems import Severity, errors
from podium.api.source.files import read_text
from podium.cli import main
from podium.cli.checked_file import check_file
from podium.dag.checks import DefinitionChecks

WORKFLOW = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: etl}
spec:
  id: nightly_etl
  nodes:
  - {id: a, executor: script, config: {script: "true"}}
  - {id: fix, executor: script, dependsOn: [a], triggerRule: OneFailed, config: {script: "true"}}
"""


def run(name, **fields):
    more = "".join(f", {key}: {value}" for key, value in fields.items())
    return f"""
---
apiVersion: podium.dev/v1alpha1
kind: WorkflowRun
metadata: {{name: r}}
spec: {{workflowRef: {{name: {name}}}{more}}}
"""


def problems(text, elsewhere=()):
    return check_file(read_text(text, "f.yaml"), elsewhere).problems


@pytest.mark.parametrize("name", ["etl", "nightly_etl"])
def test_a_run_refers_to_a_workflow_by_its_name_or_its_id(name):
    assert problems(WORKFLOW + run(name)) == []


def test_a_reference_that_the_file_lacks_is_refused():
    (problem,) = problems(WORKFLOW + run("nightly_elt"))
    assert (problem.severity, problem.line) == (Severity.ERROR, 15)
    assert problem.message == (
        "'nightly_elt' is not in this file, which has etl, nightly_etl; did you mean 'nightly_etl'?"
    )


def test_a_reference_of_a_file_without_workflows_is_a_warning():
    (problem,) = problems(run("etl"))
    assert problem.severity is Severity.WARNING
    assert "must be on the cluster, and on a laptop in the same file" in problem.message


def test_a_reference_into_a_file_that_is_checked_too_is_sound(tmp_path):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "r.yaml").write_text(run("etl"))
    names = [str(tmp_path / "r.yaml"), str(tmp_path / "w.yaml")]
    assert CliRunner().invoke(main, ["validate", "--strict", *names]).exit_code == 0
    assert CliRunner().invoke(main, ["validate", "--strict", names[0]]).exit_code == 2


def test_a_reference_to_a_workflow_that_is_wrong_is_no_further_problem():
    found = problems(WORKFLOW.replace("id: a,", "id: a, titel: x,") + run("etl"))
    assert ["titel" in each.message for each in found] == [True]


def test_fail_fast_cancels_error_handlers():
    (problem,) = problems(WORKFLOW + run("etl", failFast="true"))
    assert problem.severity is Severity.WARNING
    assert problem.message.startswith("cancels fix at the first failure")
    assert "`finally`" in problem.message


def test_a_run_checks_its_graph_once(tmp_path, monkeypatch):
    runs = []
    check = DefinitionChecks.run
    monkeypatch.setattr(DefinitionChecks, "run", lambda self: runs.append(1) or check(self))
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["run", "w.yaml", "--dry-run"])
    assert (done.exit_code, len(runs)) == (0, 1), done.output


TEMPLATE = "${{ context.x }}"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ("pod: {labels: {team: '%s'}}", "pod.labels.team"),
        ("pod: {labels: {'%s': '%s'}}", 'pod.labels["${{ context.x }}"]'),
        ("pod: {annotations: {'%s': x}}", 'pod.annotations["${{ context.x }}"]'),
        ("pod: {annotations: {note: '%s'}}", "pod.annotations.note"),
        ("pod: {nodeSelector: {disk: '%s'}}", "pod.nodeSelector.disk"),
        ("pod: {serviceAccountName: '%s'}", "pod.serviceAccountName"),
        ("pod: {env: [{name: '%s', value: x}]}", "pod.env[0].name"),
        ("timeoutSeconds: '%s'", "timeoutSeconds"),
        ("dependsOn: ['%s']", "dependsOn[0]"),
    ],
)
def test_a_template_that_a_field_does_not_take_is_one_problem(fields, place):
    node = f"  - {{id: b, executor: script, config: {{script: x}}, {fields}}}\n"
    (problem,) = errors(problems(WORKFLOW + node.replace("%s", TEMPLATE)))
    assert str(problem).startswith(f"f.yaml:10: spec.nodes[2].{place}: ${{{{ }}}} is not filled in")
    remedies = ("write the value itself", "write the key itself")
    assert any(each in problem.message for each in remedies)
