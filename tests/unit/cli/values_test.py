"""Context values on the command line."""

import pytest

from podium.api.problems import InvalidError
from podium.cli.output import CliError
from podium.cli.values import context_of, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("3", 3),
        ("-3", -3),
        ("007", 7),
        ("0o7", 7),
        ("0x1F", 31),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-31", "2026-01-31"),
        ("", None),
        ("null", None),
        ("~", None),
        ("'3'", "3"),
        ('"true"', "true"),
        ("[a, b]", ["a", "b"]),
        ("[]", []),
        ("[1, [true, yes]]", [1, [True, "yes"]]),
        ("{a: 1}", {"a": 1}),
        ("{<<: 1}", {"<<": 1}),
        ("a=b", "a=b"),
        ("http://x:80/?a=b", "http://x:80/?a=b"),
        ("hello world", "hello world"),
        ("é", "é"),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "not a YAML value"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice: remove one"),
        ("[{a: 1, b: {c: 1, c: 2}}]", "has the key 'c' twice"),
        ("*a", "alias"),
        ("[&a [1], *a]", "alias"),
        ("a: b", "--context-string"),
        ("- a", "--context-string"),
        ("#fff", "comment"),
        ("red #fff", "comment"),
        (".nan", "JSON does not have"),
        (".inf", "JSON does not have"),
        ("9223372036854775808", "64 bits"),
        ("!!python/object:os.system x", "not a YAML value"),
        ("!!binary aGk=", "bytes"),
        ("[" * 2000, "nested"),
        ("{1: 2}", "key"),
        ("\udc80", "not a YAML value"),
        ("a" * 1_000_001, "characters"),
    ],
)
def test_what_is_no_value_is_refused_in_words(text, said):
    with pytest.raises(ValueError, match=said):
        parse_value(text)


def test_dots_nest_and_the_later_wins():
    context = context_of(
        {"a": {"x": 1}, "b": 1}, None, ["a.b=2", "a.c.d=[1]", "b.e=3", "a.b=4"], ["s=3"]
    )
    assert context == {"a": {"x": 1, "b": 4, "c": {"d": [1]}}, "b": {"e": 3}, "s": "3"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a=1", "a.b=2"], "-c a.b: -c a is given, too"),
        (["a.b=2", "a=1"], "-c a: -c a.b is given, too"),
        (["a"], "KEY=VALUE"),
        (["=1"], "KEY=VALUE"),
        (["a..b=1"], "KEY=VALUE"),
    ],
)
def test_contradictions_are_refused(values, said):
    with pytest.raises(CliError, match=said):
        context_of({}, None, values, [])


def test_a_file_comes_before_single_values(tmp_path):
    file = tmp_path / "context.yaml"
    file.write_text("a: {x: 1}\nb: 2\n")
    assert context_of({"c": 3, "b": 0}, str(file), ["a.y=2"], []) == {
        "a": {"x": 1, "y": 2},
        "b": 2,
        "c": 3,
    }
    file.write_text("- 1")
    with pytest.raises(CliError, match="must hold one mapping"):
        context_of({}, str(file), [], [])
    file.write_text("a: 1\na: 2\n")
    with pytest.raises(InvalidError, match="duplicate key"):
        context_of({}, str(file), [], [])


def test_objects_are_merged_and_lists_replaced():
    base = {"db": {"host": "h", "port": 1, "opts": {"ssl": True}}, "regions": ["eu", "us"]}
    context = context_of(base, None, ["db={port: 2, opts: {pool: 3}}", "regions=[ap]"], [])
    assert context == {
        "db": {"host": "h", "port": 2, "opts": {"ssl": True, "pool": 3}},
        "regions": ["ap"],
    }
    assert base["db"]["port"] == 1
    assert context_of(base, None, ["db=null"], [])["db"] is None


@pytest.mark.parametrize("place", ["base", "below"])
def test_an_index_is_refused(place):
    lists = {"a": {"regions": ["eu", "us"]}}
    said = r"-c a\.regions\.0: a\.regions is a list, .*: write -c a\.regions='\[…\]'"
    with pytest.raises(CliError, match=said):
        context_of(
            lists if place == "base" else {},
            None,
            ["a.regions.0=ap"],
            [],
            below=lists if place == "below" else None,
        )


def test_a_value_comes_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"x": [1, 2.0]}')
    (tmp_path / "b.yaml").write_text("- yes\n- 1\n")
    (tmp_path / "c.txt").write_text("3\n")
    context = context_of({}, None, ["a=@a.json", "b.c=@b.yaml", "t=@c.txt"], ["s=@c.txt"])
    assert context == {"a": {"x": [1, 2]}, "b": {"c": [True, 1]}, "t": "3\n", "s": "@c.txt"}
    with pytest.raises(CliError, match=r"-c a=@nope\.json: No such file"):
        context_of({}, None, ["a=@nope.json"], [])
    (tmp_path / "d.yaml").write_text("1\n---\n2\n")
    with pytest.raises(CliError, match="has 2 documents: must hold one"):
        context_of({}, None, ["a=@d.yaml"], [])
    (tmp_path / "e.txt").write_bytes(b"\xff")
    with pytest.raises(InvalidError, match="UTF-8"):
        context_of({}, None, ["a=@e.txt"], [])


@pytest.mark.parametrize("option", ["-c", "--context-string"])
@pytest.mark.parametrize("key", ["regions[0]", "a.regions[1].name", "regions[]"])
def test_an_index_in_brackets_is_refused_too(option, key):
    given = ([f"{key}=1"], []) if option == "-c" else ([], [f"{key}=1"])
    with pytest.raises(CliError, match=r"a list is replaced as a whole: write -c (a\.)?regions='"):
        context_of({}, None, *given)


def test_a_file_that_cannot_be_read_is_named_with_its_option():
    with pytest.raises(
        CliError, match=r"--context-file nope\.yaml: No such file or directory: name"
    ):
        context_of({}, "nope.yaml", (), ())
