"""Definition files: what is in them, and all that is wrong with them."""

import contextlib
import os

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.problems import InvalidError, Problem
from podium.api.resources import Workflow, WorkflowRun
from podium.api.source import files
from podium.dag import WorkflowDAG

HEAD = "apiVersion: podium.dev/v1alpha1\n"
WORKFLOW = HEAD + "kind: Workflow\nmetadata: {name: w}\nspec:\n"
SMALL = WORKFLOW + "  nodes: [{id: a}]\n"

HELLO = """\
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: hello}
spec:
  version: "1.0"
  inputs: {type: object, required: [who], properties: {who: {type: string}}, additionalProperties: false}
  globalContext: {greeting: Hello}
  nodes:
  - id: greet
    executor: script                    # type: phase is the default
    config:
      interpreter: python3
      script: |
        import json, os
        node = json.load(open(os.environ["PODIUM_INPUT"]))
        context = node["globalContext"]
        json.dump({"text": f"{context['greeting']}, {context['who']}"}, open(os.environ["PODIUM_OUTPUT"], "w"))
    outputContract: {produces: [text], schema: {type: object, properties: {text: {type: string}}}}
  - id: shout
    executor: container
    dependsOn: [greet]                  # short for an edge of type depends_on; both forms may mix
    config: {image: busybox, command: [echo, "${{ context.greet.text }}!"]}
    condition: "len(context.greet.text) > 3"
    timeoutSeconds: 60
    retryPolicy: {maxAttempts: 3, backoffSeconds: 2}
  edges: []                             # {from, to, type, condition, dataMapping, metadata}
---
apiVersion: podium.dev/v1alpha1
kind: WorkflowRun
metadata: {generateName: hello-}        # kubectl create -f; a fixed name works with apply
spec:
  workflowRef: {name: hello}            # or workflowSpec: {nodes: …}; exactly one
  context: {who: world}
  maxParallel: 10
  failFast: false
  suspend: false
  cancel: false
  ttlSecondsAfterFinished: 86400
"""


def said(text, name="f.yaml"):
    return [str(problem) for problem in files.read_text(text, name).problems]


def test_the_designs_example_loads_without_a_problem():
    file = files.read_text(HELLO, "hello.yaml")
    assert file.problems == []
    ((_, workflow),) = file.workflows
    assert WorkflowDAG(workflow.spec).problems() == []
    greet, shout = workflow.spec.nodes
    assert greet.output_contract.produces == ["text"]
    assert (shout.depends_on, shout.retry_policy.max_attempts) == (["greet"], 3)
    ((_, run),) = file.runs
    assert run.spec.workflow_ref.name == "hello"
    assert (run.spec.context, run.spec.ttl_seconds_after_finished) == ({"who": "world"}, 86400)


def test_json_is_the_same_as_yaml():
    raw = files.load_text(HELLO)[0].raw
    (document,) = files.load_text(orjson.dumps(raw), "f.json")
    assert document.resource == files.load_text(HELLO)[0].resource


# All problems in one go


