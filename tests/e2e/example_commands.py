"""The command lines that the examples show: in their READMEs and at the top of their files."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support import ROOT

EXAMPLES = ROOT / "examples"
_FENCE = re.compile(r"^```(?:sh|console)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`((?:podium|kubectl) [^`]+)`")
_PROGRAMS = ("podium ", "kubectl ", "cd ")


@dataclass(frozen=True)
class Page:
    """A file that shows commands."""

    path: Path
    block: tuple[str, ...]
    """Commands to type one after the other, in the repository's directory."""
    spans: tuple[str, ...]
    """Commands in its sentences; RUN stands for the name of a run."""

    @property
    def name(self):
        return str(self.path.relative_to(EXAMPLES))

    def of(self, program):
        """Return the commands of a program, `cd` left out."""
        return [each for each in (*self.block, *self.spans) if each.startswith(program + " ")]


def pages():
    found = []
    for path in sorted(EXAMPLES.rglob("README.md")):
        if path.parent.parent == EXAMPLES:
            text = path.read_text()
            blocks = [line for block in _FENCE.findall(text) for line in _lines(block)]
            spans = [" ".join(each.split()) for each in _SPAN.findall(text)]
            # A command without an argument, or with …, is a name rather than a line to type.
            spans = [each for each in spans if "…" not in each and len(each.split()) > 2]
            found.append(Page(path, tuple(blocks), tuple(spans)))
    for path in sorted(EXAMPLES.glob("*/*.yaml")):
        head = path.read_text().split("apiVersion:")[0]
        shown = re.findall(r"^#   (.*)$", head, re.MULTILINE)
        found.append(Page(path, tuple(_lines("\n".join(shown))), ()))
    return [page for page in found if page.block or page.spans]


def _lines(text):
    """Return the commands of a string: continued lines joined, comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        command = " ".join(re.sub(r"\s#.*", "", line).split())
        if command.startswith(_PROGRAMS):
            yield command
