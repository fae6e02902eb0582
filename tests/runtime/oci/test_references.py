from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ReferenceInvalid
from runtime.oci.references import parse_reference

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("app", "docker.io/library/app", "app"),
        ("app:1.0", "docker.io/library/app:1.0", "app:1.0"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/app", "docker.io/library/app", "app"),
        ("index.docker.io/app", "docker.io/library/app", "app"),
        ("docker.io/library/app", "docker.io/library/app", "app"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/base", "localhost/base", "localhost/base"),
        ("localhost:5000/base:x", "localhost:5000/base:x", "localhost:5000/base:x"),
        ("example.com/a/b-c__d.e:T_1", "example.com/a/b-c__d.e:T_1", "example.com/a/b-c__d.e:T_1"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("MyHost/app", "MyHost/app", "MyHost/app"),
        (f"app@{D}", f"docker.io/library/app@{D}", f"app@{D}"),
        (f"app:1@{D}", f"docker.io/library/app:1@{D}", f"app:1@{D}"),
        ("a" * 63, "docker.io/library/" + "a" * 63, "a" * 63),
    ],
)
def test_a_name_is_normalised(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar() == familiar
    assert parse_reference(familiar) == reference
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "App",
        "user/App",
        "a" * 64,
        "app:",
        "app:-x",
        "app:" + "x" * 129,
        "app:ä",
        "app@sha256:abc",
        "app@",
        "a//b",
        "/app",
        "app/",
        "-app",
        "a___b",
        "a..b",
        "exa_mple.com/a",
        "host:port/app",
        "x/" * 150 + "x",
        "app\n",
        "app:1\n",
        " app",
        "x" * 100_000,
        "a-" * 5000,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid, match="invalid reference format"):
        parse_reference(text)


def test_an_upper_case_name_gets_the_lower_case_one_as_hint() -> None:
    with pytest.raises(ReferenceInvalid, match=r"repository name \(library/Web\) must be lowercase") as caught:
        parse_reference("Web:1")
    assert caught.value.hint == "write web:1"


def test_latest_is_added_where_nothing_was_said() -> None:
    assert str(parse_reference("app").tagged()) == "docker.io/library/app:latest"
    assert str(parse_reference(f"app@{D}").tagged()) == f"docker.io/library/app@{D}"


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ReferenceInvalid:
        return
    assert parse_reference(str(reference)) == reference