def test_every_problem_of_a_file_is_reported_with_path_and_line():
    text = WORKFLOW + (
        "  version: 1.0\n"
        "  timeoutSeconds: 0\n"
        "  nodes:\n"
        "  - id: a\n"
        "    executr: script\n"
        "    timeoutSeconds: 5m\n"
        "    allowFailure: 'yes'\n"
        "    dependsOn: b\n"
        "    retryPolicy: {maxAttempts: '3',\n"
        "      backoff_seconds: 2}\n"
        "  - executor: script\n"
        "    config: [x]\n"
        "    resources: {limits: {cpu: 0.5}}\n"
        "  -\n"
        "  edges:\n"
        "  - {from: a,\n"
        "     type: dependsOn}\n"
        "---\n" + HEAD + "kind: WorkflowRun\n"
        "spec:\n"
        "  maxParallel: 0\n"
        "  max_parallell: 1\n"
        "---\n" + HEAD + "kind: Workflw\n"
    )
    assert said(text) == [
        'f.yaml:5: spec.version: must be a string, not the number 1.0: write "1.0" in quotes',
        "f.yaml:6: spec.timeoutSeconds: must be greater than 0, not 0",
        'f.yaml:9: spec.nodes[0].executr: unknown field "executr"; did you mean "executor"?',
        (
            "f.yaml:10: spec.nodes[0].timeoutSeconds: must be a number, not the string '5m': write it in"
            " seconds, without a unit"
        ),
        "f.yaml:11: spec.nodes[0].allowFailure: must be true or false, not the string 'yes'",
        "f.yaml:12: spec.nodes[0].dependsOn: must be a list, not the string 'b': write [b]",
        (
            "f.yaml:13: spec.nodes[0].retryPolicy.maxAttempts: must be a whole number, not the string"
            " '3': remove the quotes"
        ),
        (
            'f.yaml:14: spec.nodes[0].retryPolicy.backoff_seconds: unknown field "backoff_seconds";'
            ' did you mean "backoffSeconds"?'
        ),
        "f.yaml:15: spec.nodes[1].id: is missing: give the node an id",
        "f.yaml:16: spec.nodes[1].config: must be a mapping, not a list: write KEY: value, without -",
        (
            "f.yaml:17: spec.nodes[1].resources.limits.cpu: must be a quantity such as 500m, 1Gi or 2,"
            ' not the number 0.5: write "0.5" in quotes'
        ),
        (
            "f.yaml:18: spec.nodes[2]: must be a mapping, not nothing (null): leave it out, or give it"
            " a value"
        ),
        "f.yaml:20: spec.edges[0].to: is missing: name the node that follows",
        (
            "f.yaml:21: spec.edges[0].type: must be one of depends_on, produces_for, triggers, not the"
            " string 'dependsOn'; did you mean depends_on?"
        ),
        "f.yaml:23: metadata.name: is missing: write a name, such as my-workflow",
        "f.yaml:26: spec.maxParallel: must be at least 1, not 0",
        'f.yaml:27: spec.max_parallell: unknown field "max_parallell"; did you mean "maxParallel"?',
        (
            "f.yaml:30: kind: unknown kind 'Workflw' of podium.dev: must be Workflow or WorkflowRun"
            " or Executor or ClusterExecutor or ArtifactStore or"
            " ContractSchema or Persona or ModelConfig;"
            " did you mean Workflow?"
        ),
    ]


@pytest.mark.parametrize(
    ("field", "said_"),
    [
        ("suspend: true", '"suspend" belongs to a run'),
        ("retryPolicy: {}", '"retryPolicy" belongs to a node, or to defaults'),
        ("condition: x", '"condition" belongs to a node'),
        ("globalcontext: {}", 'did you mean "globalContext"?'),
        ("artifact: {store: x}", 'did you mean "artifacts"?'),
        ("zzz: 1", "known are id, title, version"),
        ('"x\\ny\\e": 1', 'unknown field "x\\ny\\x1b"; known are'),
        (f"? {'k' * 5000}\n  : 1", 'unknown field "kkk'),
    ],
)
def test_unknown_fields_get_a_hint(field, said_):
    (problem,) = files.read_text(f"{SMALL}  {field}\n").problems
    assert problem.line == 6
    assert said_ in problem.message
    assert "\n" not in problem.message
    assert len(problem.message) < 400


@pytest.mark.parametrize(
    ("field", "said_"),
    [
        ("title: on", 'must be a string, not the boolean on: write "on" in quotes'),
        ("version: 0o7", 'must be a string, not the number 0o7: write "0o7" in quotes'),
        ("version: 1e3", 'must be a string, not the number 1e3: write "1e3" in quotes'),
        ("tags: [no]", 'must be a string, not the boolean no: write "no" in quotes'),
        ("tags: {a: 1}", "must be a list, not a mapping"),
        ("timeoutSeconds: on", "must be a number, not the boolean on"),
        ("timeoutSeconds: NaN", "must be a number, not the string 'NaN'"),
        ("timeoutSeconds: '60'", "must be a number, not the string '60': remove the quotes"),
        ("globalContext: x", "must be a mapping, not the string 'x'"),
        ("description: " + "x" * 32_769, "must have at most 32,768 characters, and has 32,769"),
        ("metadata: '" + "x" * 5000 + "'", "must be a mapping, not the string 'xxx"),
    ],
)
def test_wrong_types_are_named_as_they_were_written(field, said_):
    (problem,) = files.read_text(f"{SMALL}  {field}\n").problems
    assert problem.line == 6
    assert problem.message.startswith(said_)
    assert len(problem.message) < 200


@pytest.mark.parametrize("field", ["version: 2026-01-31", "version: 12:30:45", "title: 1.2.3"])
def test_what_only_looks_like_a_date_is_a_text(field):
    assert said(f"{SMALL}  {field}\n") == []


def test_whole_numbers_may_be_written_as_floats():
    (document,) = files.load_text(SMALL + "  timeoutSeconds: 1e3\n  globalContext: {x: 1.0}\n")
    assert orjson.dumps(document.resource.spec.global_context) == b'{"x":1}'
    assert document.resource.spec.timeout_seconds == 1000
    assert said(WORKFLOW + "  nodes: [{id: a, maxDisruptions: 1e1}]\n") == []


