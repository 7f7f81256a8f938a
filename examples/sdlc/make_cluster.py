"""Write cluster.yaml: what the other files of this directory say, as resources for a cluster."""

import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
SCHEMA = "# yaml-language-server: $schema=../../docs/schema/podium.json\n"


class Dumper(yaml.SafeDumper):
    """Writes strings of several lines as blocks."""


def text(dumper, value):
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, text)


def documents():
    seed = HERE / "sdlc_complete_workflow.yaml"
    podium = Path(sys.executable).with_name("podium")
    printed = subprocess.run([podium, "convert", seed], check=True, capture_output=True, text=True)
    workflow = yaml.safe_load(printed.stdout)
    name = workflow["metadata"]["name"]
    yield workflow
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{name}-recorded",
            "labels": {"podium.dev/recorded-answers": "true"},
        },
        "data": {"recorded.yaml": (HERE / "recorded.yaml").read_text()},
    }
    yield {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": "sdlc"},
        "spec": {
            "workflowRef": {"name": name},
            "context": yaml.safe_load((HERE / "context.yaml").read_text()),
            "recordedAnswers": {
                "configMapKeyRef": {"name": f"{name}-recorded", "key": "recorded.yaml"}
            },
        },
    }


def made():
    dumped = []
    for document in documents():
        body = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
        ours = document["apiVersion"].startswith("podium.dev/")
        dumped.append(f"{SCHEMA if ours else ''}{body}")
    return "# Made by make_cluster.py of the files beside it.\n" + "---\n".join(dumped)


if __name__ == "__main__":
    (HERE / "cluster.yaml").write_text(made())
