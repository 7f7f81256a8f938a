"""validate, convert and graph."""

import re
from pathlib import Path

import orjson
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunSpec, WorkflowRunStatus
from podium.api.source import source_map
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs, main
from podium.cli.documents import to_json, to_yaml
from podium.cli.output import is_safe
from podium.dag import WorkflowDAG
from podium.local.store import RunDirectory, RunRecord

SDLC = Path(__file__).parents[4] / "examples" / "sdlc" / "sdlc_complete_workflow.yaml"

HEAD = "apiVersion: podium.dev/v1alpha1\n"
SCRIPT = 'executor: script, config: {script: "true"}'


def podium(*arguments, **more):
    return CliRunner().invoke(main, [str(each) for each in arguments], **more)


def workflow(name, *nodes, more=""):
    lines = "".join(f"  - {{{node}, {SCRIPT}}}\n" for node in nodes)
    return f"{HEAD}kind: Workflow\nmetadata: {{name: {name}}}\nspec:\n{more}  nodes:\n{lines}"


def run(context, name="hello"):
    return (
        f"{HEAD}kind: WorkflowRun\nmetadata: {{generateName: r-}}\n"
        f"spec: {{workflowRef: {{name: {name}}}, context: {context}}}\n"
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


def write(name, text):
    Path(name).write_text(text)
    return name


# validate


def test_a_sound_file_is_summed_up_in_a_line_an_object(here):
    file = write("hello.yaml", workflow("hello", "id: a", "id: b, dependsOn: [a]"))
    done = podium("validate", file)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "hello.yaml: Workflow hello: 2 nodes, 1 edge: valid\n"


def test_the_seeds_file_is_valid_as_it_is():
    done = podium("validate", "--strict", SDLC)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{SDLC}: Workflow sdlc-complete-workflow: 6 nodes, 6 edges: valid\n"


def test_other_kinds_and_runs_are_named(here):
    inline = f"{HEAD}kind: WorkflowRun\nmetadata: {{name: i}}\nspec: {{workflowSpec: {{nodes: [{{id: a, {SCRIPT}}}]}}}}\n"
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
    text = "---\n".join([workflow("hello", "id: a"), run("{}"), inline, config])
    done = podium("validate", write("f.yaml", text))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "f.yaml: Workflow hello: 1 node, 0 edges: valid",
        "f.yaml: WorkflowRun r-… of the Workflow hello: valid",
        "f.yaml: WorkflowRun i: 1 node, 0 edges: valid",
        "f.yaml: ConfigMap: not a kind of Podium, not checked",
    ]


def test_standard_input_is_a_file(here):
    done = podium("validate", "-", input=workflow("hello", "id: a"))
    assert (done.exit_code, done.stdout) == (
        0,
        "<stdin>: Workflow hello: 1 node, 0 edges: valid\n",
    )
    done = podium("validate", "-", input="a: [")
    assert done.exit_code == 2
    assert done.stderr.startswith("<stdin>:2: is not valid YAML")


def test_warnings_are_errors_only_if_strict(here):
    file = write("f.yaml", workflow("hello", "id: a", "id: b, dependsOn: [a]", "id: alone"))
    warning = "f.yaml:8: spec.nodes[2]: warning: node 'alone' is isolated"
    done = podium("validate", file)
    assert done.exit_code == 0
    assert done.stderr.startswith(warning)
    assert done.stdout == "f.yaml: Workflow hello: 3 nodes, 1 edge: valid, 1 warning\n"
    done = podium("validate", "--strict", file)
    assert done.exit_code == 2
    assert done.stderr.startswith(warning)
    assert done.stdout == "f.yaml: invalid: 1 problem\n"


