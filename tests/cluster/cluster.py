"""Bringing the parts up in order, and taking them down in the reverse."""

import os
import shutil
import signal
import string
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.cluster import (
    binaries,
    certs,
    components,
    images,
    kind,
    leftovers,
    network,
    packages,
    processes,
    teardown,
)
from tests.cluster.console import ClusterError, run, say, step
from tests.cluster.places import DNS_PORT, DNS_SERVICE, HOST, KUBECONFIG, NODE, READY, STATE

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
BOOT = STATE / "boot"


def given() -> str | None:
    """Return the KUBECONFIG of a cluster that somebody else made and that answers."""
    value = os.environ.get("KUBECONFIG", "")
    if not value or Path(value).absolute() == KUBECONFIG:
        return None
    if not any(Path(part).exists() for part in value.split(os.pathsep) if part):
        say(f"KUBECONFIG={value} is not there: a cluster is made instead")
        return None
    ready = _kubectl("get", "--raw=/readyz", "--request-timeout=10s", kubeconfig=value)
    if ready != "ok":
        say(f"the cluster of KUBECONFIG={value} does not answer: a cluster is made instead")
        return None
    return value


def _ask(*arguments: str, stdin: str = "", kubeconfig: str = "") -> CompletedProcess[str]:
    """Run kubectl. What fails is asked again by the callers, until it holds or for long enough."""
    program = shutil.which("kubectl")
    if not program:
        binaries.ensure(["kubectl"])
        program = str(binaries.path("kubectl"))
    config = f"--kubeconfig={kubeconfig or KUBECONFIG}"
    return run([program, config, *arguments], check=False, stdin=stdin, timeout=60)


def _kubectl(*arguments: str, kubeconfig: str = "") -> str | None:
    """Return what kubectl prints, None when it fails."""
    done = _ask(*arguments, kubeconfig=kubeconfig)
    return done.stdout.strip() if done.returncode == 0 else None


def tools() -> list[str]:
    """Return what the tests call, whatever the cluster, and this machine has not."""
    return [name for name in ("helm", "kubectl") if not shutil.which(name)]


def up() -> None:
    """Make the cluster, or what is missing of it."""
    STATE.mkdir(parents=True, exist_ok=True)
    if kind.MARK.exists() or (not BOOT.exists() and kind.possible()):
        kind.up()
        binaries.ensure(tools())
        leftovers.remove(_ask)
        READY.write_text(f"{KUBECONFIG}\n")
        return
    if os.geteuid() != 0:
        raise ClusterError("a cluster without Docker runs containers itself, so it must be root")
    _forget_before_boot()
    packages.ensure(packages.CLUSTER)
    binaries.ensure((*PROGRAMS, *tools()))
    network.ensure()
    certs.ensure()
    images.ensure()
    certs.kubeconfig("admin", KUBECONFIG)
    # What does not need one another starts together.
    _start(components.registry(), components.containerd(), components.etcd())
    for name in (images.PAUSE, images.BUSYBOX):
        if images.pull(name):
            say(f"pulled {name}")
    _start(components.apiserver())
    _apply()
    _start(components.controller_manager(), components.scheduler(), components.kubelet())
    _start(components.proxy(), components.coredns())
    _until_ready()
    leftovers.remove(_ask)
    READY.write_text(f"{KUBECONFIG}\n")


def restart_apiserver() -> None:
    """Kill the API server, and start it again. Raises `ClusterError`."""
    if kind.MARK.exists():
        kind.kill_apiserver()
        _await(lambda: _kubectl("get", "--raw=/readyz") is None)
        _await(lambda: _kubectl("get", "--raw=/readyz") == "ok")
        return
    apiserver = components.apiserver()
    if processes.recorded(apiserver.name) is None:
        raise ClusterError("this API server was not started by `make cluster`")
    processes.stop(apiserver.name, by=signal.SIGKILL)
    _start(apiserver)
    # They would find it again by themselves, but some only after a minute.
    others = components.controller_manager(), components.scheduler()
    for component in others:
        processes.stop(component.name)
    _start(*others)


def _await(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise ClusterError(f"the API server did not restart within {seconds:.0f} s")
        time.sleep(0.2)


def _forget_before_boot() -> None:
    """Start over after the machine did: its processes, mounts and bridge are gone."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if BOOT.exists() and BOOT.read_text() != boot:
        say("the machine was started again since: so is the cluster")
        down()
        STATE.mkdir(parents=True)
    BOOT.write_text(boot)


def _start(*group: processes.Component) -> None:
    started = [component for component in group if processes.ensure(component)]
    if not started:
        for component in group:
            processes.wait(component)
        return
    with step(f"start {', '.join(component.name for component in started)}"):
        for component in group:
            processes.wait(component)


def _apply() -> None:
    text = Path(__file__).with_name("manifests.yaml").read_text()
    filled = string.Template(text).substitute(
        HOST=HOST, DNS_PORT=str(DNS_PORT), DNS_SERVICE=DNS_SERVICE
    )
    end = time.monotonic() + 60
    # A young API server may be ready before its own roles and namespaces are.
    while (done := _ask("apply", "-f", "-", stdin=filled)).returncode:
        if time.monotonic() > end:
            raise ClusterError(f"tests/cluster/manifests.yaml is refused:\n{done.stderr}")
        time.sleep(0.5)


def _until_ready() -> None:
    """Wait for what a first test would stumble over."""
    begin = time.monotonic()
    # By its name: a benchmark may have put fake machines beside it.
    node = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    taints = "jsonpath={.spec.taints}"
    checks = {
        "the node is Ready": lambda: _kubectl("get", "node", NODE, "-o", node) == "True",
        "the node takes pods": lambda: _kubectl("get", "node", NODE, "-o", taints) == "",
        "the namespace default has its ServiceAccount": lambda: (
            _kubectl("get", "serviceaccount", "default", "-n", "default") is not None
        ),
        "kube-proxy serves": components.proxy().healthy,
    }
    for what, holds in checks.items():
        while not holds():
            if time.monotonic() > begin + 120:
                raise ClusterError(f"not within two minutes: {what}; logs are in {STATE}/logs")
            time.sleep(0.2)


def down() -> None:
    """End the cluster and remove all that it left on the machine."""
    if not STATE.exists():
        say("no cluster")
        return
    READY.unlink(missing_ok=True)
    if kind.MARK.exists():
        kind.down()
        return
    with step("end the cluster"):
        for name in components.STOP_ORDER:
            if name == "containerd":
                teardown.end_containers()
            processes.stop(name)
        network.remove()
        teardown.remove()


def status() -> bool:
    """Print what runs; return whether all does."""
    if kind.MARK.exists():
        nodes = _kubectl("get", "nodes", "--no-headers")
        print(nodes or "the cluster of kind does not answer")
        return nodes is not None
    whole = True
    for name in components.STOP_ORDER[::-1]:
        record = processes.recorded(name)
        whole = whole and record is not None
        print(f"{name:24} {'pid ' + str(record['pid']) if record else 'not running'}")
    nodes = _kubectl("get", "nodes", "--no-headers") if whole else None
    print(nodes or "the API server does not answer")
    return whole and nodes is not None
