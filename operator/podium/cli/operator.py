"""`podium operator`."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import click

from podium.cluster import operator as cluster_operator
from podium.cluster.settings import load_settings

__all__ = ["operator"]


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the operator's settings.",
)
def operator(config: Path | None) -> None:
    """Run the operator: watch the cluster's WorkflowRuns and run them."""
    settings = load_settings(config)
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    # What kopf says of each object and request is noise unless one looks for it.
    for noisy in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(
            logging.DEBUG if settings.log_level == "debug" else logging.WARNING
        )
    asyncio.run(cluster_operator.run(settings))
