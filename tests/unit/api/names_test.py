"""Ids, and the Kubernetes names and labels made from them."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podium.api import names

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

texts = st.text() | st.text("aZ0_-./é", max_size=300)


def is_dns_label(text):
    return len(text) <= 63 and DNS_LABEL.fullmatch(text) is not None


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("sdlc_complete_workflow", "sdlc-complete-workflow"),
        ("My Workflow (v2)", "my-workflow-v2"),
        ("__a__b__", "a-b"),
        ("a.b", "a-b"),
        ("Ünïcode", "n-code"),
        ("x" * 62 + "_y", "x" * 62),
        ("x" * 5000, "x" * 63),
    ],
)
def test_a_name_is_the_id_as_far_as_kubernetes_takes_it(identifier, name):
    assert names.object_name(identifier) == name


def test_ids_without_a_usable_character_have_names_too():
    made = {names.object_name(text) for text in ("", "___", "日本", "\ud800")}
    assert len(made) == 4
    assert all(re.fullmatch("x-[0-9a-z]{8}", name) for name in made)


@settings(max_examples=100, deadline=None)
@example("\ud800")
@example("İ" * 100)
@example("-" * 100)
@given(texts)
def test_any_text_makes_a_name_and_a_label(text):
    assert is_dns_label(names.object_name(text))
    assert names.is_object_name(names.object_name(text))
    value = names.label_value(text)
    assert len(value) <= 63
    assert LABEL_VALUE.fullmatch(value)


@settings(max_examples=100, deadline=None)
@given(texts, texts, texts)
def test_any_run_and_execution_make_the_name_of_a_job(run, uid, execution):
    name = names.child_name(run, uid, execution)
    assert is_dns_label(name)
    assert name == names.child_name(run, uid, execution)
    assert name != names.child_name(run, uid + "x", execution)


def test_children_differ_where_what_can_be_read_is_the_same():
    ids = ["a-1", "A-1", "a_1", "a--1", "x" * 63, "x" * 62 + "-1"]
    made = [names.child_name("r", uid, execution) for uid in "uv" for execution in ids]
    assert len(set(made)) == len(made)
    assert made[0].startswith("r-a-1-")


@pytest.mark.parametrize("value", ["design_phase", "A.b-c_1", "x" * 63])
def test_a_label_is_the_id_where_kubernetes_takes_it(value):
    assert names.label_value(value) == value


@pytest.mark.parametrize("value", ["", "_a", "a_", "x" * 64, "é", "a b", "a\n"])
def test_a_label_is_a_hash_elsewhere(value):
    assert re.fullmatch("x-[0-9a-z]{26}", names.label_value(value))


@pytest.mark.parametrize(
    ("text", "is_id", "is_name"),
    [
        ("a", True, True),
        ("_a", True, False),
        ("A_b-C", True, False),
        ("a-", True, False),
        ("1a", False, True),
        ("a.b", False, True),
        ("a..b", False, False),
        ("", False, False),
        ("a\n", False, False),
        ("x" * 63, True, True),
        ("x" * 64, False, True),
        ("x" * 253, False, True),
        ("x" * 254, False, False),
        ("é", False, False),
        ("a٣", False, False),
    ],
)
def test_ids_and_names_are_reported_apart(text, is_id, is_name):
    assert names.is_id(text) is is_id
    assert names.is_object_name(text) is is_name


def test_an_execution_is_counted_through_the_run():
    assert names.execution_id("design_phase", 3) == "design_phase-3"
