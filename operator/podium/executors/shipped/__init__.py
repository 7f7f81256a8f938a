"""Executors that come with Podium, each an ordinary ClusterExecutor: `python -m … write|check`.

A laptop knows them; the chart has them as templates, off by default, generated from the same files.
"""

from pathlib import Path

from podium.api.generated import write_or_check
from podium.api.resources import ClusterExecutor
from podium.api.source.files import load_text

__all__ = ["NAMES", "files", "load", "run"]

NAMES = ("http", "kubernetes", "notify")
HERE = Path(__file__).parent
MAX_BYTES = 64 * 1024


def load(name: str) -> ClusterExecutor:
    """Return one of `NAMES`."""
    (document,) = load_text((HERE / f"{name}.yaml").read_text())
    assert isinstance(document.resource, ClusterExecutor)  # noqa: S101 - for the type checker
    return document.resource


def files(root: Path) -> dict[Path, str]:
    """Return the chart's templates with their text."""
    made = {}
    for name in NAMES:
        text = (HERE / f"{name}.yaml").read_text().replace("{{", '{{ "{{" }}')
        labels = '{{- include "podium.labels" . | nindent 4 }}'
        head = f"metadata:\n  name: {name}\n  labels:\n    {labels}"
        text = text.replace(f"metadata: {{name: {name}}}", head)
        made[root / f"charts/podium/templates/executors/{name}.yaml"] = (
            f"# Generated from operator/podium/executors/shipped/{name}.yaml by `make crds`.\n"
            f"{{{{- if .Values.executors.{name}.enabled }}}}\n"
            f'{{{{- include "podium.requireExecutors" . }}}}\n{text}{{{{- end }}}}\n'
        )
    return made


def run(arguments: list[str]) -> int:
    """Write the generated files, or check that they are what the manifests say."""
    root = Path(__file__).parents[4]
    return write_or_check("podium.executors.shipped", arguments, root, files(root), limit=MAX_BYTES)
