"""A real Kubernetes for the tests, made from nothing on a machine that may have no container engine.

`python -m tests.cluster up` takes the cluster of KUBECONFIG where there is one, else makes one with
kind, else builds every part from its Go module and runs the parts as processes of this machine:

    places.py      where everything lies, and the addresses of the cluster
    console.py     progress lines; running a command and showing what it said when it failed
    packages.py    Debian packages that are missing
    binaries.py    Go programs, built once for each version
    processes.py   starting, finding again and ending our own processes, never another's
    network.py     the bridge, its addresses, and what is left of them
    certs.py       the authority, a certificate for each component, kubeconfigs
    components.py  the command line and settings of each component
    registry.py    a read-only image registry on loopback, so that `image: busybox` pulls
    images.py      the images in it: pause and busybox, and how any other comes in
    podium_image.py  Podium's own image, built from the Dockerfile
    teardown.py    removing mounts, namespaces, cgroups and rules after the last process ended
    kind.py        the other way, where Docker is there
    cluster.py     the order in which all this comes up and goes down
    __main__.py    up, down, status, image

Only one such cluster runs on a machine at a time: its addresses and ports are fixed.
"""
