"""Container nodes on a laptop: docker or podman, whichever is there."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from podium.api.problems import UserError
from podium.engine import Plan
from podium.executors import Runtime, Workload, custom, get
from podium.local.artifacts import OUT, Mount
from podium.local.environment import ConfigError
from podium.local.files import open_private, read_whole
from podium.local.volumes import Mounted

__all__ = [
    "IN_CONTAINER",
    "ContainerTool",
    "check",
    "container_tool",
    "on_laptop",
    "runs_in_container",
]

_OURS = "/podium"
"""Directory in the container that holds input and output."""
IN_CONTAINER = "/podium-artifacts"
"""Directory in the container that is its `$PODIUM_ARTIFACTS_IN`."""


class ContainerTool:
    """The command line of docker or podman."""

    def __init__(self, program: str) -> None:
        self.program = program

    def argv(
        self,
        name: str,
        workload: Workload,
        directory: Path,
        env: Mapping[str, str],
        mounted: Sequence[Mount],
        *,
        as_file: bool,
        has_output: bool = True,
        volumes: Sequence[Mounted] = (),
    ) -> list[str]:
        """Return the command of a container. Values stay out of it: `ps` shows commands."""
        shared = directory / "container"
        if ":" in str(shared):
            raise ConfigError(
                f"{self.program} cannot mount {shared}, which has a colon in its path: name another"
                " directory with --state-dir"
            )
        for mount in mounted:
            if ":" in mount.inside:
                raise ConfigError(
                    f"{self.program} cannot mount {mount.inside!r:.200}, which has a colon: choose"
                    " another path"
                )
        shared.mkdir(mode=0o700)
        # The container may run as another user; what is around it is for podium's user only.
        shared.chmod(0o777)
        (shared / OUT).mkdir()
        (shared / OUT).chmod(0o777)
        with open_private(shared / "output.json", os.O_EXCL) as output:
            os.fchmod(output.fileno(), 0o666)
        argv = [
            self.program, "run", "--rm", "--init", "--name", name,
            "--security-opt", "no-new-privileges", "--cap-drop", "ALL",
            "--volume", f"{shared}:{_OURS}:z",
            "--env", f"PODIUM_ARTIFACTS_OUT={_OURS}/{OUT}",
            "--env", f"PODIUM_ARTIFACTS_IN={IN_CONTAINER}",
        ]  # fmt: skip
        if has_output:
            argv += ["--env", f"PODIUM_OUTPUT={_OURS}/output.json"]
        if as_file:
            with open_private(shared / "input.json", os.O_EXCL) as copy:
                os.fchmod(copy.fileno(), 0o644)
                copy.write(read_whole(directory / "input.json"))
            argv += ["--env", f"PODIUM_INPUT={_OURS}/input.json"]
        for volume in volumes:
            if ":" in str(volume.source):
                raise ConfigError(
                    f"{self.program} cannot mount {volume.source}, which has a colon in its path:"
                    " name another subPath"
                )
            options = "ro,z" if volume.is_read_only else "z"
            argv += ["--volume", f"{volume.source}:{volume.target}:{options}"]
        for mount in mounted:
            mode = "ro,z" if mount.read_only else "z"
            argv += ["--volume", f"{mount.host}:{mount.inside}:{mode}"]
        for variable in env:
            argv += ["--env", variable]
        if workload.command:
            argv += ["--entrypoint", workload.command[0]]
        # What follows -- is not taken for an option, whatever it begins with.
        return [*argv, "--", workload.image or "", *workload.command[1:], *workload.args]

    def remove(self, name: str) -> None:
        """Remove a container that outlived its client. Raises `OSError` if that takes too long."""
        command = [self.program, "rm", "--force", name]
        try:
            subprocess.run(command, capture_output=True, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            raise OSError(f"{' '.join(command)} does not end: is its service alive?") from None


@cache
def container_tool() -> ContainerTool | None:
    """Return docker or podman, None where neither works here."""
    for name in ("docker", "podman"):
        program = shutil.which(name)
        if program is None:
            continue
        try:
            done = subprocess.run([program, "info"], capture_output=True, check=False, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return ContainerTool(program)
    return None


def runs_in_container(template: Mapping[str, Any]) -> bool:
    """Return whether a template's main container is what runs here."""
    return not custom.needs_cluster(template) and container_tool() is not None


def on_laptop(workload: Workload) -> Workload:
    """Return what runs an Executor's template here: a container, else its local command.

    Raises `ConfigError`: neither does.
    """
    assert workload.template is not None  # noqa: S101 - for the type checker
    if runs_in_container(workload.template):
        return workload._replace(runtime=Runtime.CONTAINER)
    if workload.local is None:
        raise ConfigError(
            "its executor runs containers, and neither docker nor podman runs them here: give the"
            " Executor local.command"
        )
    return workload._replace(interpreter=workload.local)


def check(plan: Plan) -> None:
    """Raise `UserError` if nodes need containers and nothing here runs them."""
    needing, of_executors = [], []
    for node in plan.nodes.values():
        executor = get(node.definition.executor or "")
        if executor is not None and executor.runtime is Runtime.CONTAINER:
            needing.append(node.id)
        elif node.executor is not None and node.executor.local is None:
            if custom.needs_cluster(node.executor.template):
                raise UserError(
                    f"node {node.id}: the template of the executor {node.definition.executor} has"
                    " more than one container with its image, such as volumes or init containers,"
                    " which a laptop does not run: give the Executor local.command, or run the"
                    " workflow on a cluster"
                )
            of_executors.append(node.id)
    if not (needing or of_executors) or container_tool() is not None:
        return
    if needing:
        shown = ", ".join(needing[:5]) + (f" and {len(needing) - 5} more" if needing[5:] else "")
        raise UserError(
            f"nodes {shown} run containers: install docker or podman and start it, or run the"
            " workflow on a cluster"
        )
    named = plan.nodes[of_executors[0]].definition.executor
    raise UserError(
        f"node {of_executors[0]}: the executor {named} runs a container: install docker or podman"
        " and start it, give the Executor local.command, or run the workflow on a cluster"
    )
