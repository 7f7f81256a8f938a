"""The command of an execution on a laptop, its environment, and the files that it finds."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from podium import executors
from podium.api.names import child_name
from podium.api.outputs import file_outputs
from podium.api.run import WorkflowRunStatus
from podium.api.volume_claims import volume_variable
from podium.api.workflow import InputAs, Node, WorkflowSpec
from podium.engine import Launch
from podium.executors import Runtime, Workload
from podium.executors.persona_document import PERSONAS_VARIABLE, LivePersonas, live_personas
from podium.local.artifact_store import Laptop
from podium.local.artifacts import Artifacts, Mount, mounts, out_of
from podium.local.containers import IN_CONTAINER, container_tool, on_laptop
from podium.local.environment import ConfigError, inherited, prepare
from podium.local.files import write_private
from podium.local.large_outputs import LargeInputs
from podium.local.outcomes import LAST_WORDS_FILE
from podium.local.output_values import files_for_values
from podium.local.store import RunDirectory, RunRecord
from podium.local.volumes import Mounted, mount
from podium.runner import LAST_WORDS

__all__ = ["Command", "Commands", "find_program"]


_RUNNER = ("python3", "-m", "podium.runner")
"""Local commands that begin so, those of the executors that come with Podium, run in its Python."""


class Command(NamedTuple):
    """What to start."""

    argv: list[str]
    env: Mapping[str, str]
    workdir: Path
    artifacts: Artifacts
    large: LargeInputs
    """Parts of its input that are to be written before the start."""


class Commands:
    """Makes the commands of a run's executions."""

    def __init__(
        self,
        directory: RunDirectory,
        record: RunRecord,
        secrets: Mapping[str, Mapping[str, str]],
        passed: Mapping[str, str],
    ) -> None:
        self._directory = directory
        self._record = record
        self.secrets = secrets
        self.definition: WorkflowSpec = record.workflow
        """The one that the run has now."""
        self.laptop = Laptop(directory.state_dir, record.uid)
        """The run's artifacts."""
        self._inherited = {**inherited(), **passed}
        self._found: dict[tuple[str, str], str] = {}
        """Programs, by name and PATH."""

    def build(self, launch: Launch, node: Node, status: WorkflowRunStatus) -> Command:
        """Make the command of an execution, and write what it finds into its directory.

        Raises `ConfigError`, `OSError`, `ValueError`.
        """
        directory = self._directory.execution(launch.execution_id)
        workload = executors.workload(node, launch.config, launch.template)
        if workload.runtime is Runtime.EXECUTOR:
            workload = on_laptop(workload)
        live = self._live(launch, node, workload)
        variables = [*workload.env, *(node.pod.env if node.pod is not None else ())]
        variables += [each.variable for each in live.variables] if live is not None else []
        env = prepare(
            directory,
            self._record.name,
            launch.input,
            variables,
            self.secrets,
            self._inherited,
            is_whole=not launch.large,
        )
        large = LargeInputs(directory, launch.large, self._directory.execution)
        in_container = workload.runtime is Runtime.CONTAINER
        artifacts = Artifacts.lay_out(
            directory,
            self.laptop,
            node,
            launch.delivered,
            status,
            lambda execution: out_of(self._directory.execution(execution)),
            for_all=in_container,
        )
        env["PODIUM_ARTIFACTS_IN"] = str(artifacts.path)
        if launch.template is not None:
            env["PODIUM_CONFIG"] = orjson.dumps(launch.config).decode()
        volumes = mount(self._directory, self._record, self.definition.volume_claims, node)
        for each in volumes:
            where = each.target if in_container else str(each.source)
            env.setdefault(volume_variable(each.claim), where)
        values = files_for_values(directory, node, in_container=in_container)
        if file_outputs(node.outputs):
            del env["PODIUM_OUTPUT"]
        if live is not None:
            env["PODIUM_RECORD"] = str(directory / "answers.json")
            env["PODIUM_ENDPOINTS"] = str(self._directory.state_dir.absolute() / "endpoints")
            if self._record.kept_answers is not None:
                env["PODIUM_KEPT_ANSWERS"] = self._record.kept_answers
            env[PERSONAS_VARIABLE] = str(directory / "personas.json")
            write_private(directory / "personas.json", orjson.dumps(live.document))
            if node.large_output:
                env[LAST_WORDS] = str(directory / LAST_WORDS_FILE)
        argv = self._argv(launch, node, workload, artifacts, env, volumes, values)
        return Command(argv, env, Path(self._record.workdir), artifacts, large)

    def _live(self, launch: Launch, node: Node, workload: Workload) -> LivePersonas | None:
        """Return what personas are told that ask models; None: there are none."""
        if not workload.uses_recorded or self._record.spec.recorded_answers is not None:
            return None
        try:
            return live_personas(node, launch.config, self.definition, launch.limits)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def container(self, execution: str) -> str:
        """Name the container of an execution."""
        return child_name(self._record.name, self._record.uid, execution)

    def _argv(
        self,
        launch: Launch,
        node: Node,
        workload: Workload,
        artifacts: Artifacts,
        env: dict[str, str],
        volumes: Sequence[Mounted],
        values: Sequence[Mount],
    ) -> list[str]:
        """Return the command, and add to its environment what belongs to it."""
        directory = artifacts.directory
        match workload.runtime:
            case Runtime.WORKFLOW:
                raise ConfigError("a child run has no program")
            case Runtime.SCRIPT:
                script = directory / "script"
                write_private(script, (workload.script or "").encode())
                program, *arguments = workload.interpreter
                return [self._program(node, program, env["PATH"]), *arguments, str(script)]
            case Runtime.EXECUTOR:
                if workload.interpreter[: len(_RUNNER)] == _RUNNER:
                    return [sys.executable, "-P", *workload.interpreter[1:]]
                program, *arguments = workload.interpreter
                return [self._program(node, program, env["PATH"]), *arguments]
            case Runtime.RUNNER:
                recorded = self._record.spec.recorded_answers
                env["PODIUM_CONFIG"] = orjson.dumps(launch.config).decode()
                if recorded is not None and recorded.file is not None:
                    env["PODIUM_RECORDED"] = recorded.file
                # -P: nothing in the working directory is taken for a module of ours.
                return [sys.executable, "-P", "-m", "podium.runner", *workload.command]
            case Runtime.CONTAINER:
                return self._container_argv(launch, node, workload, artifacts, env, volumes, values)

    def _program(self, node: Node, program: str, path: str) -> str:
        """Find a program, once for each PATH. Raises `ConfigError`: it is not there."""
        where = (program, path)
        if where not in self._found:
            workdir = Path(self._record.workdir)
            found = find_program(program, path, workdir)
            if found is None:
                raise ConfigError(missing_program(node, program, workdir))
            self._found[where] = found
        return self._found[where]

    def _container_argv(
        self,
        launch: Launch,
        node: Node,
        workload: Workload,
        artifacts: Artifacts,
        env: dict[str, str],
        volumes: Sequence[Mounted],
        values: Sequence[Mount],
    ) -> list[str]:
        tool = container_tool()
        if tool is None:
            raise ConfigError("neither docker nor podman is running on this machine")
        as_file = node.input_as is InputAs.FILE or "PODIUM_INPUT_JSON" not in env
        variables = (*workload.env, *(node.pod.env if node.pod is not None else ()))
        handed = [variable.name for variable in variables]
        handed += ["PODIUM_NODE", "PODIUM_EXECUTION", "PODIUM_RUN"]
        if launch.template is not None:
            handed.append("PODIUM_CONFIG")
        handed += [volume_variable(each.claim) for each in volumes]
        if not as_file:
            handed.append("PODIUM_INPUT_JSON")
        shown = {name: env[name] for name in dict.fromkeys(handed) if name in env}
        for variable, value in os.environ.items():
            env.setdefault(variable, value)  # DOCKER_HOST and the like, for the client
        name = self.container(launch.execution_id)
        if launch.restart:
            tool.remove(name)  # its client died, it may not have
        mounted = [Mount(artifacts.path, IN_CONTAINER, read_only=True), *mounts(artifacts, node)]
        return tool.argv(
            name,
            workload,
            artifacts.directory,
            shown,
            [*mounted, *values],
            as_file=as_file,
            has_output="PODIUM_OUTPUT" in env,
            volumes=volumes,
        )


def find_program(name: str, path: str, workdir: Path) -> str | None:
    """Return the path of a program: by PATH, or from the working directory if it has a slash."""
    if "/" not in name:
        return shutil.which(name, path=path)
    program = workdir / name
    return str(program) if program.is_file() and os.access(program, os.X_OK) else None


def missing_program(node: Node, name: str, workdir: Path) -> str:
    """Report that a script's interpreter, or an executor's local command, is not there."""
    if executors.get(node.executor or "") is None:
        return (
            f"local.command of the executor {node.executor}: there is no program {name!r}: install"
            " it, or docker or podman"
        )
    field = "config.interpreter" if node.config.get("interpreter") else "config.script: its #! line"
    where = f"in {workdir}" if "/" in name and not name.startswith("/") else "in PATH"
    if name.startswith("/"):
        where = "here"
    return (
        f"{field}: there is no program {name!r} {where}: install it, or name another, such as"
        " bash or python3"
    )
