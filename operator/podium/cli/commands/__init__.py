"""The verbs of `podium`; `podium.cli` says which module has which."""
