"""Definition files: YAML and JSON, read with the position of every value."""
