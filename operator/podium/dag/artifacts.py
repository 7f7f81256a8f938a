"""What can be wrong with the artifacts of a node: names, paths, and where they come from."""

from collections.abc import Iterator
from dataclasses import replace

from podium import executors
from podium.api.artifact_rules import ArtifactType, unsafe_path
from podium.api.field_checks import one_of
from podium.api.names import ID_PATTERN, is_id
from podium.api.problems import Path, Problem
from podium.api.workflow import ArtifactInput, ArtifactOutput, Node
from podium.dag.graph import Graph
from podium.dag.sources import git_problems, http_problems, s3_problems

__all__ = ["artifact_problems"]


def artifact_problems(dag: Graph, node: Node, *, sound: bool) -> Iterator[Problem]:
    """Find what is wrong with a node's artifacts; paths begin at the node.

    `sound`: the graph has no error, so that ancestors are known.
    """
    if node.artifacts is None:
        return
    here: Path = ("artifacts", "out")
    outputs, inputs = node.artifacts.out, node.artifacts.in_ or []
    yield from _twice(here, [each.name for each in outputs])
    places: list[tuple[Path, str]] = []
    for position, output in enumerate(outputs):
        where = (*here, position)
        yield from _name(where, output.name)
        if why := _bad_output(output):
            yield Problem((*where, "path"), f"{output.path!r:.200} {why}")
        else:
            places.append(((*where, "path"), output.path))
        yield from _target(output, where)
    yield from _overlaps(places, "two artifacts cannot be the same files")
    here = ("artifacts", "in")
    yield from _twice(here, [each.name for each in inputs])
    places = []
    for position, artifact in enumerate(inputs):
        where = (*here, position)
        yield from _name(where, artifact.name)
        yield from _origin(dag, node, artifact, where, sound=sound)
        path = artifact.name if artifact.path is None else artifact.path
        if why := _bad_input(node, path):
            yield Problem((*where, "path"), f"{path!r:.200} {why}")
        else:
            places.append(((*where, "path"), path))
    yield from _overlaps(places, "two artifacts cannot lie in one place")


def _name(where: Path, name: str) -> Iterator[Problem]:
    if not is_id(name):
        message = (
            f"{name!r:.80} is not the name of an artifact: use {ID_PATTERN}, that is a letter or _"
            " first, then letters, digits, _ and -"
        )
        yield Problem((*where, "name"), message)


def _twice(here: Path, names: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if first.setdefault(name, position) != position:
            message = (
                f"duplicate artifact {name!r:.80}: the one at position {first[name]} has this name"
                f" too, give each one of its own"
            )
            yield Problem((*here, position, "name"), message)


def _bad_path(path: str) -> str:
    if not path.isprintable():
        return "has control characters: use printable ones"
    relative = path.removeprefix("/")
    if why := unsafe_path(relative):
        return f"{why}: write a path such as dist/app.whl or /work/report.xml"
    return ""


def _bad_output(output: ArtifactOutput) -> str:
    if why := _bad_path(output.path):
        return why
    is_at_root = output.path.startswith("/") and output.path.count("/") == 1
    if is_at_root and output.type is not ArtifactType.DIRECTORY:
        # Its directory becomes a volume, and that cannot be the whole file system.
        return "lies in the root directory: let the program leave it in a directory below"
    return ""


def _bad_input(node: Node, path: str) -> str:
    if why := _bad_path(path):
        return why
    if path.startswith("/"):
        executor = executors.get(node.executor or "")
        if executor is not None and executor.runtime is not executors.Runtime.CONTAINER:
            return (
                "is absolute, which only an executor container can have: a script finds it in"
                " $PODIUM_ARTIFACTS_IN, so write a path below that, or leave it out"
            )
    return ""


def _overlaps(places: list[tuple[Path, str]], why: str) -> Iterator[Problem]:
    """Find paths that are equal, or one of which lies within another."""
    ordered = sorted(places, key=lambda each: each[1].split("/"))
    last: str | None = None
    for where, path in ordered:
        if last is not None and (path == last or path.startswith(last + "/")):
            is_same = "is the path of another artifact" if path == last else f"lies within {last!r}"
            yield Problem(where, f"{path!r:.200} {is_same:.220}: {why}, choose another path")
        else:
            last = path


def _target(output: ArtifactOutput, where: Path) -> Iterator[Problem]:
    """Find what is wrong with where an artifact leaves the run to."""
    if output.to is None:
        return
    http, s3 = output.to.http, output.to.s3
    yield from one_of((*where, "to"), {"http": http, "s3": s3})
    if http is not None:
        for problem in http_problems(http):
            yield replace(problem, path=(*where, "to", "http", *problem.path))
    if s3 is not None:
        for problem in s3_problems(s3):
            yield replace(problem, path=(*where, "to", "s3", *problem.path))
    if output.type is not ArtifactType.FILE:
        message = "is for files: add type: File, and let the program make an archive of a directory"
        yield Problem((*where, "to"), message)


def _origin(
    dag: Graph, node: Node, artifact: ArtifactInput, where: Path, *, sound: bool
) -> Iterator[Problem]:
    """Find what is wrong with where an artifact comes from."""
    git, http = artifact.git, artifact.http
    sources = {
        "from": artifact.from_ or None,
        "git": git,
        "http": http,
        "s3": artifact.s3,
        "raw": artifact.raw,
    }
    wrong = list(one_of(where, sources))
    yield from wrong
    if git is not None:
        for problem in git_problems(git):
            yield replace(problem, path=(*where, "git", *problem.path))
    if http is not None:
        for problem in http_problems(http):
            yield replace(problem, path=(*where, "http", *problem.path))
    if artifact.s3 is not None:
        for problem in s3_problems(artifact.s3):
            yield replace(problem, path=(*where, "s3", *problem.path))
    if artifact.from_ and not wrong and (why := _source(dag, node, artifact, sound=sound)):
        yield Problem((*where, "from"), why)


def _source(dag: Graph, node: Node, artifact: ArtifactInput, *, sound: bool) -> str:
    """Return what is wrong with where an artifact comes from; empty: nothing."""
    source, dot, name = artifact.from_.rpartition(".")
    if not dot or not name:
        return f"{artifact.from_!r:.80} is not NODE.NAME: name a node and an artifact of it"
    if source not in dag.nodes:
        hint = dag.hints.did_you_mean(source, dag.nodes)
        return f"{artifact.from_!r:.80}: unknown node {source!r:.80}{hint}"
    if source == node.id:
        return f"{artifact.from_!r:.80} is the node's own: name an upstream node"
    if sound and not dag.can_read(node.id, dag.seen_from(node.id, source)):
        return (
            f"{source!r} is not upstream of {node.id!r} along edges of type depends_on: add it to"
            " dependsOn"
        )
    found = dag.nodes[source].artifacts
    known = [each.name for each in found.out] if found is not None else []
    if name not in known:
        hint = dag.hints.did_you_mean(name, known)
        shown = ", ".join(known[:10]) or "none"
        return (
            f"{source!r} has no artifact {name!r:.80} in artifacts.out, which has {shown}{hint}"
            + ("" if known else ": declare it there")
        )
    return ""