def test_null_is_a_field_left_out_as_on_the_server():
    text = WORKFLOW + "  title: ~\n  edges:\n  nodes: [{id: a, retryPolicy: null, config: {x: }}]\n"
    (document,) = files.load_text(text)
    node = document.resource.spec.nodes[0]
    assert document.resource.spec.title is None
    assert (node.retry_policy, node.config) == (None, {"x": None})
    assert said(HEAD + "kind: Workflow\nmetadata: {name: w}\nspec:\n") == [
        "f.yaml:4: spec: is missing: it holds all that you ask for"
    ]


def test_the_status_is_not_what_the_user_asks_for():
    (document,) = files.load_text(SMALL + "status: [anything]\n")
    assert document.resource.status is None


# Documents


@pytest.mark.parametrize(
    ("text", "said_"),
    [
        (
            "3",
            "f.yaml:1: must be a mapping with apiVersion, kind, metadata, spec, not the number 3",
        ),
        ("[]", "f.yaml:1: must be a mapping with apiVersion, kind, metadata, spec, not a list"),
        ("{}", "f.yaml:1: has no apiVersion and kind: write apiVersion: podium.dev/v1alpha1"),
        ("kind: Workflow", "f.yaml:1: has no apiVersion: write apiVersion: podium.dev/v1alpha1"),
        (HEAD, "f.yaml:1: has no kind: write kind: Workflow or WorkflowRun"),
        (HEAD + "kind: [x]", "f.yaml:2: kind: must be a string, not a list"),
        (HEAD + "kind: Person", "f.yaml:2: kind: unknown kind 'Person'"),
        (HEAD + f"kind: {'x' * 5000}", "f.yaml:2: kind: unknown kind 'xxx"),
        (
            "apiVersion: podium.dev/v1\nkind: Workflow",
            "f.yaml:1: apiVersion: must be podium.dev/v1alpha1, not 'podium.dev/v1'",
        ),
        (
            "apiVersion: podium.io/v1alpha1\nkind: Workflow",
            "f.yaml:1: apiVersion: must be podium.dev/v1alpha1, not 'podium.io/v1alpha1'",
        ),
        ("---\n# nothing\n---\n", "f.yaml: is empty: a definition file holds a Workflow"),
        (
            "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: ConfigMap\n",
            (
                "f.yaml: holds no Workflow and no WorkflowRun of podium.dev/v1alpha1, only Secret of"
                " v1, ConfigMap of v1"
            ),
        ),
    ],
)
def test_what_is_no_resource_is_reported(text, said_):
    (only,) = said(text)
    assert only.startswith(said_)
    assert len(only) < 320


def test_objects_of_other_kinds_are_kept():
    file = files.read_text("apiVersion: v1\nkind: Secret\n---\n" + SMALL)
    assert file.problems == []
    assert [(d.kind, d.resource is None) for d in file.documents] == [
        ("Secret", True),
        ("Workflow", False),
    ]


def test_one_broken_document_hides_no_sound_one():
    file = files.read_text(f"{SMALL}---\n{SMALL}  zzz: 1\n---\n{SMALL.replace('w}', 'v}')}")
    assert [problem.line for problem in file.problems] == [12]
    assert [workflow.metadata.name for _, workflow in file.workflows] == ["w", "v"]


def test_a_list_as_kubectl_prints_it_is_opened():
    objects = [document.raw for document in files.load_text(HELLO)]
    text = orjson.dumps({"kind": "List", "apiVersion": "v1", "items": objects}).decode()
    assert [d.kind for d in files.load_text(text)] == ["Workflow", "WorkflowRun"]
    broken = "kind: List\napiVersion: v1\nitems:\n- {kind: Workflow, apiVersion: podium.dev/v1alpha1}\n- 3\n"
    assert said(broken) == [
        "f.yaml:4: spec: is missing: it holds all that you ask for",
        "f.yaml:5: must be a mapping with apiVersion, kind, metadata, spec, not the number 3",
    ]


@pytest.mark.parametrize("items", ["", "items: null\n", "items: {}\n", "items: 3\n"])
def test_a_list_without_items_is_another_kind(items):
    (only,) = said("kind: List\napiVersion: v1\n" + items)
    assert only.endswith("only List of v1")


