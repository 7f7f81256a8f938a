"""The language of conditions and templates, as a table a user could read."""

import pytest

from podium import expressions as e

CONTEXT = {
    "name": "podium",
    "n": 3,
    "ratio": 0.5,
    "flag": True,
    "nothing": None,
    "items": [1, 2, 3],
    "my-node": {"x": {"y": [10, 20]}},
    "text_key": "x",
}
SCOPE = {"context": CONTEXT, "run": {"name": "r", "id": "u"}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("context.flag == True", True),
        ("context.flag == true and not false", True),
        ("context.nothing == null", True),
        ("context.nothing is None", True),
        ("context.n > 2 and context.n <= 3", True),
        ("1 < context.n < 10", True),
        ("context['my-node'].x.y[1]", 20),
        ("context['my-node']['x'][context.text_key]", None),
        ("context.items[-1]", 3),
        ("2 in context.items", True),
        ("'y' not in context['my-node'].x", False),
        ("'od' in context.name", True),
        ("context.n + 1", 4),
        ("context.n / 2", 1.5),
        ("context.n // 2 * 2 % 5", 2),
        ("2 ** 10", 1024),
        ("-context.n", -3),
        ("'a' + context.name", "apodium"),
        ("'yes' if context.flag else 'no'", "yes"),
        ("context.n or 5", 3),
        ("context.nothing or 5", 5),
        ("len(context.items) + len(context.name)", 9),
        ("min(3, 1, 2) + max(context.items)", 4),
        ("sum(context.items)", 6),
        ("any([false, 1]) and all([])", True),
        ("abs(-2) + round(2.6)", 5),
        ("round(2.345, 1)", 2.3),
        ("str(context.n) + str(true) + str([1, null])", "3true[1,null]"),
        ("int('42') + int(2.9)", 44),
        ("float('1.5')", 1.5),
        ("bool('')", False),
        ("default(context.absent, 7)", 7),
        ("default(context.absent.deeper, 7)", 7),
        ("default(context.nothing, 7)", 7),
        ("default(context.n, 7)", 3),
        ("exists(context.absent)", False),
        ("exists(context['my-node'].x)", True),
        ("[1, 2] == [1, 2.0]", True),
        ("{'a': 1} == {'a': 1}", True),
        ("1 == '1'", False),
        ("run.name == 'r'", True),
    ],
)
def test_values(source, value):
    if value is None:
        with pytest.raises(e.MissingValueError):
            e.parse(source).evaluate(SCOPE)
    else:
        assert e.parse(source).evaluate(SCOPE) == value


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "empty"),
        ("1 +", "no expression"),
        ("x" * 2000, "the most is 1024"),
        ("foo == 1", "write context.foo"),
        ("context.my-node.x", "context['my-node']"),
        ("context.a.b-c", "context.a['b-c']"),
        ("context.__class__", "names do not begin with __"),
        ("().__class__.__bases__", "names do not begin with __"),
        ("[x for x in context.items]", "list comp is not part"),
        ("lambda: 1", "lambda is not part"),
        ("f'{context}'", "is not part"),
        ("(x := 1)", "named expr is not part"),
        ("context.items[0:1]", "slices are not part"),
        ("context.name.upper()", "only these functions"),
        ("'{0.__class__}'.format(context)", "only these functions"),
        ("eval('1')", "only these functions"),
        ("__import__('os')", "only these functions"),
        ("len()", "len takes 1 argument"),
        ("round(number=1)", "round takes 1 to 2"),
        ("len", "len is a function"),
        ("b'x'", "bytes literals"),
        ("1j", "complex literals"),
        ("1e999", "too large"),
        ("9" * 200, "256 bits"),
        ("(" * 500 + ")" * 500, "nested deeper"),
        ("-" * 500 + "1", "nested deeper"),
        ("not " * 200 + "1", "nested deeper"),
        ("a\0b", "no expression"),
        ("~1", "is not part"),
        ("1 @ 2", "is not part"),
        ("{**context}", "is not part"),
        ("exists(1)", "exists takes a path"),
    ],
)
def test_what_is_no_expression(source, said):
    with pytest.raises(e.ExpressionSyntaxError) as caught:
        e.parse(source)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("context.absent", e.MissingValueError, "context.absent is missing"),
        ("context['my-node'].z.q", e.MissingValueError, "context['my-node'].z is missing"),
        ("context.nothing.x", e.MissingValueError, "context.nothing is null"),
        ("context.items[9]", e.MissingValueError, "there are 3 items"),
        ("node.id", e.MissingValueError, "node is missing"),
        ("context.n.real", e.EvaluationError, "context.n is a number"),
        ("context.name.upper", e.EvaluationError, "context.name is a text"),
        ("context.n + 'x'", e.EvaluationError, "a number + a text"),
        ("context.n < 'x'", e.EvaluationError, "a number < a text"),
        ("true + 1", e.EvaluationError, "a truth value + a number"),
        ("1 / 0", e.EvaluationError, "division by zero"),
        ("9 ** 9 ** 9", e.LimitExceededError, "bits"),
        ("2.0 ** 5000", e.LimitExceededError, "too large"),
        ("'ab' * 3", e.EvaluationError, "a text * a number"),
        ("[0] * 10", e.EvaluationError, "a list * a number"),
        ("(-1) ** 0.5", e.EvaluationError, "real"),
        ("int('1e5')", e.EvaluationError, "no whole number"),
        ("1 is 1", e.EvaluationError, "use =="),
        ("max([])", e.EvaluationError, "max of nothing"),
    ],
)
def test_what_cannot_be_evaluated(source, kind, said):
    with pytest.raises(kind) as caught:
        e.parse(source).evaluate(SCOPE)
    assert said in str(caught.value)


