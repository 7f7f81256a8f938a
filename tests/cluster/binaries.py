"""Go programs built from their modules, once for each version, into the cache.

A module can be had wherever Go programs are built, also where no release page and no image registry
can be reached. To add a program, add a line to PROGRAMS.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.console import ClusterError, run, step
from tests.cluster.places import CACHE, KUBERNETES


@dataclass(frozen=True)
class Program:
    """A command in a Go module.

    `staging` is the version of the modules that its go.mod replaces by directories of its repository: a
    downloaded module lacks those directories, so each needs a replacement by a published version.
    """

    package: str
    module: str
    version: str
    variables: tuple[str, ...] = ()
    staging: str = ""


_MAJOR, _MINOR, _PATCH = KUBERNETES.split(".")


def _kubernetes(command: str) -> Program:
    """One of Kubernetes' own programs, which report v0.0.0 unless told their version."""
    version = "k8s.io/component-base/version"
    return Program(
        package=f"k8s.io/kubernetes/cmd/{command}",
        module="k8s.io/kubernetes",
        version=KUBERNETES,
        variables=(
            f"{version}.gitVersion=v{KUBERNETES}",
            f"{version}.gitMajor={_MAJOR}",
            f"{version}.gitMinor={_MINOR}",
        ),
        staging=f"0.{_MINOR}.{_PATCH}",
    )


PROGRAMS: dict[str, Program] = {
    "etcd": Program("go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", "3.6.5"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kubelet": _kubernetes("kubelet"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "kubectl": _kubernetes("kubectl"),
    "coredns": Program("github.com/coredns/coredns", "github.com/coredns/coredns", "1.12.4"),
    # Its module, unlike its releases, believes that it speaks to Kubernetes 1.20.
    "helm": Program(
        "helm.sh/helm/v3/cmd/helm",
        "helm.sh/helm/v3",
        "3.19.0",
        variables=(
            f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor={_MAJOR}",
            f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={_MINOR}",
        ),
    ),
    "kind": Program("sigs.k8s.io/kind", "sigs.k8s.io/kind", "0.31.0"),
    # Only the benchmarks want it; see kwok.py.
    "kwok": Program("sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok", "0.7.0"),
    # An S3 server over a directory, for the tests of artifacts.
    "versitygw": Program(
        "github.com/versity/versitygw/cmd/versitygw", "github.com/versity/versitygw", "1.8.0"
    ),
}


def path(name: str) -> Path:
    """Where a program lies once built."""
    return CACHE / f"{name}-{PROGRAMS[name].version}" / name


def ensure(names: Iterable[str]) -> None:
    """Build what the cache lacks; two callers at once do not build the same."""
    names = list(names)
    if all(path(name).exists() for name in names):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in names if not path(name).exists()]
        if missing and not shutil.which("go"):
            raise ClusterError(f"no go in PATH, needed to build {', '.join(missing)}")
        for done, name in enumerate(missing, start=1):
            with step(f"build {name} {PROGRAMS[name].version} ({done} of {len(missing)})"):
                _build(name, PROGRAMS[name])


def _build(name: str, program: Program) -> None:
    # A change of VERSION leaves older builds in place: another checkout may use them.
    target = path(name)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"build-{name}-") as directory:
        work = Path(directory)
        env = os.environ | {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=mod -buildvcs=false",
            "GOWORK": "off",
        }
        (work / "go.mod").write_text(_go_mod(program, work, env))
        run(["go", "get", "-tool", f"{program.package}@v{program.version}"], cwd=work, env=env)
        flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in program.variables)])
        built = work / "out" / name
        run(
            ["go", "build", "-trimpath", "-ldflags", flags, "-o", built, program.package],
            cwd=work,
            env=env,
        )
        target.parent.mkdir(exist_ok=True)
        built.rename(target)  # whole or not there: an ended build leaves no half program


def _go_mod(program: Program, work: Path, env: dict[str, str]) -> str:
    """Write a module of our own that needs the program as a tool."""
    download = ["go", "mod", "download", "-json", f"{program.module}@v{program.version}"]
    (work / "go.mod").write_text("module podium.test/cluster\n")
    theirs = Path(json.loads(run(download, cwd=work, env=env).stdout)["GoMod"]).read_text()
    go = re.search(r"^go (\S+)", theirs, re.MULTILINE)
    lines = ["module podium.test/cluster", f"go {go.group(1) if go else '1.24'}"]
    if program.staging:
        directories = sorted(set(re.findall(r"(\S+) => \./staging", theirs)))
        lines += [f"replace {module} => {module} v{program.staging}" for module in directories]
    return "\n".join(lines) + "\n"
