"""The language of conditions and templates, as a table a user could read."""

import re
from collections.abc import Mapping

import pytest

from podium import expressions as e
from podium.api.run import NodeStatus
from podium.expressions.syntax import STATUSES

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
        ("{'a': {'b': [1]}} != {'a': {'b': [2]}}", True),
        ("[1] + [2, 3]", [1, 2, 3]),
        ("(1, 'a')", [1, "a"]),
        ("context.name[0] + context.name[-1]", "pm"),
        ("'name' in context and 'nope' not in context", True),
        ("'a' if false else 'b' if false else 'c'", "c"),
        ("false and context.absent", False),
        ("true or context.absent", True),
        ("default(context.items[9], 'none')", "none"),
        ("default(context.absent + 1, 0)", 0),
        ("default(run.absent, default(context.absent, context.n))", 3),
        ("exists(context.nothing)", False),
        ("exists(context.items[2]) and not exists(context.items[3])", True),
        ("exists(node) or exists(item)", False),
        # true and false count as 1 and 0, as in Python
        ("true + 1", 2),
        ("sum([context.n > 2, context.flag, false]) >= 2", True),
        ("max(true, 0) == 1 and true == 1", True),
        ("true is true and not (1 is true)", True),
        ("round(2.5) == 2 and -7 // 2 == -4 and -7 % 3 == 2", True),
        ("2 ** -1", 0.5),
        ("2 ** 255 - 1 + 2 ** 255", 2**256 - 1),
        ("int(' 7 ') + int(true)", 8),
        ("float('1e3')", 1000.0),
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
        ("1 +", "is not an expression"),
        ("x" * 2000, "the limit is 1024"),
        ("foo == 1", "write context.foo"),
        ("context.my-node.x", "context['my-node']"),
        ("context.a.b-c", "context.a['b-c']"),
        ("context.my-long-node.x > 1", "context['my-long-node']"),
        ("context.my-node-2 > 1", "context['my-node-2']"),
        ("context.my-long-node-2.x > 1", "written ['my-long-node-2']"),
        ("context.n-context.n", "a space on each side of the -"),
        ("context.n - total", "write context.total"),
        ("context.my-2nd", "['my-2nd']"),
        ("context.from == 1", "write ['from']"),
        ("context.a && context.b", "write and"),
        ("context.a || context.b", "write or"),
        ("!context.a", "write not"),
        ("context.a = 1", "write =="),
        ("context.a === 1", "write =="),
        ("context.a OR context.b", "are lower case"),
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
        ("a\0b", "is not an expression"),
        ("~1", "is not part"),
        ("1 @ 2", "is not part"),
        ("{**context}", "is not part"),
        ("exists(1)", "exists takes a path"),
        ("'\\ud800'", "unpaired surrogate"),
        ("'\ud800'", "unpaired surrogate"),
        ("{1, 2}", "set is not part"),
        ("min(*context.items)", "starred is not part"),
        ("default(x=1, y=2)", "by position"),
        ("item[0, 1]", "slices are not part"),
        ("1; 2", "is not an expression"),
        ("import os", "is not an expression"),
        ("await context", "is not part"),
        ("(yield)", "is not part"),
        ("1" + " + 1" * 200, "nested deeper"),
        ("#", "is not an expression"),
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
        ("context.name.upper", e.EvaluationError, "context.name is a string"),
        ("context.n + 'x'", e.EvaluationError, "a number + a string"),
        ("context.n < 'x'", e.EvaluationError, "a number < a string"),
        ("1 / 0", e.EvaluationError, "division by zero"),
        ("9 ** 9 ** 9", e.LimitExceededError, "bits"),
        ("2.0 ** 5000", e.LimitExceededError, "too large"),
        ("'ab' * 3", e.EvaluationError, "a string * a number"),
        ("[0] * 10", e.EvaluationError, "a list * a number"),
        ("(-1) ** 0.5", e.EvaluationError, "real"),
        ("int('1e5')", e.EvaluationError, "not a whole number"),
        ("1 is 1", e.EvaluationError, "use =="),
        ("max([])", e.EvaluationError, "max of nothing"),
        ("context[run.name + 'x'].y", e.MissingValueError, "context['rx'] is missing"),
        ("context.items[context.n + 4]", e.MissingValueError, "context.items[7] is missing"),
        ("context.items[true]", e.EvaluationError, "must be a whole number"),
        ("context.n[context.items]", e.EvaluationError, "has no items"),
        ("context[1]", e.EvaluationError, "a key must be a string"),
        ("{1: 2}", e.EvaluationError, "a key must be a string"),
        ("'x' in 5", e.EvaluationError, "in a number is not defined"),
        ("1 in 'x'", e.EvaluationError, "in a string is not defined"),
        ("[1] < [2]", e.EvaluationError, "a list < a list"),
        ("sum(['a'])", e.EvaluationError, "sum takes numbers"),
        ("min(1, 'a')", e.EvaluationError, "not both"),
        ("len(5)", e.EvaluationError, "not a number"),
        ("1e308 * 10", e.LimitExceededError, "too large"),
        ("2 ** 256", e.LimitExceededError, "256 bits"),
        ("float('nan')", e.EvaluationError, "not a number"),
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
        ("${{ {'b': {'d': 1, 'c': 2}, 'a': 0} }}", '{"a":0,"b":{"c":2,"d":1}}'),
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


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("context.test_results.passed", "context.test_results"),
        ("context['my-node'].x.passed", "context['my-node'].x.passed"),
        ("run['a b']", "run['a b']"),
        ("item", "item"),
    ],
)
def test_a_missing_value_says_its_path(source, path):
    with pytest.raises(e.MissingValueError) as caught:
        e.parse(source).evaluate(SCOPE)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("source", "offset"),
    [
        ("foo == 1", 0),
        ("   foo == 1", 3),
        ("'é…' == foo", 8),
        ("(1,\r\n  foo)", 7),
        ("1 +", 3),
        ("'é' 1 2", 4),
        ("context.a == \ud800", 13),
        ("", None),
    ],
)
def test_a_syntax_error_says_where_in_characters(source, offset):
    with pytest.raises(e.ExpressionSyntaxError) as caught:
        e.parse(source)
    assert caught.value.offset == offset