def test_a_note_is_not_an_error_if_strict(here):
    nodes = ("id: a", "id: b, dependsOn: [a], triggerRule: NoneFailed")
    done = podium("validate", "--strict", write("f.yaml", workflow("hello", *nodes)))
    assert done.stderr.startswith("f.yaml:7: spec.nodes[1].triggerRule: note: NoneFailed means")
    assert (done.exit_code, done.stdout) == (
        0,
        "f.yaml: Workflow hello: 2 nodes, 1 edge: valid\n",
    )


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [
        ("y", 'config.interpreter: must be a string, not the boolean y: write "y" in quotes'),
        (
            "[no]",
            'config.interpreter[0]: must be a string, not the boolean no: write "no" in quotes',
        ),
    ],
)
def test_an_interpreter_without_quotes_is_named_as_it_was_written(here, interpreter, said):
    text = workflow("hello", "id: a").replace("script:", f"interpreter: {interpreter}, script:")
    done = podium("validate", write("f.yaml", text))
    assert said in done.stderr


def test_a_word_of_a_closed_list_is_named_as_it_was_written(here):
    text = workflow("hello", "id: a, triggerRule: on")
    done = podium("validate", write("f.yaml", text))
    assert "AllDone, not the boolean on\n" in done.stderr


def test_choices_without_quotes_are_named_as_they_were_written(here):
    inputs = "{properties: {a: {type: string, enum: [yes, no]}}}"
    text = workflow("hello", "id: a").replace("  nodes:", f"  inputs: {inputs}\n  nodes:")
    done = podium("validate", write("f.yaml", text))
    assert "properties.a.enum[0]: " in done.stderr
    assert (
        done.stderr.count('write "yes" in quotes') == done.stderr.count('write "no" in quotes') == 1
    )


def test_all_problems_of_all_files_are_reported_with_their_lines(here):
    bad = write(
        "bad.yaml",
        workflow("bad", "id: a, dependsOn: [c]", "id: b, dependsOn: [a]", "id: c, dependsOn: [b]")
        + "  - {id: c, executor: script}\n"
        + "  - {id: d, executor: scrip}\n"
        + f"  - {{id: e, condition: 'context.x ==', {SCRIPT}}}\n"
        + "  - {id: f, executor: script, config: {scripts: x}}\n",
    )
    good = write("good.yaml", workflow("good", "id: a"))
    done = podium("validate", bad, good, "none.yaml")
    assert done.exit_code == 2
    said = done.stderr.splitlines()
    assert said[0].startswith("bad.yaml:6: spec.nodes[0]: cycle: a → b → c → a; ")
    for start in (
        "bad.yaml:9: spec.nodes[3].id: duplicate node id 'c': ",
        "bad.yaml:10: spec.nodes[4].executor: unknown executor 'scrip': ",
        "bad.yaml:11: spec.nodes[5].condition: ",
        "bad.yaml:12: spec.nodes[6].config.script: ",
        "bad.yaml:12: spec.nodes[6].config.scripts: ",
        "bad.yaml:10: spec.nodes[4]: warning: node 'd' is isolated",
        "none.yaml: no such file",
    ):
        assert any(line.startswith(start) for line in said), (start, said)
    lines = [int(line.split(":")[1]) for line in said if line.startswith("bad.yaml:")]
    assert lines == sorted(lines)
    assert done.stdout.splitlines() == [
        "bad.yaml: invalid: 6 problems",
        "good.yaml: Workflow good: 1 node, 0 edges: valid",
        "none.yaml: invalid: 1 problem",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x7fELF\0\0", "is a binary file"),
        (b"a: \xff", "is not UTF-8 text"),
        (b"a: " + b"x" * 5_000_000, "has 5,000,003 bytes"),
        (
            b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9))
                for i in range(1, 12)
            ),
            "aliases repeat more than",
        ),
        (b"kind: Workflow\n", "has no apiVersion"),
        (b"apiVersion: v1\nkind: ConfigMap\n", "holds no Workflow and no WorkflowRun"),
    ],
    ids=["empty", "binary", "latin1", "large", "bomb", "no-version", "another-kind"],
)
@pytest.mark.parametrize("verb", ["validate", "convert", "graph"])
def test_files_that_cannot_be_read_get_one_line(here, verb, content, said):
    Path("f.yaml").write_bytes(content)
    done = podium(verb, "f.yaml")
    assert done.exit_code == 2
    assert re.match(r"f\.yaml(:\d+)?: ", done.stderr)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["validate", "convert", "graph"])
