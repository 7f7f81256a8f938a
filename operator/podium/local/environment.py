"""What a node's program finds around it: input, output and artifact paths, its variables."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from podium.api.problems import UserError
from podium.api.workflow import EnvVar
from podium.local.files import write_private

__all__ = [
    "MAX_INPUT_BYTES",
    "ConfigError",
    "inherited",
    "passed",
    "prepare",
    "value_of",
]

MAX_INPUT_BYTES = 96 * 1024
"""Beyond it the input is not in the environment, which Linux bounds at 128 KiB a string."""

_INHERITED = frozenset(
    [
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "USER"),
        *("VIRTUAL_ENV", "CONDA_PREFIX"),
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
        *("GIT_SSL_CAINFO", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"),
    ]
)
"""Of podium's own environment, and all LC_ variables; proxies in lower case, too."""
_ENV_FILE_BYTES = 1_000_000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class ConfigError(UserError):
    """A program cannot be started as configured; the message names the field and what is right."""


def inherited() -> dict[str, str]:
    """Return what programs get of podium's own environment.

    PATH keeps its order, so that an activated virtual environment is used; the programs beside
    podium come last.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED
        or name.startswith("LC_")
        or (name.endswith("_proxy") and name.upper() in _INHERITED)
    }
    path = os.environ.get("PATH") or os.defpath
    beside = str(Path(sys.executable).parent)
    if beside not in path.split(os.pathsep):
        path += os.pathsep + beside
    return {**env, "PATH": path, "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED") or "1"}


def passed(names: Iterable[str], files: Iterable[Path] = ()) -> dict[str, str]:
    """Return the variables that --env and --env-file pass to programs, --env last.

    A name alone takes podium's own variable, NAME=VALUE sets one. A file has one of these on each
    line, as `docker run --env-file` reads it: values stand as they are, lines that begin with # and
    blank ones are passed over. Raises `ConfigError`.
    """
    found: dict[str, str] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                data = file.read(_ENV_FILE_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise ConfigError(f"--env-file {path}: {reason}") from None
        if len(data) > _ENV_FILE_BYTES:
            raise ConfigError(f"--env-file {path}: has more than {_ENV_FILE_BYTES:,} bytes")
        for number, ended in enumerate(text.split("\n"), 1):
            line = ended.removesuffix("\r")
            if line.strip() and not line.lstrip().startswith("#"):
                found |= _passed(line.lstrip(), f"--env-file {path}, line {number}")
    for name in names:
        found |= _passed(name, "--env")
    return found


def _passed(text: str, source: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not _VARIABLE.fullmatch(name) or name.startswith("PODIUM_"):
        own = name.startswith("PODIUM_")
        right = "variables that begin with PODIUM_ are podium's" if own else "write NAME=VALUE"
        raise ConfigError(f"{source}: {name!r:.80} cannot be the name of a variable: {right}")
    if not equals:
        if name not in os.environ:
            raise ConfigError(
                f"{source}: {name} is not set in podium's environment: set it, or write NAME=VALUE"
            )
        value = os.environ[name]
    return {name: value}


def prepare(
    directory: Path,
    run: str,
    given: Mapping[str, Any],
    variables: Iterable[EnvVar],
    secrets: Mapping[str, Mapping[str, str]],
    env: Mapping[str, str],
    *,
    is_whole: bool = True,
) -> dict[str, str]:
    """Write the input into an execution's directory and return the program's environment.

    It begins with `env`. Where the program finds artifacts is not in it yet; of an input that is
    not whole (`large_outputs.LargeInputs`) only its file is.

    Raises `ConfigError` if a variable has no value.
    """
    text = orjson.dumps(given)
    source, artifacts = directory / "input.json", directory / "artifacts"
    write_private(source, text)
    artifacts.mkdir(mode=0o700)
    own = {
        "PODIUM_INPUT": str(source),
        "PODIUM_OUTPUT": f"{directory}/output.json",
        "PODIUM_ARTIFACTS_OUT": str(artifacts),
        "PODIUM_NODE": str(given["nodeId"]),
        "PODIUM_EXECUTION": str(given["executionId"]),
        "PODIUM_RUN": run,
    }
    if is_whole and len(text) <= MAX_INPUT_BYTES:
        own["PODIUM_INPUT_JSON"] = text.decode()
    found = dict(env)
    for variable in variables:
        value = value_of(variable, secrets)
        if value is not None:
            found[variable.name] = value
    return {**found, **own}


def value_of(variable: EnvVar, secrets: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the value of a variable, None if it is optional and has none. Raises `ConfigError`."""
    source = variable.value_from
    if source is None:
        return variable.value or ""
    if source.secret_key_ref is None:
        raise ConfigError(
            f"env {variable.name}: only secretKeyRef works on a laptop, the others on a cluster"
        )
    selector = source.secret_key_ref
    value = secrets.get(selector.name, {}).get(selector.key, os.environ.get(selector.key))
    if value is None and not selector.optional:
        raise ConfigError(
            f"env {variable.name}: no value for key {selector.key} of the secret {selector.name}:"
            f" set {selector.key} in podium's environment, or write it in the file of --secrets"
        )
    return value
