"""Rules of semantics.md as YAML cases that both shells run and end equal."""