def test_in_a_template_the_place_counts_from_the_beginning_of_the_text():
    with pytest.raises(e.ExpressionSyntaxError) as caught:
        e.parse_template("é ${{ run.id }} ${{  foo }}")
    assert caught.value.offset == 21
    assert "unknown name foo" in caught.value.message


ESCAPES = [
    "().__class__.__bases__[0].__subclasses__()",
    "[].__class__.__base__.__subclasses__()",
    "''.__class__.__mro__[1].__subclasses__()[104].__init__.__globals__['sys']",
    "context.__class__",
    "context.__getitem__('a')",
    "context._Context__dict",
    "context.\uff3f\uff3fclass\uff3f\uff3f",  # full-width, which Python reads as __class__
    "'{0.__class__}'.format(context)",
    "'{0.__class__}'.format_map(context)",
    "'%s' % context",
    "f'{context.__class__}'",
    "(x for x in context).gi_frame.f_globals",
    "[x for x in ().__class__.__bases__]",
    "(lambda: 1).__globals__",
    "len.__self__",
    "default.__globals__",
    "str.format",
    "max(context, key=eval)",
    "sum([[1]], [])",
    "print(1)",
    "open('/etc/passwd')",
    "getattr(context, 'x')",
    "type(context)",
    "__builtins__",
    "globals()",
    "exec('1')",
    "breakpoint()",
    "__import__('os').system('true')",
    "'a' * 10 ** 9",
    "[0] * 10 ** 9",
    "(0,) * 10 ** 9",
    "9 ** 9 ** 9",
    "9 ** 9 ** 9 ** 9",
    "10 ** 400 ** 2",
    "2.0 ** 10 ** 9",
    "-9 ** 99999",
    "round(1, -10 ** 9)",
    "(" * 10_000 + ")" * 10_000,
    "[" * 900,
    "(" * 500 + "1" + ")" * 500,
    "{'a':" * 150 + "1" + "}" * 150,
    "context" + "[0]" * 300,
    "context" + ".a" * 500,
    "-" * 1000 + "1",
    "not " * 250 + "1",
    "1 if 1 else " * 80 + "1",
    "lambda:" * 140 + "1",
    "9" * 5000,
    "0x" + "f" * 1000,
    "1e999999999",
    "'\\N{" + "A" * 500 + "}'",
    "\0",
    "\ufeff\ufeff1 +",
    "\\",
    "'''",
]


