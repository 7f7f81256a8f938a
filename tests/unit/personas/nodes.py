"""Persona nodes as their process works on them, against a scripted server."""

import asyncio
import json
from dataclasses import dataclass, field

from podium.personas.document import Document
from podium.personas.errors import PersonaError
from podium.personas.live import Live
from podium.personas.team import Team, answer
from podium.personas.transcript import NAME, Transcript

KEY = "sk-canary-0123456789"


@dataclass
class Done:
    output: dict | None = None
    error: PersonaError | None = None
    usage: dict = field(default_factory=dict)
    transcript: str = ""
    files: dict = field(default_factory=dict)

    @property
    def events(self):
        return [json.loads(line) for line in self.transcript.splitlines()]

    @property
    def reason(self):
        return self.error.reason if self.error else None


def document(url, *, personas=None, model=None, **more):
    """What a shell hands over."""
    return {
        "formatVersion": 1,
        "models": {
            "default": {
                "provider": "OpenAI",
                "model": "gpt-x",
                "baseUrl": url,
                "keyVariable": "PODIUM_KEY_0",
                **(model or {}),
            }
        },
        "personas": {
            name: {"model": "default", "systemMessage": f"You are {name}.", **each}
            for name, each in (personas or {"p": {}}).items()
        },
        **more,
    }


def work(
    tmp_path,
    url,
    *,
    config=None,
    given=None,
    personas=None,
    model=None,
    env=None,
    kept=None,
    **more,
) -> Done:
    """Do a node's work."""
    place = tmp_path / "personas.json"
    place.write_text(json.dumps(document(url, personas=personas, model=model, **more)))
    found = Document.load(place, env if env is not None else {"PODIUM_KEY_0": KEY})
    config = {"personas": list(personas or {"p": {}}), **(config or {})}
    transcript = Transcript(tmp_path / NAME, found.secrets())
    done = Done()

    async def run():
        given_all = {"nodeId": "n", **(given or {})}
        live = Live(found, config, given_all, transcript, tmp_path / "out", kept=kept)
        try:
            replies = await answer(Team.of(config), "n", live)
            done.output = dict(replies[-1].output)
            done.files = {name: text for each in replies for name, text in each.files.items()}
        except PersonaError as error:
            done.error = error
        finally:
            done.usage = live.usage.dump()
            await live.close()

    asyncio.run(run())
    done.transcript = (tmp_path / NAME).read_text()
    assert KEY not in done.transcript
    assert KEY not in str(done.error)
    return done
