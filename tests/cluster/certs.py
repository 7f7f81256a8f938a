"""The cluster's authority, a certificate for each component, and kubeconfigs made of them."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.console import run
from tests.cluster.places import API_SERVICE, API_URL, HOST, NODE, STATE

PKI = STATE / "pki"
DAYS = "3650"


@dataclass(frozen=True)
class Identity:
    """Who a certificate says that its holder is."""

    user: str
    group: str = ""
    names: tuple[str, ...] = ()  # a server's; a client has none


IDENTITIES = {
    "apiserver": Identity(
        "kube-apiserver",
        names=(
            f"IP:{HOST}",
            f"IP:{API_SERVICE}",
            "IP:127.0.0.1",
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
        ),
    ),
    "kubelet-server": Identity(f"system:node:{NODE}", names=(f"IP:{HOST}", f"DNS:{NODE}")),
    "apiserver-kubelet-client": Identity("kube-apiserver-kubelet-client", "system:masters"),
    "admin": Identity("admin", "system:masters"),
    "kubelet": Identity(f"system:node:{NODE}", "system:nodes"),
    "kube-controller-manager": Identity("system:kube-controller-manager"),
    "kube-scheduler": Identity("system:kube-scheduler"),
    "kube-proxy": Identity("system:kube-proxy"),
    "coredns": Identity("system:coredns"),
}


def cert(name: str) -> Path:
    """Return the file of a certificate."""
    return PKI / f"{name}.crt"


def key(name: str) -> Path:
    """Return the file of a key."""
    return PKI / f"{name}.key"


def _new_key(name: str) -> None:
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    run(["openssl", "genpkey", *curve, "-out", key(name)])
    key(name).chmod(0o600)


def ensure() -> None:
    """Make what is not there yet. The last file written tells that all are."""
    done = PKI / "done"
    if done.exists():
        return
    PKI.mkdir(parents=True, exist_ok=True)
    PKI.chmod(0o700)
    _new_key("ca")
    subject = ["-subj", "/CN=podium-test-cluster"]
    request = ["openssl", "req", "-x509", "-new", "-key", key("ca"), *subject, "-days", DAYS]
    run([*request, "-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-out", cert("ca")])
    for name, identity in IDENTITIES.items():
        _issue(name, identity)
    _new_key("service-accounts")
    public = ["-pubout", "-out", PKI / "service-accounts.pub"]
    run(["openssl", "pkey", "-in", key("service-accounts"), *public])
    done.touch()


def _issue(name: str, identity: Identity) -> None:
    _new_key(name)
    subject = (f"/O={identity.group}" if identity.group else "") + f"/CN={identity.user}"
    usage = "serverAuth" if identity.names else "clientAuth"
    extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}"]
    extensions += [f"subjectAltName={','.join(identity.names)}"] if identity.names else []
    (PKI / f"{name}.ext").write_text("\n".join(extensions) + "\n")
    request = PKI / f"{name}.csr"
    run(["openssl", "req", "-new", "-key", key(name), "-subj", subject, "-out", request])
    sign = ["openssl", "x509", "-req", "-in", request, "-days", DAYS, "-CAcreateserial"]
    sign += ["-CA", cert("ca"), "-CAkey", key("ca"), "-extfile", PKI / f"{name}.ext"]
    run([*sign, "-out", cert(name)])


def kubeconfig(name: str, target: Path | None = None) -> Path:
    """Write the kubeconfig of an identity, with all it needs inside, so that it can be copied."""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    target = target or PKI / f"{name}.kubeconfig"
    cluster = {"server": API_URL, "certificate-authority-data": data(cert("ca"))}
    user = {"client-certificate-data": data(cert(name)), "client-key-data": data(key(name))}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "podium", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "podium", "context": {"cluster": "podium", "user": name}}],
        "current-context": "podium",
    }
    text = json.dumps(content, indent=2)  # JSON is YAML
    if not target.exists() or target.read_text() != text:
        target.touch(mode=0o600)
        target.write_text(text)
    return target