def test_a_directory_is_said_to_be_one(here, verb):
    Path("d").mkdir()
    done = podium(verb, "d")
    assert (done.exit_code, done.stderr) == (2, "d: is a directory: name a file in it\n")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{}", "spec: names no workflow: write workflowRef"),
        (
            f"{{workflowRef: {{name: a}}, workflowSpec: {{nodes: [{{id: a, {SCRIPT}}}]}}}}",
            "spec: has both workflowRef and workflowSpec",
        ),
        (
            "{workflowSpec: {nodes: [{id: a, executor: none}]}}",
            "spec.workflowSpec.nodes[0].executor: unknown executor 'none'",
        ),
    ],
)
def test_runs_are_checked_too(here, spec, said):
    text = f"{HEAD}kind: WorkflowRun\nmetadata: {{name: r}}\nspec: {spec}\n"
    done = podium("validate", write("f.yaml", text))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"f.yaml:4: {said}")


def test_a_runs_context_is_checked_where_the_file_has_its_workflow(here):
    inputs = "  id: hello_id\n  inputs: {type: object, required: [who], properties: {who: {type: string}}}\n"
    hello = workflow("hello", "id: a", more=inputs)
    for name in ("hello", "hello_id"):
        done = podium("validate", write("f.yaml", hello + "---\n" + run("{who: 3}", name)))
        assert done.exit_code == 2
        assert re.fullmatch(r"f\.yaml:\d+: spec\.context\.who: .*string.*\n", done.stderr)
        done = podium("validate", write("f.yaml", hello + "---\n" + run("{who: x}", name)))
        assert (done.exit_code, done.stderr) == (0, "")
    assert podium("validate", write("f.yaml", run("{who: 3}", "elsewhere"))).exit_code == 0


def test_names_of_files_and_ids_do_not_reach_the_terminal_raw(here):
    text = workflow("hello", '"id": "a\\e[31m"')
    done = podium("validate", write("x\x1b]0;title\x07.yaml", text))
    assert done.exit_code == 2
    for shown in (done.stdout, done.stderr):
        assert shown
        assert all(each == "\n" or each.isprintable() for each in shown)


# convert


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_the_seeds_file_becomes_a_resource_that_is_the_same(here, output):
    converted = podium("convert", SDLC, "-o", output)
    assert (converted.exit_code, converted.stderr) == (0, "")
    file = write(f"c.{output}", converted.stdout)
    document = (orjson.loads if output == "json" else yaml.safe_load)(converted.stdout)
    assert document["apiVersion"] == "podium.dev/v1alpha1"
    assert document["kind"] == "Workflow"
    assert document["metadata"] == {"name": "sdlc-complete-workflow"}
    assert document["spec"]["id"] == "sdlc_complete_workflow"
    assert document["spec"]["nodes"][0]["outputContract"]["produces"]
    done = podium("validate", "--strict", file)
    assert (done.exit_code, done.stderr) == (0, "")
    assert podium("convert", file, "-o", output).stdout == converted.stdout
    assert podium("graph", file, "-o", "dot").stdout == podium("graph", SDLC, "-o", "dot").stdout


def test_scripts_stay_readable(here):
    text = workflow("hello").replace("  nodes:\n", "") + (
        "  nodes:\n  - id: a\n    executor: script\n    config:\n      script: |\n"
        "        echo 1\n        echo 2\n"
    )
    done = podium("convert", write("f.yaml", text))
    assert done.stdout.endswith("      script: |\n        echo 1\n        echo 2\n")