@pytest.mark.parametrize(
    ("other", "line", "path"),
    [
        (SMALL, 9, "metadata.name"),
        (SMALL.replace("w}", "v}") + "  id: w\n", 12, "spec.id"),
        ("workflow: {id: w, nodes: [{id: a}]}\n", 7, "workflow.id"),
    ],
)
def test_two_workflows_that_one_name_means_are_refused(other, line, path):
    assert said(f"{SMALL}---\n{other}") == [
        (
            f"f.yaml:{line}: {path}: duplicate Workflow 'w': the one on line 3 has this name already;"
            " give each a name of its own"
        )
    ]


def test_the_same_name_in_another_namespace_or_kind_is_another():
    other = SMALL.replace("{name: w}", "{name: w, namespace: other}")
    run = HEAD + "kind: WorkflowRun\nmetadata: {name: w}\nspec: {workflowRef: {name: w}}\n"
    assert said(f"{SMALL}---\n{other}---\n{run}") == []


# Files


def test_files_that_cannot_be_read_are_one_problem(tmp_path):
    def only(path):
        (problem,) = files.read_file(path).problems
        assert problem.file == str(path)
        return problem.message

    assert only(tmp_path / "none") == "no such file"
    assert only(tmp_path) == "is a directory: name a file in it"
    assert only("a\0b").startswith("cannot be read: ")
    assert only("x" * 5000).startswith("cannot be read: ")
    (tmp_path / "file").write_text("x")
    assert only(tmp_path / "file" / "below").startswith("cannot be read: ")
    if os.getuid():
        (tmp_path / "secret").touch(mode=0o000)
        assert only(tmp_path / "secret") == "may not be read: permission denied"


def test_large_files_are_refused_unread(tmp_path):
    file = tmp_path / "large.yaml"
    file.write_bytes(b"")
    os.truncate(file, 10**12)
    (problem,) = files.read_file(file).problems
    assert problem.message.startswith("has 1,000,000,000,000 bytes: a file may have 5,000,000")


def test_a_file_of_five_megabytes_is_read(tmp_path):
    file = tmp_path / "f.yaml"
    config = "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: '%s'\n"
    text = config % ("x" * (5_000_000 - len(SMALL) - len(config) - 2)) + "---\n" + SMALL
    file.write_text(text)
    assert file.stat().st_size == 5_000_000
    ((document, _),) = files.read_file(file).workflows
    assert document.line_of(()) == 6


def test_a_pipe_is_no_way_round_the_limit(tmp_path):
    (problem,) = files.read_file("/dev/zero").problems
    assert problem.message.startswith("has 5,000,001 bytes")


def test_a_file_is_utf8_with_or_without_a_mark(tmp_path):
    for raw in (SMALL.encode(), b"\xef\xbb\xbf" + SMALL.encode()):
        (tmp_path / "f").write_bytes(raw)
        assert files.read_file(tmp_path / "f").problems == []
    (document,) = files.load_text(SMALL + "  title: 日本 😀\n")
    assert document.resource.spec.title == "日本 😀"


def test_loading_raises_with_all_problems(tmp_path):
    (tmp_path / "f").write_text(SMALL + "  zzz: 1\n  tags: 3\n")
    for load in (
        lambda: files.load_file(tmp_path / "f"),
        lambda: files.load_text((tmp_path / "f").read_bytes()),
    ):
        with pytest.raises(InvalidError) as caught:
            load()
        assert [problem.line for problem in caught.value.problems] == [6, 7]
        assert "zzz" in str(caught.value)


# Places


def test_problems_of_a_resource_find_their_place_in_the_file():
    (document,) = files.load_text(SMALL, "f.yaml")
    problem = document.located(Problem(("spec", "nodes", 0, "executor"), "is missing"))
    assert str(problem) == "f.yaml:5: spec.nodes[0].executor: is missing"
    assert document.written(("spec", "nodes", 0, "id")) == "a"
    assert document.written(("spec", "nodes", 7)) is None


# Objects from elsewhere


