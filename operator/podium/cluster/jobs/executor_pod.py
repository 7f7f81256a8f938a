"""The Pod of an Executor: operator's defaults < Executor < the node's `pod` < what is enforced."""

from collections.abc import Mapping
from typing import Any

from podium.api.executors import MAIN_CONTAINER
from podium.api.field_checks import is_reserved_key
from podium.api.names import LABEL_EXECUTOR, label_value
from podium.api.workflow import PodOverrides

__all__ = ["literal", "literal_variables", "merged"]

_NODES = ("tolerations", "affinity", "priorityClassName", "serviceAccountName")
"""What a node may set, whatever its Executor says."""
_ENFORCED = ("restartPolicy", "enableServiceLinks", "terminationGracePeriodSeconds")
_SANDBOX = ("runtimeClassName", "hostUsers")
"""What the operator's defaults put every Pod into, and no Executor takes it out of."""
_MAINS = ("name", "env", "volumeMounts", "terminationMessagePath", "command", "args")
"""Of the main container: what the builder made, an Executor's part in it."""


def merged(
    made: Mapping[str, Any],
    template: Mapping[str, Any],
    executor: str,
    pod: PodOverrides,
    *,
    has_own_resources: bool,
) -> dict[str, Any]:
    """Return the Pod that was made of the main container with all else that a template brings.

    Raises `ValueError`: the template takes what is the operator's or the node's.
    """
    theirs = _without_nulls(template["spec"])
    spec: dict[str, Any] = made["spec"]
    containers, inits = theirs.pop("containers"), theirs.pop("initContainers", None)
    volumes, selector = theirs.pop("volumes", []), theirs.pop("nodeSelector", {})
    for name in _SANDBOX:
        if name in spec and theirs.get(name, spec[name]) != spec[name]:
            raise ValueError(f"spec.template.spec.{name}: must be {spec[name]} here (podDefaults)")
    own = pod.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    whole = {**spec, **theirs}
    whole |= {name: spec[name] for name in _NODES if name in own}
    whole |= {name: spec[name] for name in _ENFORCED}
    if selector:
        whole["nodeSelector"] = {**selector, **pod.node_selector}
    (main,) = spec["containers"]
    whole["containers"] = [
        _main(main, each, has_own_resources=has_own_resources)
        if each["name"] == MAIN_CONTAINER
        else _beside(main, each)
        for each in containers
    ]
    if any(_holds_secret(each) for each in (*volumes, *containers)):
        for each in whole["containers"]:
            each["terminationMessagePolicy"] = "File"
    if inits:
        # Those that carry artifacts first: what stores them is stopped last.
        own_inits = spec.get("initContainers", ())
        whole["initContainers"] = [*own_inits, *(_beside(main, each) for each in inits)]
    if volumes or "volumes" in spec:
        whole["volumes"] = [*spec.get("volumes", ()), *volumes]
        names = [each["name"] for each in whole["volumes"]]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(
                f"pod.volumes: the executor has a volume {twice!r}: choose another name"
            )
    return {"metadata": _metadata(made["metadata"], template, executor, pod), "spec": whole}


def _without_nulls(value: Any) -> Any:
    """Return a copy without fields that are null: as if they were left out, to the server too."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _metadata(
    made: Mapping[str, Any], template: Mapping[str, Any], executor: str, pod: PodOverrides
) -> dict[str, Any]:
    theirs = template.get("metadata") or {}
    found = {}
    for part, own in (("labels", pod.labels), ("annotations", pod.annotations)):
        more = {
            key: value
            for key, value in (theirs.get(part) or {}).items()
            if key not in own and not is_reserved_key(key)
        }
        found[part] = {**made[part], **more}
    found["labels"][LABEL_EXECUTOR] = label_value(executor)
    return found


def _main(
    made: Mapping[str, Any], theirs: Mapping[str, Any], *, has_own_resources: bool
) -> dict[str, Any]:
    whole = {**made, **theirs, **{name: made[name] for name in _MAINS if name in made}}
    if has_own_resources:
        whole["resources"] = made["resources"]
    if mounts := [*(theirs.get("volumeMounts") or ()), *made.get("volumeMounts", ())]:
        whole["volumeMounts"] = mounts
    whole["terminationMessagePolicy"] = made["terminationMessagePolicy"]
    return whole


def _beside(main: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return another container of a template; restricted like the main one unless it says else."""
    whole = {
        "securityContext": main["securityContext"],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **theirs,
    }
    for part in ("command", "args"):
        if part in whole:
            whole[part] = [literal(str(word)) for word in whole[part]]
    if "env" in whole:
        whole["env"] = literal_variables(whole["env"])
    return whole


def _holds_secret(part: Mapping[str, Any]) -> bool:
    """Return whether a volume or container brings a Secret: its last words are not shown then."""
    sources = [*(part.get("env") or ()), *(part.get("envFrom") or ())]
    return "secret" in part or "projected" in part or any("secret" in str(each) for each in sources)


def literal_variables(variables: list[Any]) -> list[Any]:
    """Return variables whose values the kubelet hands over as they stand."""
    return [
        {**each, "value": literal(str(each["value"]))} if each.get("value") is not None else each
        for each in variables
    ]


def literal(value: str) -> str:
    """Write a value so that the kubelet hands it over as it stands: it expands $(NAME) and $$."""
    return value.replace("$", "$$")
