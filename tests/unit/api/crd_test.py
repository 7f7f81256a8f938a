"""The CRDs are what the models say, and what Kubernetes takes."""

from pathlib import Path

import pytest
import yaml

from podium.api import crd, names

ROOT = Path(crd.__file__).parents[3]
CRDS = {each["spec"]["names"]["kind"]: each for each in crd.crds()}


def schema(kind):
    (version,) = CRDS[kind]["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def fields(part, path=()):
    """Give every schema in a schema with its path."""
    yield path, part
    for name, inner in part.get("properties", {}).items():
        yield from fields(inner, (*path, name))
    for name in ("items", "additionalProperties"):
        if name in part:
            yield from fields(part[name], (*path, f"({name})"))


# The files


def test_the_files_are_what_the_models_say(capsys):
    assert crd.main(["check"]) == 0, capsys.readouterr().err


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Have the files in a directory of their own."""
    monkeypatch.setattr(crd, "__file__", str(tmp_path / "operator/podium/api/crd.py"))
    assert crd.main(["write"]) == 0
    assert crd.main(["check"]) == 0
    return tmp_path


@pytest.mark.parametrize("directory", ["crds", "charts/podium/templates/crds"])
def test_a_file_that_drifts_is_reported(tree, directory, capsys):
    file = tree / directory / "podium.dev_workflows.yaml"
    file.write_text(file.read_text().replace("maxLength: 63", "maxLength: 64", 1))
    assert crd.main(["check"]) == 1
    said = f"{directory}/podium.dev_workflows.yaml is not what the models say: run `make crds`\n"
    assert capsys.readouterr().err == said
    file.unlink()
    assert crd.main(["check"]) == 1
    assert crd.main(["write"]) == crd.main(["check"]) == 0


def test_a_file_of_no_model_is_reported_and_removed(tree, capsys):
    stray = tree / "crds" / "old.yaml"
    stray.write_text("")
    assert crd.main(["check"]) == 1
    assert "crds/old.yaml" in capsys.readouterr().err
    assert crd.main(["write"]) == 0
    assert not stray.exists()


def test_a_crd_that_grows_too_large_is_neither_written_nor_sound(tree, monkeypatch, capsys):
    monkeypatch.setattr(crd, "MAX_CRD_BYTES", 1000)
    for verb in ("write", "check"):
        assert crd.main([verb]) == 1
        assert "over 1000 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["help"], ["write", "x"]])
def test_other_arguments_are_refused(arguments, capsys):
    assert crd.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_every_file_is_small_and_holds_its_crd():
    files = crd.files(ROOT)
    assert len(files) == 18
    for path, text in files.items():
        assert len(text.encode()) < crd.MAX_CRD_BYTES
        if "charts" not in path.parts:
            assert yaml.safe_load(text) in CRDS.values()


def test_helm_keeps_the_crds_and_prints_braces_as_they_are():
    for path, text in crd.files(ROOT).items():
        if "charts" in path.parts:
            plain = text.replace('{{ "{{" }}', "")
            assert "{{" not in plain
            assert "helm.sh/resource-policy: keep" in plain


# The schemas

MEMBERS = "nodes.(items).nodes.(items)."


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_described(kind):
    described = [
        ".".join(path)
        for path, part in fields(schema(kind))
        if path and not path[-1].startswith("(") and path[0] != "metadata"
        if not part.get("description", "").strip().endswith(".")
    ]
    assert [each for each in described if MEMBERS not in each] == []


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowRun"])
def test_members_of_groups_are_typed_one_level_and_kept_below(kind):
    """They are as the nodes around them, which are described: that would be as long again."""
    spec = schema(kind)["properties"]["spec"]["properties"]
    node = (spec if kind == "Workflow" else spec["workflowSpec"]["properties"])["nodes"]["items"]
    member = node["properties"]["nodes"]["items"]
    assert member["properties"].keys() == node["properties"].keys()
    assert member["required"] == ["id"]
    assert member["properties"]["maxDisruptions"]["type"] == "integer"
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert member["properties"]["nodes"]["items"] == kept


@pytest.mark.parametrize("kind", CRDS)
def test_schemas_are_structural(kind):
    for path, part in fields(schema(kind)):
        free = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
        assert "type" in part or any(part.get(each) for each in free), path
        assert "default" not in part, path
        assert not part.keys() & {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const"}
        assert not ("properties" in part and "additionalProperties" in part), path


@pytest.mark.parametrize("kind", CRDS)
def test_texts_and_lists_are_bounded(kind):
    for path, part in fields(schema(kind)):
        if path[:1] not in [("spec",), ("status",)]:
            continue
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if part.get("type") == "string":
            assert "maxLength" in part or "enum" in part, path


@pytest.mark.parametrize("path", [("Workflow", "spec"), ("WorkflowRun", "spec", "workflowSpec")])
def test_nodes_are_a_map_by_id(path):
    part = schema(path[0])
    for name in path[1:]:
        part = part["properties"][name]
    nodes = part["properties"]["nodes"]
    assert nodes["x-kubernetes-list-type"] == "map"
    assert nodes["x-kubernetes-list-map-keys"] == ["id"]
    assert "id" in nodes["items"]["required"]
    assert nodes["items"]["properties"]["id"]["pattern"] == names.ID_PATTERN
    assert nodes["items"]["x-kubernetes-map-type"] == "atomic"
    assert (nodes["minItems"], nodes["maxItems"]) == (1, 5000)
    assert part["properties"]["edges"]["maxItems"] == 20_000


def test_what_is_free_form_is_kept_as_a_whole():
    node = schema("Workflow")["properties"]["spec"]["properties"]["nodes"]["items"]["properties"]
    for part in (node["config"], node["outputContract"]["properties"]["schema"]):
        assert part["x-kubernetes-preserve-unknown-fields"] is True
        assert part["x-kubernetes-map-type"] == "atomic"


def free_form(part, path, *, is_whole):
    """Give the free-form parts of a schema that are merged piece by piece."""
    whole = ("atomic",)
    is_whole = is_whole or part.get("x-kubernetes-map-type") in whole
    is_whole = is_whole or part.get("x-kubernetes-list-type") in whole
    if part.get("x-kubernetes-preserve-unknown-fields") and not is_whole:
        yield path
    inside = {**part.get("properties", {}), "[]": part.get("items")}
    inside["{}"] = part.get("additionalProperties")
    for name, each in inside.items():
        if isinstance(each, dict):
            yield from free_form(each, f"{path}.{name}", is_whole=is_whole)


@pytest.mark.parametrize("kind", CRDS)
def test_managed_fields_never_repeat_the_tree_of_what_is_free_form(kind):
    """Near 10,000 levels the server could not read such an object back."""
    assert not [*free_form(schema(kind), "", is_whole=False)]


def test_a_run_is_fixed_but_for_what_stops_it():
    spec = schema("WorkflowRun")["properties"]["spec"]
    free = {
        name
        for name, part in spec["properties"].items()
        if not any(
            rule["rule"] == "self == oldSelf" for rule in part.get("x-kubernetes-validations", [])
        )
    }
    assert free == {"suspend", "cancel", "terminate", "ttlSecondsAfterFinished"}
    rules = [rule["rule"] for rule in spec["x-kubernetes-validations"]]
    assert rules[0] == "has(self.workflowRef) != has(self.workflowSpec)"
    assert "has(self.context) == has(oldSelf.context)" in rules


@pytest.mark.parametrize(
    ("kind", "short", "columns"),
    [
        ("Workflow", "wfl", ["Version", "Nodes", "Valid", "Runs", "Active", "Age"]),
        (
            "WorkflowRun",
            "wfr",
            [
                *("Workflow", "Phase", "Reason", "Progress", "Current", "Duration"),
                *("Artifacts-Of", "Age"),
            ],
        ),
    ],
)
def test_kubectl_knows_what_to_show(kind, short, columns):
    spec = CRDS[kind]["spec"]
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == ([short], ["podium"])
    (version,) = spec["versions"]
    assert [each["name"] for each in version["additionalPrinterColumns"]] == columns
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"][:-1]:
        part = schema(kind)
        for name in column["jsonPath"].partition("[")[0].strip(".").split("."):
            part = part["properties"][name]


def test_defaults_are_reported_in_words():
    node = schema("Workflow")["properties"]["spec"]["properties"]["nodes"]["items"]["properties"]
    assert node["triggerRule"]["description"].endswith("Default: NoneFailedMinOneSuccess.")
    attempts = node["retryPolicy"]["properties"]["backoffFactor"]
    assert attempts["description"].endswith("Default: 2.")