def test_an_object_of_the_api_server_is_parsed():
    raw = files.load_text(SMALL)[0].raw
    more = {"metadata": {"name": "w", "managedFields": [{}], "resourceVersion": "1"}, "status": 3}
    assert isinstance(files.parse({**raw, **more}), Workflow)
    run = {"workflowRef": {"name": "w"}}
    raw = {**raw, "kind": "WorkflowRun", "spec": run}
    assert isinstance(files.parse(raw), WorkflowRun)


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("change", "said_"),
    [
        ({"kind": "Secret", "apiVersion": "v1"}, "kind: is not a kind of podium.dev/v1alpha1"),
        ({"spec": {"nodes": [{"id": 3}]}}, "spec.nodes[0].id: must be a string, not the number 3"),
        ({"spec": {"nodes": [{"id": "a", "config": {"x": 2**70}}]}}, "is not plain JSON"),
        ({"spec": {"nodes": [{"id": "a", "config": {"x": {1}}}]}}, "is not plain JSON"),
        ({"spec": {"nodes": [{"id": "a", "config": {1: 2}}]}}, "is not plain JSON"),
        ({"spec": {"nodes": [{"id": "\ud800"}]}}, "is not plain JSON"),
        ({"spec": deep(100_000)}, "is not plain JSON of at most 100 levels"),
    ],
)
def test_objects_that_are_wrong_are_refused_without_a_line(change, said_):
    raw = {**files.load_text(SMALL)[0].raw, **change}
    with pytest.raises(InvalidError) as caught:
        files.parse(raw)
    assert str(caught.value).startswith(said_)
    assert all(problem.line is None for problem in caught.value.problems)


# Whatever comes

fragments = [
    *SMALL.splitlines(keepends=True),
    *HELLO.splitlines(keepends=True),
    "workflow:\n",
    "  id: x\n",
    "kind: List\napiVersion: v1\n",
    "items:\n- ",
    "---\n",
    "spec: ",
    "{}\n",
    "[null]\n",
    "  <<: *x\n",
    "&x ",
    "\t",
    "on: no\n",
    '"\\0"',
    "\x85",
    "é",
]


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(max_size=60)
    | st.lists(st.sampled_from(fragments), max_size=20).map("".join)
    | st.tuples(st.sampled_from([SMALL, HELLO]), st.text(max_size=20)).map("".join)
)
def test_any_bytes_are_a_file_with_its_problems(raw):
    file = files.read_text(raw, "f.yaml")
    assert file.problems or any(d.resource is not None for d in file.documents)
    for problem in file.problems:
        assert "\n" not in problem.message
        assert len(problem.message) < 600


leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                [
                    "id",
                    "nodes",
                    "edges",
                    "config",
                    "metadata",
                    "spec",
                    "workflow",
                    "kind",
                    "retryPolicy",
                    "resources",
                    "limits",
                    "pod",
                    "env",
                    "dependsOn",
                    "inputs",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(anything, st.sampled_from(["Workflow", "WorkflowRun"]))
def test_any_json_value_is_a_resource_or_refused(value, kind):
    head = {"apiVersion": "podium.dev/v1alpha1", "kind": kind, "metadata": {"name": "w"}}
    nodes = {"nodes": [{"id": "a", "pod": value, "resources": {"limits": value}}, value]}
    for raw in (
        {**head, "spec": value},
        {**head, "metadata": value, "spec": nodes},
        {**head, "spec": {**nodes, "workflowSpec": nodes, "workflowRef": value}},
        {"workflow": value},
        {"workflow": {"id": value, "metadata": value, "name": value, **nodes}},
    ):
        with contextlib.suppress(InvalidError):
            files.parse(raw)
        file = files.read_text(orjson.dumps(raw, default=str) if fits(raw) else "", "f.json")
        assert file.problems or file.documents[0].resource is not None


def fits(raw):
    try:
        orjson.dumps(raw)
    except TypeError:  # whole numbers of more than 64 bits, halves of characters
        return False
    return True


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("N", "the boolean N"),
        ("off", "the boolean off"),
        ("Yes", "the boolean Yes"),
        ("010", "the number 010"),
        ("1_000", "the number 1_000"),
        ("0x1F", "the number 0x1F"),
        ("1.10", "the number 1.10"),
        ("1e3", "the number 1e3"),
    ],
)
def test_a_config_is_reported_by_what_stands_in_the_file(written, what):
    text = f"""
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {{name: w}}
spec:
  nodes:
  - id: a
    executor: script
    config:
      script: "true"
      env:
      - {{name: {written}, value: {written}}}
"""
    file = files.read_text(text, "f.yaml")
    ((document, workflow),) = file.workflows
    found = [document.located(each) for each in WorkflowDAG(workflow.spec).problems()]
    message = f'must be a string, not {what}: write "{written}" in quotes'
    assert [(each.line, each.message) for each in found] == [(12, message)] * 2


def test_a_null_is_reported_by_what_stands_in_the_file():
    text = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - {id: Null, executor: script, config: {script: "true"}}
"""
    (problem,) = files.read_text(text, "f.yaml").problems
    assert problem.message == 'is missing: Null means null, write "Null" in quotes for the string'
