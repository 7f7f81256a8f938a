"""The command line and settings of each component, in the order in which they start."""

import json
import ssl
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster import binaries, certs, network
from tests.cluster.console import run
from tests.cluster.images import PAUSE
from tests.cluster.places import (
    API_PORT,
    API_URL,
    CONTAINERD_ROOT,
    CONTAINERD_SOCKET,
    CONTAINERD_STATE,
    DNS_PORT,
    DNS_SERVICE,
    ETCD_PEER_PORT,
    ETCD_PORT,
    HOST,
    HOSTS,
    NODE,
    PODS,
    REGISTRY_PORT,
    SERVICES,
    STATE,
    STORE,
)
from tests.cluster.processes import Component

CONFIG = STATE / "config"
KUBELET = STATE / "kubelet"
# The order in which they end: no one may write while what it writes to goes away.
STOP_ORDER = (
    "kubelet",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-proxy",
    "coredns",
    "kube-apiserver",
    "etcd",
    "containerd",
    "registry",
)


def _answers(url: str) -> Callable[[], bool]:
    """Make a check that a health endpoint says 200. Which server it is, its process tells."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # No proxy from the environment stands between this machine and itself.
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    opener = urllib.request.build_opener(*handlers)

    def check() -> bool:
        try:
            with opener.open(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return check


def _write(name: str, content: str | dict[str, Any]) -> Path:
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    CONFIG.mkdir(parents=True, exist_ok=True)
    file = CONFIG / name
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
    return file


def registry() -> Component:
    """Serve the images of STORE."""
    script = Path(__file__).with_name("registry.py")
    return Component(
        "registry",
        [sys.executable, script, str(REGISTRY_PORT), STORE],
        _answers(f"http://127.0.0.1:{REGISTRY_PORT}/v2/"),
        [script],
    )


CONTAINERD = f"""\
version = 2
root = "{CONTAINERD_ROOT}"
state = "{CONTAINERD_STATE}"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{CONTAINERD_ROOT}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Without CAP_SYS_RESOURCE a sandbox that lowers its OOM score dies.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{network.PLUGINS}"
    conf_dir = "{network.CNI}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{HOSTS}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "{STATE}/run/runc"
    SystemdCgroup = false
"""


def containerd() -> Component:
    """Run containers, apart from any other containerd of this machine."""
    default = HOSTS / "_default"  # for whatever registry an image names
    default.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{REGISTRY_PORT}"
    (default / "hosts.toml").write_text(
        f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    config = _write("containerd.toml", CONTAINERD)

    def check() -> bool:
        version = ["ctr", "--address", CONTAINERD_SOCKET, "version"]
        return run(version, check=False, timeout=10).returncode == 0

    return Component("containerd", ["containerd", "--config", config], check, [config])


def etcd() -> Component:
    """Keep the objects; not safe against a power cut, which a test's cluster need not be."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    command = [
        binaries.path("etcd"),
        "--name=podium",
        f"--data-dir={STATE}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=podium={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    return Component("etcd", command, _answers(f"{client}/health"))


def apiserver() -> Component:
    """Serve the API on the bridge's address alone: pods reach it there, the outside does not."""
    accounts = certs.key("service-accounts")
    command = [
        binaries.path("kube-apiserver"),
        f"--advertise-address={HOST}",
        f"--bind-address={HOST}",
        f"--secure-port={API_PORT}",
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={certs.cert('ca')}",
        f"--tls-cert-file={certs.cert('apiserver')}",
        f"--tls-private-key-file={certs.key('apiserver')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={certs.PKI / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={accounts}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={certs.cert('ca')}",
        f"--kubelet-client-certificate={certs.cert('apiserver-kubelet-client')}",
        f"--kubelet-client-key={certs.key('apiserver-kubelet-client')}",
    ]
    return Component("kube-apiserver", command, _answers(f"{API_URL}/readyz"), patience=120)


def controller_manager() -> Component:
    """Run the stock controllers at their stock speed."""
    config = certs.kubeconfig("kube-controller-manager")
    command = [
        binaries.path("kube-controller-manager"),
        "--bind-address=127.0.0.1",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={certs.cert('ca')}",
        f"--service-account-private-key-file={certs.key('service-accounts')}",
        f"--flex-volume-plugin-dir={KUBELET / 'volume-plugins'}",
        f"--cluster-signing-cert-file={certs.cert('ca')}",
        f"--cluster-signing-key-file={certs.key('ca')}",
    ]
    health = _answers("https://127.0.0.1:10257/healthz")
    return Component("kube-controller-manager", command, health)


def scheduler() -> Component:
    """Put pods on the node."""
    config = certs.kubeconfig("kube-scheduler")
    command = [
        binaries.path("kube-scheduler"),
        "--bind-address=127.0.0.1",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
    ]
    return Component("kube-scheduler", command, _answers("https://127.0.0.1:10259/healthz"))


def kubelet() -> Component:
    """Run pods."""
    # Names outside the cluster mean nothing in it, whatever this machine's resolver says.
    resolver = _write("resolv.conf", "")
    none = {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"}
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": HOST,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certs.cert("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certs.cert("kubelet-server")),
        "tlsPrivateKeyFile": str(certs.key("kubelet-server")),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        # A disk that others fill must neither evict the pods nor delete the images of a test.
        "evictionHard": none | {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        # Every pull is from loopback; a limit would turn 20 pods at once into ErrImagePull.
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "maxPods": 250,
        "makeIPTablesUtilChains": False,
        "podLogsDir": str(STATE / "pod-logs"),
        "volumePluginDir": str(KUBELET / "volume-plugins"),
    }
    settings = _write("kubelet.json", config)
    command = [
        binaries.path("kubelet"),
        f"--config={settings}",
        f"--kubeconfig={certs.kubeconfig('kubelet')}",
        f"--root-dir={KUBELET}",
        f"--cert-dir={KUBELET}/pki",
        f"--hostname-override={NODE}",
        f"--node-ip={HOST}",
    ]
    health = _answers("http://127.0.0.1:10248/healthz")
    return Component("kubelet", command, health, [settings], patience=120)


def proxy() -> Component:
    """Lead Service addresses to pods."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": HOST,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0},
        "clientConnection": {"kubeconfig": str(certs.kubeconfig("kube-proxy"))},
    }
    settings = _write("kube-proxy.json", config)
    command = [binaries.path("kube-proxy"), f"--config={settings}"]
    health = _answers("http://127.0.0.1:10256/livez")
    return Component("kube-proxy", command, health, [settings])


def coredns() -> Component:
    """Answer names of the cluster, and say at once that there are no others."""
    config = _write(
        "Corefile",
        f"""cluster.local:{DNS_PORT} in-addr.arpa:{DNS_PORT} ip6.arpa:{DNS_PORT} {{
    bind {HOST}
    errors
    ready 127.0.0.1:18081
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {certs.kubeconfig("coredns")}
        ttl 5
    }}
}}
# A block of its own: in the same, template would answer before kubernetes does.
.:{DNS_PORT} {{
    bind {HOST}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
""",
    )
    command = [binaries.path("coredns"), "-conf", config]
    return Component("coredns", command, _answers("http://127.0.0.1:18081/ready"), [config])
