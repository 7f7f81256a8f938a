"""Authorities of certificates that a Pod trusts beside those of its image."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

__all__ = ["AUTHORITIES_VARIABLE", "trust_authorities"]

AUTHORITIES_VARIABLE = "PODIUM_AUTHORITIES"
_FILE = "/tmp/podium-authorities.pem"  # noqa: S108 - of the container, which has no other user


def trust_authorities(variables: Mapping[str, str], file: str = _FILE) -> None:
    """Let connections of this process, and its git, trust those of the chart. Raises `OSError`."""
    given = variables.get(AUTHORITIES_VARIABLE)
    if not given:
        return
    usual = ssl.get_default_verify_paths().cafile
    known = Path(usual).read_text() if usual else ""
    Path(file).write_text(f"{known}\n{given}\n")
    os.environ["SSL_CERT_FILE"] = file
