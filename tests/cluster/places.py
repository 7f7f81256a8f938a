"""Where everything lies, and the addresses of the cluster."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# Outlives the cluster: programs and images, each keyed by what it was made from.
CACHE = Path(os.environ.get("PODIUM_CACHE_DIR") or Path.home() / ".cache" / "podium")
# Dies with the cluster. Short, because the path of a Unix socket may have 107 characters at most.
STATE = Path(os.environ.get("PODIUM_CLUSTER_DIR") or "/tmp/podium-cluster").absolute()
KUBECONFIG = STATE / "kubeconfig"
READY = STATE / "READY"
LOCK = STATE.with_name(STATE.name + ".lock")  # beside it: `down` removes STATE while it holds it

KUBERNETES = "1.35.4"
NODE = "podium"

BRIDGE = "podium0"
NETWORK = "podium-cluster"
# The bridge's address is the node's: a kubelet refuses loopback, and pods must reach it.
HOST = "10.88.0.1"
PODS = "10.88.0.0/16"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
API_PORT = 6443
DNS_PORT = 1053
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
REGISTRY_PORT = 15000
API_URL = f"https://{HOST}:{API_PORT}"

CONTAINERD_SOCKET = STATE / "run" / "containerd.sock"
CONTAINERD_ROOT = STATE / "containerd"
CONTAINERD_STATE = STATE / "run" / "containerd"
HOSTS = STATE / "certs.d"  # containerd's own word for where registries are redirected
STORE = STATE / "registry"
