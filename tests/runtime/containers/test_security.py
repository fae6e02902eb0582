"""`--security-opt` is read as Docker does, and what cannot be in force is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.containers import security
from runtime.containers.security import Security, embed_profiles, read_security
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), Security()),
        (("no-new-privileges",), Security(no_new_privileges=True)),
        (("no-new-privileges:true",), Security(no_new_privileges=True)),
        (("no-new-privileges=true", "no-new-privileges=false"), Security()),
        (("seccomp=unconfined",), Security(seccomp="unconfined")),
        (("seccomp:unconfined", "seccomp=builtin"), Security()),
        (('seccomp={"a":1}',), Security(seccomp='{"a":1}')),
        (("label=disable", "label:disable", "apparmor=unconfined"), Security()),
        (("writable-cgroups=true",), Security(writable_groups=True)),
        (("writable-cgroups=false",), Security()),
    ],
)
def test_options_are_read(options: tuple[str, ...], expected: Security) -> None:
    assert read_security(options) == expected


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("nosuch=1", 'invalid --security-opt 2: "nosuch=1"'),
        ("nosuch", 'invalid --security-opt 1: "nosuch"'),
        ("no-new-privileges=perhaps", "invalid --security-opt"),
        ("no-new-privileges=", "invalid --security-opt"),
        ("writable-cgroups", "invalid --security-opt"),
        ("label=type:x", "containers get no SELinux label"),
    ],
)
def test_what_there_is_not_is_refused(option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_security([option])


def test_a_profile_of_apparmor_needs_apparmor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled = tmp_path / "enabled"
    monkeypatch.setattr(security, "_APPARMOR", str(enabled))
    with pytest.raises(UsageError, match="has no AppArmor"):
        read_security(["apparmor=mine"])
    enabled.write_text("Y\n")
    assert read_security(["apparmor=mine"]).apparmor == "mine"


def test_a_file_becomes_its_text(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{ "defaultAction" : "SCMP_ACT_ALLOW" }')
    options, unconfined = embed_profiles([f"seccomp={path}", "systempaths=unconfined", "no-new-privileges"])
    assert (options[1:], unconfined) == (["no-new-privileges"], True)
    assert json.loads(options[0].removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("{", "opening seccomp profile"),
        ("[]", "must be an object"),
        ("\xff", "opening seccomp"),
    ],
)
def test_a_file_that_is_no_profile_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=message):
        embed_profiles([f"seccomp={path}"])
    with pytest.raises(UsageError, match="Invalid --security-opt"):
        embed_profiles(["seccomp"])
