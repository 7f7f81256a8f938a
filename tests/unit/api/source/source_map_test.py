"""YAML and JSON texts as plain data, as kubectl reads them, with lines."""

import base64
import json
import math

import orjson
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podium.api.problems import InvalidError
from podium.api.source import source_map


@pytest.fixture(params=["libyaml", "PyYAML"], autouse=True)
def parser(request, monkeypatch):
    """Run each test with both of PyYAML's parsers: not every machine has libyaml."""
    if request.param == "PyYAML":
        monkeypatch.delattr(yaml, "CSafeLoader")
    return request.param


def read(text, name="f.yaml"):
    return [each.data for each in source_map.read(text, name)]


def refused(text, name="f.yaml"):
    with pytest.raises(InvalidError) as caught:
        source_map.read(text, name)
    (problem,) = caught.value.problems
    assert problem.file == name
    assert "\n" not in problem.message
    return problem.line, problem.message


# What plain scalars mean


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", True),
        ("Yes", True),
        ("y", True),
        ("TRUE", True),
        ("off", False),
        ("no", False),
        ("N", False),
        ("False", False),
        ("oN", "oN"),
        ("yEs", "yEs"),
        ("", None),
        ("~", None),
        ("null", None),
        ("nULL", "nULL"),
        ("NaN", "NaN"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("0o7", 7),
        ("0o17", 15),
        ("017", 15),
        ("08", 8),
        ("0o8", "0o8"),
        ("0x1F", 31),
        ("0b101", 5),
        ("0b2", "0b2"),
        ("1_000", 1000),
        ("_1", "_1"),
        ("+1", 1),
        ("-0", 0),
        ("1.0", 1),
        ("1e3", 1000),
        ("1E-1", 0.1),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("12:30:45", "12:30:45"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("=", "="),
        ("1h", "1h"),
        ("#x", None),
        ("x#y", "x#y"),
        ("'on'", "on"),
        ('"1"', "1"),
        ("! 12", "12"),
        ("!!str 1", "1"),
        ("!!str no", "no"),
        ("!!int 0o7", 7),
        ("!!float 1", 1),
        ("!!null ~", None),
        ("!!binary aGVsbG8=", "hello"),
        ('"\\u00e9\\U0001F600"', "é😀"),
    ],
)
def test_scalars_mean_what_they_mean_to_kubectl(written, value):
    (found,) = read(f"v: {written}\n")
    assert found == {"v": value}
    assert type(found["v"]) is type(value)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (".nan", ".nan is not a JSON number: leave it out, or quote it to make it a string"),
        (".NaN", ".NaN is not a JSON number: "),
        ("-.inf", "-.inf is not a JSON number: "),
        ("1e999", "1e999 is too large a number: quote it to make it a string"),
        ("9223372036854775808", "9223372036854775808 is a whole number of more than 64 bits"),
        ("0x" + "f" * 200, "0xffff"),
        ("1" * 10_000, "1111"),
        ("!!int x", "'x' is not of type int"),
        ("!!bool 1", "'1' is not of type bool"),
        ("!!int yes", "'yes' is not of type int"),
        ("!!binary /w==", "!!binary holds no UTF-8 text in base64: write the text itself"),
        ("!!binary a", "!!binary holds no UTF-8 text in base64"),
        ("!!set {x}", "YAML tag '!!set': a definition holds plain data, remove the tag"),
        ("!vault x", "YAML tag '!vault': "),
        ("!!python/object/apply:os.system [x]", "YAML tag '!!python/object/apply:os.system': "),
    ],
)
def test_what_is_no_json_value_is_refused_on_its_line(written, said):
    line, message = refused(f"a: 1\nv: {written}\n")
    assert line == 2
    assert message.startswith(said)
    assert len(message) < 200


# Lines


def test_every_value_knows_its_line_and_how_it_was_written():
    text = "# first\na: yes\nb:\n- 1.0\n-\n  c: 'x'\n"
    (found,) = source_map.read(text, "f")
    for path, line, written in [
        ((), 1 + 1, None),
        (("a",), 2, "yes"),
        (("b",), 3, None),
        (("b", 0), 4, "1.0"),
        (("b", 1, "c"), 6, None),
    ]:
        at, mark = found.source_map.find(path)
        assert (at, mark.text) == (line, written), path


def test_what_is_not_there_has_the_line_of_its_nearest_parent():
    (found,) = source_map.read("a:\n  b: [1]\n", "f")
    for path, line in [(("x",), 1), (("a", "x"), 1), (("a", "b", 7), 2), (("a", "b", "c", 0), 2)]:
        assert found.source_map.find(path) == (line, None)


