"""Keys are digests of canonical parts, and two keys can say how they differ."""

from __future__ import annotations

from builder import keys
from builder.interfaces import KeyParts
from runtime.oci.digests import ChainID, Digest

PARENT = Digest("sha256:" + "1" * 64)


def test_the_order_of_parts_does_not_count() -> None:
    assert keys.key_of({"a": 1, "b": {"x": 1, "y": 2}}) == keys.key_of({"b": {"y": 2, "x": 1}, "a": 1})


def test_the_version_of_our_semantics_and_the_parent_are_part_of_a_key() -> None:
    parts = keys.complete({"instruction": "run"}, parent=PARENT, epoch=None)
    assert parts == {"instruction": "run", "semantics": keys.SEMANTICS, "parent": PARENT}


def test_a_linked_step_has_no_parent_and_an_epoch_counts() -> None:
    parts = keys.complete({}, parent=None, epoch=5)
    assert "parent" not in parts
    assert parts["epoch"] == 5


def test_a_key_is_pinned() -> None:
    """Whoever changes this has changed what all caches know: SEMANTICS must count up."""
    parts: KeyParts = {"instruction": "run", "command": ["/bin/sh", "-c", "é"], "semantics": 1}
    assert keys.key_of(parts) == "sha256:1743c9241287d51d69514157c226c7aece3e911ff8ca0ea9d1ca4d0a5f16afa9"


def test_content_chains_differ_by_parent_and_by_layer() -> None:
    base = keys.base_content(ChainID("sha256:" + "2" * 64))
    assert len({keys.base_content(None), base, keys.next_content(base, PARENT), keys.next_content(PARENT, base)}) == 4


def test_the_difference_names_the_variable_that_changed() -> None:
    before: KeyParts = {"instruction": "run", "environment": {"A": "1", "B": "2"}, "parent": "x"}
    after: KeyParts = {"instruction": "run", "environment": {"A": "1", "B": "3"}, "parent": "x"}
    (found,) = keys.differences(before, after)
    assert str(found) == "environment.B: '2' became '3'"


def test_a_part_that_is_new_or_gone_is_told_as_such() -> None:
    assert [str(item) for item in keys.differences({"a": "x"}, {"b": "y"})] == ["a is gone: 'x'", "b is new: 'y'"]


def test_a_changed_list_of_equal_length_names_the_place() -> None:
    (found,) = keys.differences({"command": ["sh", "a"]}, {"command": ["sh", "b"]})
    assert found.name == "command[1]"


def test_another_parent_is_told_after_the_instruction_and_before_the_rest() -> None:
    names = [item.name for item in keys.differences({"z": 1, "parent": 1, "instruction": 1, "a": 1}, {})]
    assert names == ["instruction", "parent", "a", "z"]


def test_another_way_of_doing_a_step_is_the_first_difference() -> None:
    before, after = {"semantics": 1, "instruction": "a"}, {"semantics": 2, "instruction": "b"}
    first = next(keys.differences(before, after))
    assert str(first) == "this version of pybuild does it in another way than the one that ran it"
