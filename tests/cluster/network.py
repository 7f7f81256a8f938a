"""The bridge on which pods and node meet, and how containers come to it.

Pods reach each other, this machine and nothing else: nothing masquerades them to the outside, so no
test depends on what lies there.
"""

import json
from pathlib import Path

from tests.cluster.console import run
from tests.cluster.places import BRIDGE, HOST, NETWORK, PODS, SERVICES, STATE

CNI = STATE / "cni"
PLUGINS = Path("/usr/lib/cni")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
FORWARD_BEFORE = STATE / "ip_forward.before"


def ensure() -> None:
    """Make the bridge before any pod does: the kubelet wants its node's address to exist."""
    if run(["ip", "link", "show", BRIDGE], check=False).returncode:
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    prefix = PODS.rpartition("/")[2]
    run(["ip", "address", "replace", f"{HOST}/{prefix}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    # A packet to a Service is sent to a pod instead before it leaves, but needs a route until then.
    # The API server calls admission webhooks by this way.
    run(["ip", "route", "replace", SERVICES, "dev", BRIDGE, "src", HOST])
    if not FORWARD_BEFORE.exists():
        FORWARD_BEFORE.write_text(FORWARD.read_text())
    FORWARD.write_text("1")
    _configure()


def _configure() -> None:
    plugins = [
        {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,  # a pod may reach itself through its Service
            "ipam": {
                "type": "host-local",
                "dataDir": str(STATE / "ipam"),
                # Not the first ten: the bridge's own is there.
                "ranges": [[{"subnet": PODS, "rangeStart": "10.88.0.10", "gateway": HOST}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    CNI.mkdir(parents=True, exist_ok=True)
    (CNI / "10-podium.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": plugins}, indent=2)
    )


def remove() -> None:
    """Take the bridge away with its address and route, and put forwarding back as it was."""
    run(["ip", "link", "delete", BRIDGE], check=False)
    if FORWARD_BEFORE.exists():
        FORWARD.write_text(FORWARD_BEFORE.read_text())