def test_json_knows_lines_too():
    text = '\n{"a":\n  [1,\n   {"b": 2.50}]}\n'
    (found,) = source_map.read(text, "f")
    assert found.data == {"a": [1, {"b": 2.5}]}
    at, mark = found.source_map.find(("a", 1, "b"))
    assert (at, mark.text) == (4, "2.50")


# Keys


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key 'a': it is on line 1 already; remove one"),
        ("a:\n  b: 1\n  'b': 2\n", 3, "duplicate key 'b': it is on line 2"),
        ("{a: 1, a: 2}", 1, "duplicate key 'a'"),
        ('{"a": 1,\n"\\u0061": 2}', 2, "duplicate key 'a': it is on line 1"),
        ("on: 1\n", 1, 'key on is not a string: write "on" in quotes'),
        ("1: x\n", 1, 'key 1 is not a string: write "1" in quotes'),
        ("1.0: x\n", 1, 'key 1.0 is not a string: write "1.0" in quotes'),
        ("~: x\n", 1, 'key ~ is not a string: write "~" in quotes'),
        ("? [a]\n: x\n", 1, "a key must be a string, not a list or a mapping"),
        ("? {a: b}\n: x\n", 1, "a key must be a string"),
    ],
)
def test_keys_are_texts_and_stand_once(text, line, said):
    at, message = refused(text)
    assert at == line
    assert message.startswith(said)


def test_a_very_long_duplicate_key_makes_no_long_message():
    _, message = refused(f"? {'k' * 5000}\n: 1\n? {'k' * 5000}\n: 2\n")
    assert message.startswith("duplicate key 'kkk")
    assert len(message) < 200


# Anchors, aliases, merge keys


def test_aliases_are_copies_and_keys_merge():
    text = "d: &d {x: 1, w: {z: 1}}\ne:\n  <<: *d\n  x: 2\nf: [*d, *d]\ng: {<<: [{x: 5}, *d]}\n'<<': 7\n"
    (found,) = read(text)
    assert found["e"] == {"x": 2, "w": {"z": 1}}
    assert found["g"] == {"x": 5, "w": {"z": 1}}
    assert found["<<"] == 7
    found["f"][0]["w"]["z"] = 2
    assert found["f"][1] == {"x": 1, "w": {"z": 1}}


def bomb(level):
    rows = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    rows += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, level)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    "text",
    [
        bomb(40),
        bomb(40).replace("[x,x,x,x,x,x,x,x,x]", "{w: 1, x: 2, z: 3}"),
        "a: &a " + "x" * 100_000 + "\nb: [" + ",".join(["*a"] * 100) + "]\n",
        "a: &a {" + ",".join(f"k{i}: 1" for i in range(5000)) + "}\nb:\n" + "- {<<: *a}\n" * 100,
    ],
    ids=["lists", "mappings", "text", "merges"],
)
def test_bombs_of_aliases_are_refused(text):
    line, message = refused(text)
    assert line > 1
    assert message.startswith("aliases repeat more than 100,000 values or 800,000 characters")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: *x", "alias *x has no anchor: define it with &x before, or quote"),
        ("a: &x 1\n---\nb: *x", "alias *x has no anchor"),
        ("a: &a [*a]", "alias *a is inside its own anchor"),
        ("a: &a {b: *a}", "alias *a is inside its own anchor"),
        ("<<: 3", "<<: takes a mapping or a list of mappings"),
        ("<<: [{a: 1}, 3]", "<<: takes a mapping or a list of mappings"),
    ],
)
def test_aliases_that_cannot_be_are_refused(text, said):
    assert refused(text)[1].startswith(said)


# Size and depth


def nested(opening, closing, levels):
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("{a: ", "}")])
def test_a_hundred_levels_are_read_and_no_more(opening, closing):
    assert len(read(nested(opening, closing, 100))) == 1
    assert refused(nested(opening, closing, 101))[1] == "is nested deeper than 100 levels"


@pytest.mark.parametrize("text", ["[", "{a: ", "- ", '{"a":', "a: ["])
def test_endless_nesting_is_refused_at_once(text):
    assert refused(text * 50_000)[1].startswith(("is nested deeper", "a key", "is not valid"))


