"""Personas with recorded answers, as the runner's process answers them."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from podium.personas.asking import Ask, Reply, Role
from podium.personas.errors import PersonaError
from podium.personas.files import directory_of, write_files
from podium.personas.recorded import RecordedAnswers
from podium.personas.team import Team
from podium.personas.team import answer as team_answer

TEAM = """
answers:
- {node: "n", persona: p, role: draft, output: {from: p}}
- {node: "n", persona: q, output: {from: q}}
- {node: "n", role: merge, persona: q, output: {from: never}}
- {role: merge, output: {from: merged}, files: {notes/a.md: text}}
- {node: other, output: {from: other}}
"""


BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine times nine … values, by aliases."""


def answer(config, given, recorded, artifacts):
    replies = asyncio.run(team_answer(Team.of(config), given["nodeId"], recorded))
    if artifacts is not None:
        write_files(artifacts, directory_of(config), replies)
    return replies[-1].output


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "answers.yaml").write_text(TEAM)
    return RecordedAnswers.load(tmp_path / "answers.yaml")


def test_a_single_persona_answers_and_a_team_merges(recorded, tmp_path):
    given = {"nodeId": "n"}
    assert answer({"personas": ["p"]}, given, recorded, None) == {"from": "p"}
    team = {"personas": ["p", "q"], "output_dir": "docs"}
    assert answer(team, given, recorded, tmp_path) == {"from": "merged"}
    assert (tmp_path / "docs/notes/a.md").read_text() == "text"
    # The lead's own answer comes first where it matches first.
    assert answer({**team, "lead": "q"}, given, recorded, None) == {"from": "q"}


