"""`--output` is read as buildx reads it; what cannot be done is refused with its reason."""

from __future__ import annotations

import pytest

from builder.exporters.outputs import Output, read_outputs
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("word", "kind", "destination"),
    [
        ("out", "local", "out"),
        ("-", "tar", "-"),
        ("type=local,dest=out", "local", "out"),
        ("type=tar", "tar", "-"),
        ("type=tar,dest=x.tar", "tar", "x.tar"),
        ("type=oci,dest=x.tar", "oci", "x.tar"),
        ("type=docker", "image", None),
        ("type=docker,dest=-", "docker", "-"),
        ("type=image,push=false", "image", None),
        ("type=cacheonly", "cacheonly", None),
        ("type=none", "cacheonly", None),
        ('type=local,"dest=a,b"', "local", "a,b"),
    ],
)
def test_a_wish_has_a_type_and_a_destination(word: str, kind: str, destination: str | None) -> None:
    (output,) = read_outputs([word])
    assert (output.type, output.destination) == (kind, destination)


def test_without_a_wish_the_image_goes_to_the_store() -> None:
    assert read_outputs([]) == (Output(type="image"),)


def test_names_may_be_given_with_the_wish() -> None:
    assert read_outputs(['type=image,"name=a,b:1"'])[0].names == ("a", "b:1")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dest=x", "type is required"),
        ("type=ocu,dest=x", "no type ocu"),
        ("type=local", "dest is required"),
        ("type=image,push=true", "cannot push"),
        ("type=registry,name=x", "cannot push"),
        ("type=oci,dest=x,annotation.a=b", "annotation.a is not supported"),
        ("type=oci,dest=x,compression=estargz", "no compression estargz"),
        ("type=oci,dest=x,tar=false", "only one tar"),
        ("type=oci,dest", "is no NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_outputs([word])


def test_only_one_output_may_have_standard_output() -> None:
    with pytest.raises(UsageError, match="standard output"):
        read_outputs(["type=tar", "type=oci"])