def test_aliases_do_not_nest_deeper_either():
    rows = ["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 101))]
    assert refused("\n".join(rows)) == (100, "is nested deeper than 100 levels")


def test_a_text_of_too_many_characters_is_refused_unread():
    line, message = refused("#" * 5_000_001)
    assert line is None
    assert message.startswith("has 5,000,001 bytes: a file may have 5,000,000 at most")
    assert read("#" * 5_000_000) == []


def test_a_text_of_too_many_values_is_refused(monkeypatch):
    monkeypatch.setattr(source_map, "MAX_VALUES", 10)
    assert read("[1,2,3,4,5,6,7,8,9]")
    for text in ("[1,2,3,4,5,6,7,8,9,10]", "a: [b, c, d, e, f, g, h, i, j]"):
        assert refused(text)[1] == "holds more than 10 values"


def test_a_text_of_too_many_documents_is_refused():
    assert len(read("--- 1\n" * 1000)) == 1000
    assert refused("--- 1\n" * 1001) == (1001, "holds more than 1,000 documents: split the file")


# Characters


@pytest.mark.parametrize(
    ("character", "said"),
    [
        ("\x00", "the control character U+0000"),
        ("\x1b", "the control character U+001B"),
        ("\x7f", "the control character U+007F"),
        ("\x80", "the control character U+0080"),
        ("\ufffe", "the control character U+FFFE"),
        ("\ud800", "the unpaired surrogate U+D800"),
    ],
)
@pytest.mark.parametrize("text", ["a: 1\nb: x%sy\n", '{"a":\n"%s"}', "a: 1\n# %s"])
def test_control_characters_are_refused_with_their_line(text, character, said):
    assert refused(text % character) == (2, f"holds {said}: remove it")


@pytest.mark.parametrize("text", ['a: 1\nb: "\\ud800"\n', '{"a": 1,\n"b": "\\ud800"}'])
def test_escapes_make_no_half_characters(text):
    line, message = refused(text)
    assert line == 2
    assert "unpaired surrogate" in message or "invalid Unicode character" in message


def test_json_escapes_make_whole_characters_of_pairs():
    assert read('{"a": "\\ud83d\\ude00"}') == [{"a": "😀"}]


def test_odd_characters_are_data():
    text = "é: '\u202e\u200b\U0001f600\ufeff'\n日本: \"\\e\\0\"\n"
    assert read(text) == [{"é": "\u202e\u200b\U0001f600\ufeff", "日本": "\x1b\0"}]


def test_line_ends_and_marks_of_byte_order_are_no_data():
    assert read("\ufeffa: 1\r\nb: x\r\n") == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("raw", "line", "said"),
    [
        (b"a: 1\nb: \xe9\n", 2, "is not UTF-8 text (byte 0xe9): save it as UTF-8"),
        ("a: 1".encode("utf-16"), None, "is UTF-16 text: save it as UTF-8"),
        (b"a: \0", None, "is a binary file: a definition is UTF-8 text"),
        (b"#" * 5_000_001, None, "has 5,000,001 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_refused(raw, line, said):
    with pytest.raises(InvalidError) as caught:
        source_map.decode(raw, "f")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.message.startswith(said)


# Syntax


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n\tb: 1\n", 2, "a tab where indentation is expected: indent with spaces"),
        ("é: 1\n \t\tb: 1\n", 2, ": "),
        ("a: b: c\n", 1, "quote a string that holds ': ', or check the indentation"),
        ("a: 1\n- b\n", 2, "check the indentation"),
        ("a: 1\n  b: 2\n", 2, "check the indentation"),
        ("a: @x\n", 1, "cannot start any token: quote the text"),
        ("a: %x\n", 1, "cannot start any token: quote the text"),
        ("a: `x`\n", 1, "cannot start any token: quote the text"),
        ("a: \t@x\n", 1, "cannot start any token: quote the text"),
        ("%FOO\n--- 1\n--- ]\n", None, "is not valid YAML"),
        ("a: 1\n--- ]\n", 2, "is not valid YAML"),
        ('a: "\\q"', 1, "unknown escape character"),
        ('a: "\\UFFFFFFFF"', None, "is not valid YAML"),
        ('a: "\\U00110000"', None, "is not valid YAML"),
        ("%YAML " + "1" * 5000 + ".1\n--- 1\n", None, "is not valid YAML"),
        ("a: !e!x b", 1, "undefined tag handle"),
    ],
)
def test_what_is_no_yaml_is_refused_with_what_to_do(text, line, said):
    at, message = refused(text)
    assert line is None or at == line
    assert message.startswith("is not valid YAML: ")
    assert said in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{"a": 1,}', 1, "unexpected '}'"),
        ('{"a": 1\n "b": 2}', 2, "comma expected, found '\"'"),
        ('{"a": {"b"\n 1}}', 2, "colon expected, found '1'"),
        ('{"a": 1, b: 2}', 1, "a key in quotes expected, found 'b'"),
        ('{"a": NaN}', 1, "a value expected, found 'N'"),
        ('{"a": Infinity}', 1, "a value expected, found 'I'"),
        ('{"a": 01}', 1, "comma expected, found '1'"),
        ('{"a": "x\ny"}', 1, "invalid control character"),
        ('{"a": "x', 1, "unterminated string"),
        ('{"a": "\\x"}', 1, "invalid \\escape"),
        ('{"a": [1', 1, "it ends too early"),
        ('{"a": 1} x', 1, "a value expected, found 'x'"),
        ('{"a": 1}]', 1, "unexpected ']'"),
        ('{"a": [1}', 1, "unexpected '}'"),
        ('{"a": 1 // no\n}', 1, "comma expected, found '/'"),
    ],
)
def test_what_is_no_json_is_refused_in_words_of_json(text, line, said):
    at, message = refused(text)
    assert at == line
    assert message.startswith(f"is not valid JSON: {said}")
    assert not message.endswith(" at")


