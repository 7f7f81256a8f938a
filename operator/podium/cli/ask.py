"""Approvals, asked on the terminal on which `podium run` shows a run."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from podium.api.base import shorten
from podium.cli.approvals import Asked, waiting
from podium.cli.decisions import checked_request
from podium.cli.live import View
from podium.cli.output import CliError, escape_control
from podium.cli.session import OpenRun
from podium.cli.values import parse_value
from podium.local.shell import LocalRun

__all__ = ["ask_on_terminal"]

LOOK_SECONDS = 0.2


async def ask_on_terminal(local: LocalRun, view: View, say: Callable[[str], None]) -> None:
    """Ask for a decision about what waits, one after the other, until cancelled.

    What is decided elsewhere meanwhile is not asked any more.
    """
    lines = _Lines()
    asked: set[str] = set()
    try:
        while True:
            for node, execution in waiting(local.status).items():
                if execution in asked:
                    continue
                asked.add(execution)
                view.pause()
                try:
                    await _ask(local, Asked(node, execution), lines, say)
                finally:
                    view.go_on()
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        lines.close()


async def _ask(local: LocalRun, asked: Asked, lines: "_Lines", say: Callable[[str], None]) -> None:
    def is_over() -> bool:
        return waiting(local.status).get(asked.node) != asked.execution

    say(f"{asked.node}: {local.status.nodes[asked.node].message}")
    while not is_over():
        say("Approve? y, n, or nothing to leave it to podium approve | reject:")
        word = await lines.next(is_over)
        answer = (word or "").strip().lower()
        if answer in ("", "y", "yes", "n", "no"):
            break
    else:
        return
    if is_over() or not answer:
        return
    is_approved = answer.startswith("y")
    values: dict[str, Any] = {}
    if is_approved:
        for name, about in _fields(local, asked.node):
            say(f"  {name}{about}:")
            text = await lines.next(is_over)
            if text is None:
                return
            try:
                if text.strip():
                    values[name] = parse_value(text.strip())
            except ValueError as error:
                say(f"  {name}: {error}")
                await _ask(local, asked, lines, say)
                return
    say("Comment, if any:")
    comment = await lines.next(is_over)
    if comment is None:
        return
    run = OpenRun(local.directory, local.record, local.status, local.plan)
    try:
        request = checked_request(
            run, asked, is_approved=is_approved, comment=shorten(comment.strip()), values=values
        )
    except CliError as refusal:
        say(str(refusal))
        await _ask(local, asked, lines, say)
        return
    local.request(request)
    while not is_over():  # noqa: ASYNC110 - the next step of the run carries it out
        await asyncio.sleep(LOOK_SECONDS)


def _fields(local: LocalRun, node: str) -> Iterator[tuple[str, str]]:
    """Return the fields that a node asks for, each with what is said of it."""
    fields = local.plan.nodes[node].definition.config.get("fields")
    properties = fields.get("properties") if isinstance(fields, Mapping) else None
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        about = schema if isinstance(schema, Mapping) else {}
        words = [str(about[key]) for key in ("description", "type", "enum") if key in about]
        if "default" in about:
            words.append(f"default {about['default']}")
        shown = escape_control(shorten(", ".join(words), 200))
        yield escape_control(str(name)), f" ({shown})" if shown else ""


class _Lines:
    """Lines that a person types, read without holding up the run."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._terminal = sys.stdin.fileno()
        self._loop.add_reader(self._terminal, self._read)

    def _read(self) -> None:
        line = b""
        with suppress(OSError):  # a terminal hands over a line at a time
            line = os.read(self._terminal, 4096)
        if not line:  # the terminal is gone, or Ctrl-D: nothing more is asked
            self.close()
        self._queue.put_nowait(line.decode(errors="replace").rstrip("\n"))

    async def next(self, is_over: Callable[[], bool]) -> str | None:
        """Return the next line; None: there is nothing to decide any more."""
        while not is_over():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await self._queue.get()
            except TimeoutError:
                continue
        return None

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._terminal)