@pytest.mark.parametrize("source", ESCAPES, ids=lambda source: source[:40])
def test_known_ways_out_of_other_sandboxes(source):
    with pytest.raises(e.ExpressionError):
        e.parse(source).evaluate(SCOPE)


def test_a_long_chain_of_comparisons_is_no_danger():
    source = "<".join(str(n) for n in range(200))
    assert e.parse(source).evaluate({}) is True


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("context.huge ** -1", e.LimitExceededError, "too large"),
        ("-context.huge", e.LimitExceededError, "bits"),
        ("context.huge / 3", e.LimitExceededError, "too large"),
        ("context.list[context.huge]", e.MissingValueError, "there are 2 items"),
        ("str(context.huge)", e.EvaluationError, "cannot be written"),
        ("context.nan", e.EvaluationError, "not a finite number"),
        ("context.nan > 1", e.EvaluationError, "not a finite number"),
        ("index", e.EvaluationError, "not a finite number"),
        ("sum(context.nans)", e.LimitExceededError, "too large"),
        ("str(context.nans)", e.EvaluationError, "cannot be written"),
        ("str(context.deep)", e.LimitExceededError, "nested too deep"),
        ("context.deep == context.deep", e.LimitExceededError, "nested too deep"),
        ("context.n[context.deep]", e.EvaluationError, "has no items"),
        ("str(context.long)", e.LimitExceededError, "65536"),
        ("context.long + 'x'", e.LimitExceededError, "65536"),
        ("str([" + "context.long," * 60 + "])", e.LimitExceededError, "65536"),
        ("context.many + [1]", e.LimitExceededError, "items"),
        ("sum(context.many)", e.LimitExceededError, "steps"),
        ("7 in context.sevens", e.LimitExceededError, "steps"),
        ("str(context.foreign)", e.EvaluationError, "cannot be written"),
        ("len(context.foreign)", e.EvaluationError, "of no JSON type"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_data_of_any_size_is_bounded_too(source, kind, said):
    context = {
        "huge": 10**5000,
        "nan": float("nan"),
        "nans": [float("nan")],
        "deep": nested(100_000),
        "long": "x" * 1_000_000,
        "many": [0] * 200_000,
        "sevens": [6] * 200_000,
        "list": [1, 2],
        "n": 1,
        "foreign": {1, 2},
    }
    with pytest.raises(kind) as caught:
        e.parse(source).evaluate({"context": context, "index": float("inf")})
    assert said in str(caught.value)


def test_the_length_of_a_large_list_is_no_large_thing():
    assert e.parse("len(context.a) == 200000 and context.a[-1] == 0").evaluate(
        {"context": {"a": [0] * 200_000}}
    )


class Lazy(Mapping):
    """A context as the engine has it: values are looked up when they are asked for."""

    def __init__(self):
        self.asked = []

    def __getitem__(self, key):
        self.asked.append(key)
        return {"a": 1, "b": {"c": 2}}[key]

    def __iter__(self):
        return iter(("a", "b"))

    def __len__(self):
        return 2


def test_only_what_is_read_is_looked_up():
    lazy = Lazy()
    assert e.parse("context.b.c if true else context.a").evaluate({"context": lazy}) == 2
    assert lazy.asked == ["b"]
    assert e.parse("default(context.x, 5)").evaluate({"context": lazy}) == 5
    assert e.parse("str(context)").evaluate({"context": lazy}) == '{"a":1,"b":{"c":2}}'


def test_a_value_is_handed_on_as_it_is():
    assert e.parse("context.items").evaluate(SCOPE) is CONTEXT["items"]


@pytest.mark.parametrize(
    ("source", "holds"),
    [("context.items", True), ("[]", False), ("''", False), ("null", False), ("'false'", True)],
)
def test_a_condition_holds_when_its_value_is_true_in_python(source, holds):
    assert e.evaluate_condition(e.parse(source), SCOPE) is holds


def test_a_template_knows_its_expressions_and_what_they_read():
    template = e.parse_template("${{ context.a }} $${{ no }} ${{ context.a + context.b }}")
    assert [expression.source for expression in template.expressions] == [
        "context.a",
        "context.a + context.b",
    ]
    assert [r.path for r in template.references] == [("context", "a"), ("context", "b")]
    assert e.has_template("a ${{ b")
    assert not e.has_template("a {{ b }}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ 1" + " " * 5000 + "}}", "has no }} within 1024"),
        ("${{1}}" * 1001, "1000 expressions"),
        ("a ${{ ''' }} ''' ", "has no }}"),
    ],
    ids=["spaces", "many", "quotes"],
)
def test_templates_are_bounded(text, said):
    with pytest.raises(e.ExpressionSyntaxError, match=said):
        e.parse_template(text)