@pytest.mark.parametrize(
    ("text", "said"), [('{"a": 1e999}', "1e999 is too large"), ('{"a": 1%s}' % ("0" * 20), "100")]
)
def test_numbers_of_json_are_bounded_too(text, said):
    assert refused(text)[1].startswith(said)


def test_a_file_named_json_is_json():
    assert refused("{a: 1}", "f.json")[1].startswith("is not valid JSON: ")
    assert read("{a: 1}") == [{"a": 1}]
    assert read("{'a': 1}") == [{"a": 1}]
    assert read("[a, b]") == [["a", "b"]]


# Documents


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\n---\n", [None, None]),
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\n...\n---\nb: 2\n...\n", [{"a": 1}, {"b": 2}]),
        ("--- a\n--- b\n", ["a", "b"]),
        ("%YAML 1.2\n---\na: on\n", [{"a": True}]),
        ("a: |\n  x: 1\n  ---\n", [{"a": "x: 1\n---\n"}]),
        ('{"a": 1} {"b": 2}\n[3]', [{"a": 1}, {"b": 2}, [3]]),
    ],
)
def test_a_text_has_any_number_of_documents(text, documents):
    assert read(text) == documents


# Whatever comes


ish = st.lists(
    st.sampled_from(
        [
            *"{}[]:,-?!&*#|>'\"%@`~\\\t \n\r0123456789eExXoO_.+aé\u2028\x85\ufeff",
            *(": ", "- ", "&a ", "*a", "<<: ", "---\n", "...\n", "\n  ", "%YAML 1.1\n", "!!int "),
            *("!!x", "\\ud800", ".nan", "null", "on", '{"a": '),
        ]
    ),
    max_size=40,
).map("".join)


def holds_plain_data(value):
    if isinstance(value, dict):
        return all(isinstance(k, str) and holds_plain_data(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(holds_plain_data, value))
    return value is None or isinstance(value, str | bool | int) or math.isfinite(value)


@pytest.mark.parametrize("loader", ["libyaml", "PyYAML"])
@settings(max_examples=100, deadline=None)
@example("&a a: *a")
@example("a: &a {<<: *a}")
@given(ish | st.text(max_size=60))
def test_any_text_is_data_or_a_problem(loader, text):
    with pytest.MonkeyPatch.context() as patch:
        if loader == "PyYAML":
            patch.delattr(yaml, "CSafeLoader", raising=False)
        try:
            found = source_map.read(text, "f")
        except InvalidError:
            return
    for each in found:
        assert holds_plain_data(each.data)
        orjson.dumps(each.data)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(json_values, max_size=3) | st.dictionaries(st.text("abc"), json_values))
def test_json_is_read_as_it_was_written(value):
    # Escaped: which characters may stand in a file as they are is tested above.
    (found,) = source_map.read(json.dumps(value), "f.json")
    assert orjson.dumps(found.data) == orjson.dumps(value)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_in_base64_are_a_text_or_refused(raw):
    text = f"a: !!binary {base64.b64encode(raw).decode()}\n"
    try:
        expected = raw.decode()
    except UnicodeDecodeError:
        assert "!!binary holds no UTF-8 text" in refused(text)[1]
    else:
        assert read(text) == [{"a": expected}]
