"""Whether every value that one schema promises meets what another one needs.

Nothing found means that it does, with one leniency: keys of an object that the promise does not
declare are taken not to be there. What is found is certain to break, or left open: the promise
does not say, or the two cannot be compared. Both schemas may be hostile: the steps are counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import orjson

from podium.contracts.findings import Finding, type_words, wanted_words
from podium.contracts.json_schema import short, shown
from podium.contracts.limits import LIMITS
from podium.contracts.promises import Case, cases_of, parts_in
from podium.contracts.schema_parts import EVERY_TYPE, Budget, Part, TooLargeError, types_of, whole

_Check = Callable[[Any, Case, Part, str], Iterable[Finding]]

__all__ = ["Finding", "compare", "compare_parts"]

MAX_STEPS = 20_000
MAX_REFERENCES = 20_000
MAX_FINDINGS = 20
MAX_NESTED = 64
MAX_DISJOINT = 4
_MEMBERS = ("properties", "patternProperties", "additionalProperties")
_ELEMENTS = ("items", "prefixItems", "additionalItems")
_OBJECT: Final = whole({"type": "object"})


def compare(promised: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Finding]:
    """Return where an object that meets one schema may not meet another, 20 places at most."""
    return compare_parts([whole(promised)], whole(needed))


def compare_parts(promised: Sequence[Part], needed: Part) -> list[Finding]:
    """Return where an object that meets several schemas may not meet another one."""
    found: dict[Finding, None] = {}
    try:
        for each in _Comparison().compare((_OBJECT, *promised), needed):
            found[each] = None
            if len(found) >= MAX_FINDINGS:
                break
    except (TooLargeError, RecursionError):
        message = "the schemas are too large, or refer to each other too often, to be compared"
        found[Finding((), message, is_open=True)] = None
    except TimeoutError:
        message = "a pattern takes too long to be tried on the names of keys"
        found[Finding((), message, is_open=True)] = None
    return sorted(found, key=lambda each: each.is_open)


class _Comparison:
    """One comparison, with what it may still cost."""

    def __init__(self) -> None:
        self._budget = Budget(MAX_STEPS, MAX_REFERENCES)
        self._open: set[tuple[Any, ...]] = set()
        """What is being compared: that it holds is assumed inside, as for any recursive type."""
        self._depth = 0
        self._texts: dict[int, bytes] = {}
        """Schemas as JSON, by their identity: their documents are there as long as this."""

    def compare(self, promised: Sequence[Part], needed: Part) -> Iterator[Finding]:
        if needed.says_nothing:
            return
        for case in cases_of(promised, self._budget):
            yield from self._case(case, needed)

    def _case(self, case: Case, needed: Part) -> Iterator[Finding]:
        key = (tuple(fact.key for fact in case.facts), needed.key)
        if key in self._open or needed.says_nothing:
            return
        self._budget.take()
        if self._depth >= MAX_NESTED:
            raise TooLargeError
        self._open.add(key)
        self._depth += 1
        try:
            # A list: whoever asked may not ask for all, and what is open must be as it was.
            found = list(self._found(case, needed))
        finally:
            self._depth -= 1
            self._open.discard(key)
        for each in found:
            yield each if case.is_exact else replace(each, is_open=True)

    def _found(self, case: Case, needed: Part) -> Iterator[Finding]:
        if needed.schema is False:
            yield Finding((), "is promised here and not allowed: leave it out of the promise")
            return
        if any(self._is_same(fact, needed) for fact in case.facts):
            return
        if (target := needed.target()) is not None:
            yield from self._case(case, target)
            if needed.is_reference:
                return
        values = case.values(self._budget)
        if values is not None:
            for value in values:
                if not needed.fits(value, self._budget):
                    # References and choices are a part of what it is checked by.
                    why = f"may be {shown(value)}, which what is needed does not allow"
                    yield Finding((), f"{why}{wanted_words(needed)}")
                    return
            return
        if case.says_nothing:
            message = f"is left open: the promise says nothing of it{wanted_words(needed)}"
            yield Finding((), message, is_open=True)
            return
        yield from self._type(case, needed)
        allowed = case.types & types_of(needed)
        for keyword in needed.schema:
            if keyword in LIMITS and not allowed.isdisjoint(LIMITS[keyword].types):
                yield from LIMITS[keyword].check(case, needed, keyword)
            elif keyword in self.CHECKS and not allowed.isdisjoint(self.CHECKS[keyword][1]):
                yield from self.CHECKS[keyword][0](self, case, needed, keyword)
        if "object" in allowed and any(word in needed.schema for word in _MEMBERS):
            yield from self._members(case, needed)
        if "array" in allowed and any(word in needed.schema for word in _ELEMENTS):
            yield from self._elements(case, needed)

    def _is_same(self, one: Part, other: Part) -> bool:
        """Return whether two schemas are written alike, and mean the same."""
        if one.schema is other.schema:
            return True
        text = self._text(one)
        if not text or text != self._text(other):
            return False
        has_references = b'"$ref"' in text or b'"$dynamicRef"' in text
        return one.document is other.document or not has_references

    def _text(self, part: Part) -> bytes:
        if part.key not in self._texts:
            try:
                text = orjson.dumps(part.schema, option=orjson.OPT_SORT_KEYS)
            except TypeError:  # it has a Part inside
                text = b""
            self._texts[part.key] = text
        return self._texts[part.key]

    def _type(self, case: Case, needed: Part) -> Iterator[Finding]:
        wanted = types_of(needed)
        more = case.types - wanted
        if not more:
            return
        words = type_words(wanted)
        if case.is_typed:
            yield Finding((), f"may be {type_words(more)}, and {words} is needed")
        else:
            yield Finding((), f"has no type in the promise, and {words} is needed", is_open=True)

    # Choices

    def _all_of(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        for each in parts_in(needed, keyword):
            yield from self._case(case, each)

    def _any_of(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        branches = parts_in(needed, keyword)
        if self._meets_one(case, branches, keyword):
            return
        split = [case.with_type(name) for name in sorted(case.types)]
        if len(split) > 1 and all(self._meets_one(one, branches, keyword) for one in split):
            return
        failed = next((one for one in split if not self._meets_one(one, branches, keyword)), case)
        is_certain = all(self._is_disjoint(failed, each) for each in branches)
        first = next((each for branch in branches for each in self._case(failed, branch)), None)
        why = f"; of the first: {first}" if first is not None else ""
        how = "meets none" if is_certain else "is not certain to meet exactly one"
        if keyword == "anyOf" and not is_certain:
            how = "is not certain to meet one"
        message = f"{how} of the {len(branches)} choices that are needed ({keyword}){why}"
        yield Finding((), short(message), is_open=not is_certain)

    def _meets_one(self, case: Case, branches: Sequence[Part], keyword: str) -> bool:
        for branch in branches:
            if next(self._case(case, branch), None) is not None:
                continue
            others = [each for each in branches if each is not branch]
            if keyword == "anyOf" or all(self._is_disjoint(case, each) for each in others):
                return True
        return False

    def _is_disjoint(self, case: Case, needed: Part, nested: int = 0) -> bool:
        """Return whether no value of a promise meets a schema, as far as that can be seen."""
        values = case.values(self._budget)
        if values is not None:
            return not any(needed.fits(value, self._budget) for value in values)
        return all(
            self._are_apart(case, other, nested) for other in cases_of([needed], self._budget)
        )

    def _are_apart(self, case: Case, other: Case, nested: int) -> bool:
        common = case.types & other.types
        if not common:
            return True
        values = other.values(self._budget)
        if values is not None:
            return not any(
                all(fact.fits(value, self._budget) for fact in case.facts) for value in values
            )
        if common != {"object"} or nested >= MAX_DISJOINT:
            return False
        for name in case.required:
            members = other.members(name)
            for part in members:
                inner = cases_of(case.members(name), self._budget)
                if inner and all(self._is_disjoint(one, part, nested + 1) for one in inner):
                    return True
        return False

    def _not(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        if not self._is_disjoint(case, needed.inside(needed.schema[keyword])):
            message = "cannot be compared with what is needed here (not)"
            yield Finding((), message, is_open=True)

    def _if(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        branches = [needed.schema[each] for each in ("then", "else") if each in needed.schema]
        for each in branches:
            if next(self._case(case, needed.inside(each)), None) is not None:
                message = f"cannot be compared with what is needed here ({keyword})"
                yield Finding((), message, is_open=True)
                return

    def _unknown(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        wanted = needed.schema[keyword]
        if any(fact.get(keyword) == wanted for fact in case.facts) and "$ref" not in str(wanted):
            return
        message = f"cannot be compared with what is needed here ({keyword})"
        yield Finding((), message, is_open=True)

    # Objects

    def _required(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        for name in needed.schema[keyword]:
            if name in case.required:
                continue
            members = case.members(name)
            if members and not cases_of(members, self._budget):
                yield Finding((name,), "is needed, and the promise does not allow it")
            elif name in case.declared:
                yield Finding((name,), "is needed, and not always there: add it to `required`")
            else:
                yield Finding((name,), "is needed, and the promise does not declare it", True)

    def _members(self, case: Case, needed: Part) -> Iterator[Finding]:
        names = dict.fromkeys([*case.declared, *case.required, *needed.mapping("properties")])
        for name in names:
            if name in case.required or case.is_declared(name):
                for part in needed.members(name):
                    yield from _below(name, self.compare(case.members(name), part))
        rest = needed.get("additionalProperties")
        others = [needed.inside(each) for each in needed.mapping("patternProperties").values()]
        others += [needed.inside(rest)] if rest is not None else []
        for part in others:
            yield from _below("*", self.compare(case.others(), part))
        wanted = needed.mapping("patternProperties")
        for pattern, promised in case.patterns():
            known = [needed.inside(wanted[pattern])] if pattern in wanted else others
            for part in known:
                yield from _below(f"/{pattern}/", self.compare((promised,), part))

    def _names(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        wanted = needed.inside(needed.schema[keyword])
        for name in dict.fromkeys([*case.declared, *case.required]):
            if not wanted.fits(name, self._budget):
                yield Finding((name,), "is not allowed as the name of a key (propertyNames)")
        if next(case.patterns(), None) or cases_of(case.others(), self._budget):
            yield from self._unknown(case, needed, keyword)

    def _dependent(self, case: Case, needed: Part, keyword: str) -> Iterator[Finding]:
        for name, wanted in needed.mapping(keyword).items():
            if name not in case.required and not case.is_declared(name):
                continue
            if isinstance(wanted, list):
                for other in wanted:
                    if other not in case.required:
                        message = f"is needed where {name!r:.60} is there, and not always there"
                        yield Finding((other,), message, is_open=True)
            elif next(self._case(case, needed.inside(wanted)), None) is not None:
                message = f"cannot be compared with what is needed here ({keyword})"
                yield Finding((), message, is_open=True)

    # Arrays

    def _elements(self, case: Case, needed: Part) -> Iterator[Finding]:
        first, rest = needed.array_items()
        most = case.most("maxItems")
        positions = max(len(first), case.first_elements)
        for position in range(positions):
            if most is not None and position >= most:
                return
            part = first[position] if position < len(first) else rest
            if part is not None:
                promised = self.compare(case.element(position), needed.inside(part))
                yield from _below(position, promised)
        if rest is not None and (most is None or most > positions):
            yield from _below("[]", self.compare(case.element(positions), needed.inside(rest)))

    _EVERY_VALUE = (
        (_all_of, "allOf"),
        (_any_of, "anyOf", "oneOf"),
        (_not, "not"),
        (_if, "if"),
        (_unknown, "$dynamicRef"),
    )
    _ARRAYS = ((_unknown, "contains", "minContains", "maxContains", "unevaluatedItems"),)
    _OBJECTS = (
        (_required, "required"),
        (_names, "propertyNames"),
        (_dependent, "dependentRequired", "dependentSchemas", "dependencies"),
        (_unknown, "unevaluatedProperties"),
    )
    CHECKS: ClassVar[dict[str, tuple[_Check, frozenset[str]]]] = {
        keyword: (work, frozenset(types))
        for types, group in (
            (EVERY_TYPE, _EVERY_VALUE),
            (("array",), _ARRAYS),
            (("object",), _OBJECTS),
        )
        for work, *keywords in group
        for keyword in keywords
    }
    """How a keyword whose value holds schemas is checked, and for values of which types."""


def _below(step: str | int, findings: Iterable[Finding]) -> Iterator[Finding]:
    for each in findings:
        yield replace(each, path=(step, *each.path))