def test_what_is_not_recorded_is_named(recorded):
    with pytest.raises(
        PersonaError, match="no answer is recorded for node x, persona p, role draft"
    ) as error:
        answer({"personas": ["p"]}, {"nodeId": "x"}, recorded, None)
    assert error.value.reason == "NoRecordedAnswer"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "answers: must be a list"),
        ("answers: {}", "answers: must be a list"),
        ("answers: [1]", r"answers\[0\].output: must be the JSON object"),
        ("answers: [{output: [1]}]", r"answers\[0\].output"),
        ("answers: [{output: {}, nod: x}]", r"answers\[0\]: has an unknown field"),
        ("answers: [{output: {}, role: lead}]", "role: must be draft, critique, revise or merge"),
        ("answers: [{output: {}, files: [a]}]", "files: must hold NAME: text"),
        ("a: [", "line 2: is not YAML"),
        ("db:\n\tpassword: secret", "line 2: is not YAML"),
        ("secret: &a\nb: *secret", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("\x00", "is not YAML"),
        ("answers: [{output: &a {x: *a}}]", "line 1: is not YAML"),
        ("answers: [{output: {secret: 1,\n secret: 2}}]", "line 2: is not YAML"),
        ("answers: [{output: {x: .nan}}]", "is not YAML"),
        ("answers: [{output: {x: !!set {a}}}]", "is not YAML"),
        ('answers: [{output: {x: "\\ud800"}}]', "is not YAML"),
        ("a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + BOMB, "is not YAML"),
        ("answers: []\n---\nanswers: []", "answers: must be a list"),
        ("answers: [{output: {}, node: 5}]", r"answers\[0\].node: must be a string"),
        ("answers: [{output: {}, persona: [p]}]", "persona: must be a string"),
        ("answers: [{output: {}, round: x}]", "round: must be a whole number"),
        ("answers: [{output: {}, round: yes}]", "round: must be a whole number"),
        ("answers: [{output: {}, files: {a: [1]}}]", "files: must hold NAME: text"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "answers.yaml").write_text(text)
    with pytest.raises(PersonaError, match=said) as error:
        RecordedAnswers.load(tmp_path / "answers.yaml")
    assert error.value.reason == "Config"
    assert "secret" not in str(error.value), "what cannot be parsed is not quoted"


def test_values_are_those_that_a_definition_would_have(tmp_path):
    (tmp_path / "a.yaml").write_text("answers: [{output: {day: 2020-01-02, at: 1.0, ok: yes}}]")
    (found,) = RecordedAnswers.load(tmp_path / "a.yaml").answers
    assert found.output == {"day": "2020-01-02", "at": 1, "ok": True}


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        *(("", "../x"), ("", "."), ("a", "../../x"), ("/etc", "x"), ("..", "answers.yaml")),
    ],
)
def test_files_stay_among_the_artifacts(tmp_path, directory, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "answers.yaml").write_text(
        json.dumps({"answers": [{"output": {}, "files": {name: "x"}}]})
    )
    recorded = RecordedAnswers.load(tmp_path / "answers.yaml")
    with pytest.raises(PersonaError, match="leads out of"):
        answer(
            {"personas": ["p"], "output_dir": directory},
            {"nodeId": "n"},
            recorded,
            tmp_path / "out",
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.yaml", "out"]


@pytest.mark.parametrize(
    ("answers", "code", "output"),
    [
        ("answers: [{output: {x: é}}]", 0, {"x": "é"}),
        (
            "answers: [{node: other, output: {}}]",
            1,
            {
                "podiumError": {
                    "reason": "NoRecordedAnswer",
                    "message": "no answer is recorded for node n, persona p, role draft",
                }
            },
        ),
    ],
)
def test_the_process_writes_an_output_or_why_there_is_none(tmp_path, answers, code, output):
    file = tmp_path / "answers.yaml"
    file.write_text(answers)
    (tmp_path / "input.json").write_text('{"nodeId": "n"}')
    done = subprocess.run(
        [sys.executable, "-m", "podium.runner", "persona"],
        env={
            **os.environ,
            "PODIUM_INPUT": str(tmp_path / "input.json"),
            "PODIUM_OUTPUT": str(tmp_path / "output.json"),
            "PODIUM_ARTIFACTS_OUT": str(tmp_path),
            "PODIUM_CONFIG": '{"personas": ["p"]}',
            "PODIUM_RECORDED": str(file),
        },
        check=False,
    )
    assert done.returncode == code
    expected = json.loads(json.dumps(output).replace("{file}", str(file)))
    assert json.loads((tmp_path / "output.json").read_text()) == expected


def test_rounds_are_recorded_by_their_number(tmp_path):
    (tmp_path / "answers.yaml").write_text(
        """
answers:
- {persona: p, role: draft, output: {v: 1}}
- {persona: q, role: draft, output: {v: 2}}
- {role: critique, round: 1, output: {accepted: false, critiques: {q: longer}}}
- {role: critique, round: 2, output: {accepted: true, critiques: {}}}
- {persona: q, role: revise, output: {v: 3}}
- {role: merge, output: {done: true}}
"""
    )
    recorded = RecordedAnswers.load(tmp_path / "answers.yaml")
    config = {"personas": ["p", "q"], "rounds": 3}
    assert answer(config, {"nodeId": "n"}, recorded, None) == {"done": True}
    with pytest.raises(PersonaError, match="role critique, round 3"):
        asyncio.run(recorded.ask(Ask("n", "p", Role.CRITIQUE, 3)))


@pytest.mark.parametrize(
    ("directory", "name"), [("", "transcript.jsonl"), ("docs", "../transcript.jsonl")]
)
def test_a_file_does_not_pass_for_the_transcript(tmp_path, directory, name):
    reply = Reply({}, {name: "I asked nothing."})
    with pytest.raises(PersonaError, match=r"files: transcript.jsonl is what a model was asked"):
        write_files(tmp_path, directory, [reply])
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "answers.yaml").write_text("answers: [{output: {}, files: {a: x, a/b: z}}]")
    recorded = RecordedAnswers.load(tmp_path / "answers.yaml")
    with pytest.raises(PersonaError, match="the file 'a/b' of a persona: ") as error:
        answer({"personas": ["p"]}, {"nodeId": "n"}, recorded, tmp_path)
    assert error.value.reason == "Artifact"