texts = (
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\t\x1b\x85 #:'\"-|>"))
    | st.sampled_from(
        [
            "y",
            "n",
            "on",
            "Off",
            "yes",
            "1e3",
            "0o7",
            "007",
            "1_000",
            "12:30:45",
            ".inf",
            "~",
            "<<",
            "=",
            "null",
            "2026-01-31",
            "0x1F",
            "+1",
        ]
    )
    | st.sampled_from(["", "99999999999999999999", " a", "\n x", "long " * 100 + "\u202e"])
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("write_", [to_yaml, to_json])
@settings(deadline=None)
@given(value=json_values)
def test_what_is_written_is_read_back_the_same_and_moves_no_cursor(write_, value):
    text = write_({"v": value})
    (found,) = source_map.read(text, "f")
    assert orjson.dumps(found.data) == orjson.dumps({"v": value})
    assert all(each == "\n" or is_safe(each) for each in text)


def test_several_workflows_ask_for_a_name(here):
    text = "---\n".join([workflow("one", "id: a"), workflow("two", "id: b", more="  id: second\n")])
    file = write("f.yaml", text)
    for verb in ("convert", "graph"):
        done = podium(verb, file)
        assert done.exit_code == 2
        assert done.stderr == (
            "podium: f.yaml has several Workflows: choose with --name, one of one, two\n"
        )
        done = podium(verb, file, "--name", "three")
        assert done.exit_code == 2
        assert done.stderr == "podium: f.yaml has no Workflow 'three'; it has one, two\n"
        assert "b" in podium(verb, file, "--name", "two").stdout
        assert podium(verb, file, "--name", "second").exit_code == 0
    done = podium("convert", write("r.yaml", run("{}")))
    assert (done.exit_code, done.stderr) == (2, "podium: r.yaml holds no Workflow\n")


# graph


def test_levels_of_the_seeds_file():
    done = podium("graph", SDLC, env={"COLUMNS": None})
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "1  requirements_phase\n"
        "2  design_phase             <- requirements_phase\n"
        "3  implementation_backend   <- design_phase  if context.include_backend == True\n"
        "   implementation_frontend  <- design_phase  if context.include_frontend == True\n"
        "4  testing_integration      <- implementation_backend, implementation_frontend\n"
        "5  deployment_phase         <- testing_integration [context.test_results.passed == True]\n"
    )


def test_lines_are_broken_at_the_terminals_width():
    done = podium("graph", SDLC, env={"COLUMNS": "60"})
    assert done.stdout.splitlines()[-4:] == [
        "4  testing_integration      <- implementation_backend,",
        "                            implementation_frontend",
        "5  deployment_phase         <- testing_integration",
        "                            [context.test_results.passed == True]",
    ]
    done = podium("graph", SDLC, env={"COLUMNS": "40"})
    assert done.stdout.splitlines()[-3:] == [
        "5  deployment_phase",
        "        <- testing_integration",
        "        [context.test_results.passed == True]",
    ]


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_a_wide_fan_loses_nothing_when_broken(columns):
    workers = [f"worker_number_{number}" for number in range(60)]
    nodes = [{"id": "start"}, *({"id": each, "dependsOn": ["start"]} for each in workers)]
    dag = WorkflowDAG(
        WorkflowSpec.model_validate({"nodes": [*nodes, {"id": "end", "dependsOn": workers}]})
    )
    lines = list(graphs.ascii_levels(dag, {}, columns))
    assert max(len(line) for line in lines) <= max(columns, 30)
    assert " ".join(" ".join(lines).split()).endswith("end <- " + ", ".join(workers))


def test_other_types_of_edges_are_reported(here):
    text = workflow("hello", "id: a", "id: b", "id: c") + (
        "  edges:\n  - {from: a, to: b, type: triggers}\n"
        "  - {from: a, to: c, type: produces_for, condition: context.ok, dataMapping: {x: z}}\n"
    )
    file = write("f.yaml", text)
    assert podium("graph", file).stdout == (
        "1  a\n2  b  <- a (triggers)\n   c  <- a (produces_for) [context.ok]\n"
    )
    assert podium("graph", file, "-o", "mermaid").stdout == (
        'flowchart TD\n  n0["a"]\n  n1["b"]\n  n2["c"]\n  n0 -.-> n1\n  n0 -.->|"context.ok"| n2\n'
    )
    dot = podium("graph", file, "-o", "dot").stdout
    assert '  "a" -> "b" [style=dashed];\n' in dot
    assert '  "a" -> "c" [label="context.ok", style=dashed];\n' in dot


