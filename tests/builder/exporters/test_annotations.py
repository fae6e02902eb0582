"""Annotations go to the document that their level and platform name."""

from __future__ import annotations

import pytest

from builder.exporters.annotations import chosen, read_annotations, read_field
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("a=b", [("manifest", None, "a", "b")]),
        ("a=b=c", [("manifest", None, "a", "b=c")]),
        ("index:a=b", [("index", None, "a", "b")]),
        ("index,manifest:a=b", [("index", None, "a", "b"), ("manifest", None, "a", "b")]),
        ("manifest[linux/arm64]:a=b", [("manifest", "linux/arm64", "a", "b")]),
        ("manifest-descriptor:a=b", [("manifest-descriptor", None, "a", "b")]),
        ("manifest:org.x:y=b:c", [("manifest", None, "org.x:y", "b:c")]),
        ("a=b:c=d", [("manifest", None, "a", "b:c=d")]),
    ],
)
def test_the_flag_may_name_levels(word: str, found: list[tuple[str, str | None, str, str]]) -> None:
    assert [(one.level, one.platform, one.key, one.value) for one in read_annotations([word])] == found


@pytest.mark.parametrize(
    ("name", "level", "platform"),
    [
        ("annotation.a.b", "manifest", None),
        ("annotation-index.a.b", "index", None),
        ("annotation[linux/arm64].a.b", "manifest", "linux/arm64"),
        ("annotation-manifest-descriptor[linux/arm64].a.b", "manifest-descriptor", "linux/arm64"),
    ],
)
def test_an_output_may_have_its_own(name: str, level: str, platform: str | None) -> None:
    found = read_field(name, "v")
    assert found is not None
    assert (found.level, found.platform, found.key, found.value) == (level, platform, "a.b", "v")


def test_what_is_no_annotation_is_refused() -> None:
    assert read_field("annotation", "v") is None
    for word in ("nothing", "=x", "manifest:a", "manifest:=x", "index[linux/amd64]:a=b"):
        with pytest.raises(UsageError):
            read_annotations([word])


@pytest.mark.parametrize("level", ["what", "", "org.x", "Manifest", "manifest[]", "manifest[linux]x", "manifest,"])
def test_a_level_that_does_not_exist_is_refused(level: str) -> None:
    with pytest.raises(UsageError, match="there is no level"):
        read_annotations([f"{level}:a=b"])


def test_each_document_gets_its_own_and_the_later_wins() -> None:
    found = read_annotations(["a=1", "a=2", "manifest[linux/arm64]:b=3", "index:c=4"])
    assert chosen(found, "manifest", "linux/amd64") == {"a": "2"}
    assert chosen(found, "manifest", "linux/arm64") == {"a": "2", "b": "3"}
    assert chosen(found, "index") == {"c": "4"}
