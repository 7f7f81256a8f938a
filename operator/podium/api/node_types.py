"""Types of nodes: those that come with Podium, and those that kinds add."""

from enum import StrEnum

__all__ = ["NodeType"]


class NodeType(StrEnum):
    """What a node is."""

    PHASE = "phase"
    CUSTOM = "custom"
    CONDITIONAL = "conditional"
    APPROVAL = "approval"
    PARALLEL_GROUP = "parallel_group"

    @classmethod
    def _missing_(cls, value: object) -> "NodeType | None":
        return _ADDED_TYPES.get(value) if isinstance(value, str) else None

    @classmethod
    def add(cls, name: str) -> "NodeType":
        """Make a type known that a kind registered later has (`podium.kinds.register`)."""
        if name in cls._value2member_map_:
            return cls(name)
        added = str.__new__(cls, name)
        added._name_, added._value_ = name.upper(), name
        return _ADDED_TYPES.setdefault(name, added)


_ADDED_TYPES: dict[str, NodeType] = {}