ODD = WorkflowDAG(
    WorkflowSpec.model_validate(
        {
            "nodes": [
                {"id": "a-b", "title": '1. say "hi" \\N <b>x</b> & `c` #35; %%\nnew\x1b[31m'},
                {"id": "end", "title": "&lt; _x_ ; } ]"},
                {"id": "graph"},
            ],
            "edges": [
                {"from": "a-b", "to": "end", "condition": 'context["x"] == "a|b"'},
                {"from": "end", "to": "graph"},
            ],
        }
    )
)
"""Both outputs were shown by Mermaid 11.16 and Graphviz 14 as they are meant."""


def test_mermaid_labels_hold_no_syntax():
    lines = list(graphs.mermaid(ODD, {}))
    labels = [re.search(r'"(.*)"', line) for line in lines[1:5]]
    shown = []
    for label in labels[:2] + labels[3:]:
        assert label is not None
        assert not re.search(r'["<>&`|%\[\]{}\x1b]', label.group(1))
        assert not re.match(r"\d+\.|[-*+_]", label.group(1))
        shown.append(re.sub(r"#(\d+);", lambda code: chr(int(code.group(1))), label.group(1)))
    assert shown == [
        '1. say "hi" \\N <b>x</b> & `c` #35; %% new\\x1b[31m',
        "&lt; _x_ ; } ]",
        'context["x"] == "a|b"',
    ]
    assert lines[4:] == [lines[4], "  n1 --> n2"]


def test_dot_quotes_ids_and_labels():
    assert list(graphs.dot(ODD, {}))[2:-1] == [
        r'  "a-b" [label="1. say \"hi\" \\N <b>x</b> &amp; `c` #35; %%\nnew\\x1b[31m"];',
        '  "end" [label="&amp;lt; _x_ ; } ]"];',
        '  "graph" [label="graph"];',
        r'  "a-b" -> "end" [label="context[\"x\"] == \"a|b\""];',
        '  "end" -> "graph";',
    ]


def _unquoted(text):
    """Read a string of Graphviz as its grammar has it; what follows comes second."""
    assert text[0] == '"'
    found, position = "", 1
    while text[position] != '"':
        step = 2 if text[position] == "\\" else 1
        found += text[position : position + step]
        position += step
    label = re.sub(r"\\(.)", lambda each: "\n" if each.group(1) == "n" else each.group(1), found)
    return label.replace("&amp;", "&"), text[position + 1 :]


@settings(deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=["C", "Z"]) | st.sampled_from('\\"&;n \n[]'), min_size=1
    )
)
def test_any_title_survives_in_dot_and_mermaid(title):
    dag = WorkflowDAG(WorkflowSpec.model_validate({"nodes": [{"id": "a", "title": title[:1000]}]}))
    line = list(graphs.dot(dag, {}))[2]
    label, rest = _unquoted(line.removeprefix('  "a" [label='))
    assert (label, rest) == (title[:1000], "];")
    (node,) = list(graphs.mermaid(dag, {}))[1:]
    inner = node.removeprefix('  n0["').removesuffix('"]')
    assert '"' not in inner
    shown = re.sub(r"#(\d+);", lambda code: chr(int(code.group(1))), inner)
    assert shown == " ".join(title[:1000].split())


def laptop_run(directory, name):
    spec = WorkflowSpec.model_validate(
        {"nodes": [{"id": "a"}, {"id": "b", "dependsOn": ["a"], "condition": "context.x"}]}
    )
    record = RunRecord(
        name=name,
        uid="u",
        created_at=0.0,
        workflow_id="w",
        workdir=str(directory),
        workflow=spec,
        spec=WorkflowRunSpec(workflow_spec=spec),
    )
    states = {
        "a": NodeState(status=NodeStatus.COMPLETED),
        "b": NodeState(status=NodeStatus.SKIPPED),
    }
    status = WorkflowRunStatus(phase=RunPhase.SUCCEEDED, nodes=states)
    RunDirectory(directory, name).create(record, status)