def test_comparing_large_values_is_bounded():
    big = {"a": list(range(20_000))}
    with pytest.raises(e.LimitExceededError, match="steps"):
        e.parse("context.a == context.b").evaluate({"context": {"a": big, "b": big.copy()}})


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("context.a.b == 1 and context.a.b == 2", [("context", "a", "b")]),
        ("context['my-node'].x[0]", [("context", "my-node", "x", 0)]),
        (
            "context.a[context.k].z",
            [("context", "a"), ("context", "k")],
        ),
        ("run.name", [("run", "name")]),
    ],
)
def test_references(source, paths):
    assert [r.path for r in e.parse(source).references] == paths


def test_references_inside_default_and_exists_are_optional():
    found = e.parse("default(context.a, context.b) and exists(context.c)").references
    assert [(r.path[1], r.optional) for r in found] == [("a", True), ("b", False), ("c", True)]


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("no template", "no template"),
        ("${{ context.name }}", "podium"),
        ("Hello ${{ context.name }}, ${{context.n}}!", "Hello podium, 3!"),
        ("$${{ context.name }}", "${{ context.name }}"),
        ("${{ {'a': {'b': '}}'}} }}", '{"a":{"b":"}}"}}'),
        ("${{ context.nothing }} ${{ context.flag }}", "null true"),
        ("$(HOME) $$ {{ x }}", "$(HOME) $$ {{ x }}"),
    ],
)
def test_templates(text, rendered):
    assert e.parse_template(text).render(SCOPE) == rendered


def test_what_a_template_puts_in_is_not_looked_at_again():
    scope = {"context": {"a": "${{ context.b }}", "b": 1}}
    assert e.parse_template("${{ context.a }}").render(scope) == "${{ context.b }}"


@pytest.mark.parametrize("text", ["${{ context.a", "${{ 'a }}", "${{ }}", "${{ } }}"])
def test_broken_templates(text):
    with pytest.raises(e.ExpressionSyntaxError):
        e.parse_template(text)
