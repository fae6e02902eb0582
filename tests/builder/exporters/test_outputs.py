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


def test_a_push_is_an_image_that_is_pushed() -> None:
    for words, push in (
        (["type=registry"], False),
        (["type=image,push=true"], False),
        ([], True),
        (["type=image"], True),
    ):
        (output,) = read_outputs(words, push=push)
        assert (output.type, output.push) == ("image", True)
    assert [output.type for output in read_outputs(["type=tar,dest=x"], push=True)] == ["tar", "image"]


def test_attributes_of_images_are_read() -> None:
    (output,) = read_outputs(
        ["type=oci,dest=d,tar=false,compression=zstd,compression-level=3,force-compression=true,annotation.a=b"]
    )
    assert (output.tar, output.compression, output.level, output.force) == (False, "zstd", 3, True)
    assert output.needs_manifest
    assert [(item.level, item.key, item.value) for item in output.annotations] == [("manifest", "a", "b")]


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
        ("type=local,dest=", "dest is required"),
        ("type=local,dest=-", "cannot go to standard output"),
        ("type=tar,dest=x,annotation.a=b", "annotation.a is not supported"),
        ("type=oci,dest=x,compression=estargz", "estargz is not supported"),
        ("type=oci,dest=x,compression=lz4", "no compression lz4"),
        ("type=oci,dest=x,compression-level=99", "from 0 to 22"),
        ("type=docker,dest=x,tar=false", "is a tar file"),
        ("type=oci,dest=-,tar=false", "cannot go to standard output"),
        ("type=image,oci-mediatypes=false,compression=zstd", "compression=zstd conflicts with oci-mediatypes=false"),
        ("type=image,oci-mediatypes=false,annotation.a=b", "annotations conflicts with oci-mediatypes=false"),
        ("type=oci,dest=x,push-by-digest=true", "push-by-digest is not supported for type=oci"),
        ("type=local,dest=x,mode=sync", "no mode sync"),
        ("type=tar,dest=x,mode=delete", "mode is not supported for type=tar"),
        ("type=image,push=perhaps", "true or false"),
        ("type=tar,compression=gzip", "compression is not supported for type=tar"),
        ("type=oci,dest", "is no NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_outputs([word])


def test_attributes_of_what_is_kept_and_pushed_are_read() -> None:
    word = "type=image,oci-mediatypes=0,push-by-digest,name-canonical=,store=false,registry.insecure=true"
    with pytest.raises(UsageError, match="no NAME=VALUE"):
        read_outputs([word])
    (output,) = read_outputs([word.replace("by-digest,", "by-digest=1,")])
    assert (output.oci, output.by_digest, output.canonical, output.store, output.insecure) == (
        False,
        True,
        True,
        False,
        True,
    )
    assert read_outputs(["type=local,dest=x,mode=delete"])[0].delete


def test_only_one_output_may_have_standard_output() -> None:
    with pytest.raises(UsageError, match="standard output"):
        read_outputs(["type=tar", "type=oci"])