def test_a_runs_graph_shows_the_states_of_its_nodes(here):
    laptop_run(here / ".podium", "r1")
    done = podium("graph", "r1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "1  a  Completed\n2  b  Skipped    <- a  if context.x\n"
    assert podium("graph", "r1", "-o", "mermaid").stdout.splitlines()[1:] == [
        '  n0["a<br/>Completed"]',
        '  n1["b<br/>Skipped"]',
        "  n0 --> n1",
        "  style n0 fill:#d1e7dd",
        "  style n1 fill:#e2e3e5",
    ]
    dot = podium("graph", "r1", "-o", "dot").stdout
    assert r'"b" [label="b\nSkipped", fillcolor="#e2e3e5"];' in dot


def test_a_file_goes_before_a_run_and_a_run_before_a_directory(here):
    laptop_run(here / "kept", "r1")
    Path("r1").mkdir()
    assert "Completed" in podium("graph", "r1", "--state-dir", "kept").stdout
    Path("r1").rmdir()
    write("r1", workflow("hello", "id: other"))
    assert podium("graph", "r1", "--state-dir", "kept").stdout == "1  other\n"


def test_what_is_neither_file_nor_run_is_said(here):
    done = podium("graph", "nowhere")
    assert done.exit_code == 2
    assert done.stderr == "podium: nowhere: is neither a file nor a run in .podium\n"


def test_a_damaged_run_is_said(here):
    laptop_run(here / ".podium", "r1")
    (here / ".podium/runs/r1/run.json").write_text("{")
    done = podium("graph", "r1")
    assert done.exit_code == 2
    assert re.fullmatch(
        r"podium: the state in .*/r1 is damaged \(.*\): podium delete r1 removes the run\n",
        done.stderr,
    )


def test_the_graph_of_an_inline_run_is_drawn(here):
    text = f"{HEAD}kind: WorkflowRun\nmetadata: {{name: i}}\nspec: {{workflowSpec: {{nodes: [{{id: only, {SCRIPT}}}]}}}}\n"
    assert podium("graph", write("f.yaml", text)).stdout == "1  only\n"
    assert podium("graph", "-", input=text).stdout == "1  only\n"


def test_no_graph_is_drawn_of_a_cycle(here):
    file = write("f.yaml", workflow("f", "id: a, dependsOn: [b]", "id: b, dependsOn: [a]"))
    done = podium("graph", file)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cycle: a → b → a" in done.stderr


def test_what_is_sound_beside_what_is_refused_is_looked_at_too(here):
    file = write(
        "f.yaml",
        "apiVersion: podium.dev/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n"
        "  inputs: {type: object, properties: {pw: {type: string, format: password}}}\n"
        "  nodes:\n"
        "  - 7\n"
        "  - {executor: script, config: {script: x}}\n"
        "  - {id: a/b, executor: script, config: {script: x}}\n"
        "  - {id: c, executor: script, config: {script: x}, dependsOn: [nope], pod: {\n"
        "      hostNetwork: true, labels: {podium.dev/run: x}}}\n",
    )
    places = {line.split(": ")[1] for line in podium("validate", file).stderr.splitlines()}
    assert places == {
        "spec.inputs.properties.pw.format",
        "spec.nodes[0]",
        "spec.nodes[1].id",
        "spec.nodes[2].id",
        "spec.nodes[3].dependsOn[0]",
        "spec.nodes[3].pod.hostNetwork",
        'spec.nodes[3].pod.labels["podium.dev/run"]',
    }


EXECUTOR = f"""{HEAD}kind: Executor
metadata: {{name: tool}}
spec: {{template: {{spec: {{containers: [{{name: node, image: busybox}}]}}}}}}
"""
USES = f"""{HEAD}kind: Workflow
metadata: {{name: hello}}
spec:
  nodes: [{{id: a, executor: tool, config: {{}}}}]
"""


@pytest.mark.parametrize("verb", ["graph", "convert"])
@pytest.mark.usefixtures("here")
def test_executors_of_other_files_are_known(verb):
    file, other = write("w.yaml", USES), write("tool.yaml", EXECUTOR)
    assert "'tool'" in podium(verb, file).output
    done = podium(verb, file, "-f", other)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("ascii", "1  shards  for each context.files"),
        ("mermaid", '  n0["shards<br/>for each context.files"]'),
        ("dot", '  "shards" [label="shards\\nfor each context.files"];'),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_map_says_what_it_runs_over(form, line):
    file = write("w.yaml", workflow("hello", "id: shards, forEach: context.files"))
    assert line in podium("graph", file, "-o", form).output.splitlines()
