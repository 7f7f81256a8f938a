"""The graphs that are measured: of each node, the nodes before it."""

Graph = dict[str, list[str]]


def chain(length: int) -> Graph:
    """One node after the other."""
    return {f"n{i}": [f"n{i - 1}"] if i else [] for i in range(length)}


def fan(width: int) -> Graph:
    """All nodes at once."""
    return {f"n{i}": [] for i in range(width)}


def sdlc() -> Graph:
    """The graph of examples/sdlc: six nodes in five levels."""
    return {
        "requirements": [],
        "design": ["requirements"],
        "backend": ["design"],
        "frontend": ["design"],
        "tests": ["backend", "frontend"],
        "deployment": ["tests"],
    }