def test_a_rendered_text_is_bounded():
    template = e.parse_template("${{ context.a }}" * 20)
    with pytest.raises(e.LimitExceededError, match="65536"):
        template.render({"context": {"a": "x" * 10_000}})


def test_the_text_around_is_not_bounded():
    text = "x" * 1_000_000
    assert e.parse_template(text + "${{ 1 }}").render({}) == text + "1"


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("${{ context.a == 1 }}", "context.a == 1"),
        ("  ${{context.a}} ", "context.a"),
        ("${{ context.a }} == 'x'", "context.a == 'x'"),
        ("not ${{ context.a }} and ${{ context.b }}", "not context.a and context.b"),
    ],
)
def test_braces_around_an_expression_are_refused_with_what_is_meant(source, meant):
    with pytest.raises(e.ExpressionSyntaxError) as caught:
        e.parse(source)
    assert caught.value.message == f"is an expression already: leave out ${{{{ }}}}, write {meant}"


def test_braces_in_a_string_are_characters():
    assert e.parse("context.a == '${{ x }}'").evaluate({"context": {"a": "${{ x }}"}}) is True


NODES = {"a": {"status": "Completed"}, "g.m": {"status": "Failed"}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("nodes.a.status", "Completed"),
        ("nodes['g.m'].status", "Failed"),
        ("all_status(['a'], 'Completed')", True),
        ('all_status(["a", "g.m"], "Completed")', False),
        ("all_status(['g.m'], \"Failed\") and nodes.a.status != 'Failed'", True),
        ("nodes.a.status in ['Completed', 'Skipped']", True),
    ],
)
def test_statuses_are_read(source, value):
    assert e.parse(source).evaluate({"nodes": NODES}) == value


def test_a_node_that_is_not_known_is_missing():
    for source in ("all_status(['b'], 'Completed')", "nodes.b.status"):
        with pytest.raises(e.MissingValueError):
            e.parse(source).evaluate({"nodes": NODES})


def test_all_status_refers_to_each_node():
    references = e.parse("all_status(['a', 'g.m'], 'Completed')").references
    assert [r.path for r in references] == [("nodes", "a", "status"), ("nodes", "g.m", "status")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("all_status('a', 'Completed')", "takes a list of node ids in quotes"),
        ("all_status([], 'Completed')", "takes a list of node ids in quotes"),
        ("all_status([context.a], 'Completed')", "takes a list of node ids in quotes"),
        ("all_status(['a'], context.status)", "takes a status in quotes"),
        (
            "all_status(['a'], 'Complete')",
            "'Complete' is not a status of a node; did you mean 'Compl",
        ),
        ("all_status(['a'])", "takes 2 argument"),
        ("nodes.a.status == 'completed'", "did you mean 'Completed'"),
        ("'Succeeded' == nodes['a']['status']", "it is one of Pending, WaitingForDependencies"),
        ("nodes.a.status in ['Failed', 'Cancled']", "did you mean 'Cancelled'"),
    ],
)
def test_what_is_no_status_is_refused(source, message):
    with pytest.raises(e.ExpressionSyntaxError, match=re.escape(message)):
        e.parse(source)


def test_statuses_are_those_of_the_api():
    assert list(STATUSES) == [each.value for each in NodeStatus]


def test_a_computed_index_is_reported():
    (first, second) = e.parse("nodes[context.x].status").references
    assert (first.path, first.computed) == (("nodes",), True)
    assert (second.path, second.computed) == (("context", "x"), False)
