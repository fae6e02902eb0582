"""Whatever is wrong ends with one clear message and the right status, leaves nothing, and loses nothing."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program, settle

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")


def complaint(program: Program, *words: str | Path, status: int = 1, **options: object) -> str:
    """Run what must fail with `status`; returns its message, after a look that there is exactly one, and no result."""
    result = program(*words, status=status, env={"PYBUILD_OFFLINE": "1"}, **options)  # type: ignore[arg-type]
    text = result.stderr.decode(errors="surrogateescape")
    assert result.stdout == b""
    assert "Traceback" not in text
    assert [line.startswith("pybuild: ") for line in text.splitlines()].count(True) == 1, text
    return text[text.index("pybuild: ") :]


FAULTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("Dockerfile:1", "FROM")),
    ("# only a comment\n", ("FROM",)),
    ("FROM box\nRUM echo\n", ("Dockerfile:2", "unknown instruction: RUM", "RUN")),
    ("FROM box\n\n\nCOPY --form=x a b\n", ("Dockerfile:4", "--form", "--from")),
    ("FROM box\nRUN --mount=type=bnid true\n", ("Dockerfile:2", "bnid", "bind")),
    ("FROM box\nCOPY grettings.txt /\n", ("Dockerfile:2", "grettings.txt", "greetings.txt")),
    ("FROM box\nCOPY --from=box /no/such /\n", ("Dockerfile:2", "/no/such")),
    ("FROM bxo\n", ("Dockerfile:1", "No such image: bxo")),
    ("FROM box AS first\nFROM box\nCOPY --from=frist /a /\n", ("Dockerfile:3", "frist", "first")),
    ("FROM box\nENV\n", ("Dockerfile:2", "ENV")),
    ("FROM box\nUSER nobodyx\nRUN --network=none true\n", ("Dockerfile:3", "nobodyx")),
    ('FROM box\nRUN --network=none ["nosuch"]\n', ("Dockerfile:2", "nosuch", "127")),
    ("FROM scratch\nRUN true\n", ("Dockerfile:2", "/bin/sh")),
    ("FROM box\nENV A=${B:?needed here}\n", ("Dockerfile:2", "needed here")),
    ("FROM box\nCOPY <<EOF /a\nnever closed\n", ("Dockerfile:2", "EOF")),
    ("FROM box\nADD https://127.0.0.1:1/x /\n", ("Dockerfile:2", "https://127.0.0.1:1/x")),
    ("FROM box\nADD --checksum=sha256:12 https://127.0.0.1:1/x /\n", ("Dockerfile:2", "invalid checksum")),
    ("FROM box\nADD git://127.0.0.1:1/x#main /\n", ("Dockerfile:2", "git://127.0.0.1:1/x")),
    ("FROM box\nADD https://127.0.0.1:1/x.git?who=me /\n", ("Dockerfile:2", 'unexpected query "who"')),
    ("FROM box\nRUN --mount=type=ssh,required true\n", ("Dockerfile:2", "unset ssh forward key default")),
    ("FROM box\nRUN --mount=type=secret,id=none,required true\n", ("Dockerfile:2", "none")),
    ("FROM box\n\x1b[31mRED x\n", ("Dockerfile:2", "\\x1b[31mRED")),
    ("RUN true\n", ("Dockerfile:1", "FROM")),
)
"""Dockerfiles, and words of the message about each."""

WRONG_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("build",), "requires 1 argument"),
    (("build", "a", "b"), "requires 1 argument"),
    (("build", "nowhere"), "nowhere"),
    (("build", "-t", "Bad Name", "."), "Bad Name"),
    (("build", "-t", "UPPER", "."), "must be lowercase"),
    (("build", "--build-arg", "=x", "."), '"=x"'),
    (("build", "--label", "=x", "."), '"=x"'),
    (("build", "--tga", "x", "."), "--tag"),
    (("build", "--progress", "fancy", "."), "fancy"),
    (("build", "--platform", "///", "."), "///"),
    (("build", "-o", "type=foo", "."), "foo"),
    (("build", "-o", "type=oci,compression=lzma", "."), "lzma"),
    (("build", "--secret", "id=", "."), "id"),
    (("build", "https://example.org/x.git?what=1"), "https://example.org/x.git"),
    (("build", "--build-context", "x=/no/such/place", "."), "/no/such/place"),
    (("build", "--build-context", "x", "."), "NAME=WHERE"),
    (("build", "--ssh", "=x", "."), "--ssh"),
    (("build", "--ulimit", "many=1", "."), "many"),
    (("build", "--add-host", "nothing", "."), "--add-host"),
    (("build", "--memory", "much", "."), "much"),
    (("build", "--resource", "gpu=1", "."), "gpu=1"),
    (("build", "--cgroup-parent", "../x", "."), "../x"),
    (("bild", "."), "did you mean 'pybuild build'?"),
    (("imgaes",), "did you mean 'pybuild images'?"),
    (("image", "lst"), "image list"),
    (("images", "--fromat", "x"), "--format"),
    (("tag", "box"), "requires 2 arguments"),
    (("load", "x"), "load"),
    (("--root",), "--root"),
)
"""Command lines, and a part of the message about each."""

UNDOABLE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("tag", "box", "Bad:tag"), "Bad"),
    (("tag", "nothing", "x"), "No such image: nothing"),
    (("load", "-i", "/no/such.tar"), "/no/such.tar"),
    (("load", "-i", "/etc"), "/etc"),
    (("load", "-i", "/etc/passwd"), "/etc/passwd"),
    (("import", "/no/such.tar"), "/no/such.tar"),
    (("import", "/etc/passwd"), "/etc/passwd"),
    (("save", "box", "-o", "/no/such/dir/x.tar"), "/no/such/dir"),
    (("build", "-q", "-o", "type=oci,dest=/no/such/dir/x.tar", "."), "/no/such/dir"),
    (("build", "--network", "bogus", "."), "No such network: bogus"),
    (("build", "-q", "-f", "nothing", "."), "nothing"),
    (("build", "-q", "/etc/ssl"), "Dockerfile"),
    (("build", "-q", "--target", "nope", "."), "nope"),
    (("build", "-q", "--iidfile", "/no/such/dir/x", "."), "/no/such/dir/x"),
    (("build", "-q", "--secret", "id=a,src=/no/such/file", "."), "/no/such/file"),
    (("rm", "nothing"), "No such container: nothing"),
    (("rmi", "nothing"), "No such image: nothing"),
)
"""Command lines that are right, of what is not there or cannot be, and a part of the message about each."""


def test_a_dockerfile_with_a_fault_is_told_with_its_line(box: Program) -> None:
    context = box.directory("wrong", {"greetings.txt": "hi"})
    unclear = {}
    for dockerfile, words in FAULTS:
        (context / "Dockerfile").write_text(dockerfile)
        message = complaint(box, "build", "--progress", "plain", "-t", "wrong", context)
        if not all(word in message for word in words) or "\x1b" in message:
            unclear[dockerfile] = message
    assert not unclear
    assert box.text("images", "--filter", "dangling=false", "--format", "{{.Repository}}") == "box"


def test_a_failing_command_is_shown_with_its_lines_output_and_status(box: Program) -> None:
    text = "FROM box\n# why\nRUN --network=none echo one; \\\n  echo two >&2; \\\n  exit 42\nRUN never\n"
    context = box.directory("failing", {"Dockerfile": text})
    message = complaint(box, "build", "--progress", "plain", context)
    for part in (
        "exit code: 42",
        "\none\n",
        "\ntwo\n",
        "Dockerfile:3",
        "  3 | >>> RUN --network=none echo one; \\",
        "  5 | >>>   exit 42",
        "  6 |     RUN never",
    ):
        assert part in message
    # What a quiet build tells is the same.
    assert "exit code: 42" in complaint(box, "build", "-q", context)


def test_a_step_killed_by_a_signal_is_told(box: Program) -> None:
    context = box.directory("killed", {"Dockerfile": "FROM box\nRUN --network=none sh -c 'kill -9 $$'; exit $?\n"})
    assert "exit code: 137" in complaint(box, "build", context)


@pytest.mark.parametrize(("table", "status"), [(WRONG_WORDS, 2), (UNDOABLE, 1)])
def test_what_is_wrong_with_a_command_line_is_told(
    box: Program, table: tuple[tuple[tuple[str, ...], str], ...], status: int
) -> None:
    context = box.directory("fine", {"Dockerfile": "FROM box\nENV a=b\n"})
    unclear = {}
    for words, part in table:
        message = complaint(box, *words, status=status, cwd=context)
        if part not in message:
            unclear[words] = message
    assert not unclear
    assert box.text("images", "--filter", "dangling=false", "--format", "{{.Repository}}") == "box"


def test_a_base_that_is_named_nearly_right_is_suggested(box: Program) -> None:
    box("tag", "box", "tool/server:2")
    context = box.directory("near", {"Dockerfile": "FROM tool/sever:2\n"})
    assert "tool/server:2" in complaint(box, "build", context)
    assert "tool/server:2" in complaint(box, *RUN, "tool/sever:2", status=125)


@pytest.mark.parametrize("verb", ["load", "import"])
def test_a_broken_archive_leaves_nothing(box: Program, verb: str) -> None:
    whole = box("save", "box").stdout if verb == "load" else _tar(os.urandom(300_000))
    before = box.text("images", "-a", "-q", "--no-trunc")
    for data in (whole[:700], whole[: len(whole) // 2], b"\x1f\x8b" + whole[2:], os.urandom(5000)):
        words = (verb,) if verb == "load" else (verb, "-", "broken")
        complaint(box, *words, input=data)
    assert box.text("images", "-a", "-q", "--no-trunc") == before
    box("system", "check")


def _tar(content: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def test_a_hostile_archive_writes_nothing_outside(box: Program) -> None:
    outside = box.directory("outside", {"kept": "as it was"})
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        for name in ("way/kept", "way/new", f"../../../../../../../..{outside}/new", f"{outside}/new"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"evil"))
    box("import", "-", "evil", input=output.getvalue(), status=None)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"kept": "as it was"}


@pytest.fixture
def small_disk(pybuild: Program, missing: Callable[[str], None]) -> Iterator[Program]:
    """Return the program with its home on a file system of 24 MB."""
    image = pybuild.home.parent / "disk"
    image.write_bytes(b"")
    os.truncate(image, 24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m0", "-b", "1024", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, pybuild.home], capture_output=True, check=False)
    if mounted.returncode:
        missing("a loop device")
    pybuild.own(pybuild.home)
    try:
        yield pybuild
        assert not settle(pybuild, but=("mounts",))
    finally:
        subprocess.run(["umount", "-l", pybuild.home], check=True)


def test_a_full_disk_is_told_and_loses_nothing(small_disk: Program, busybox: Path) -> None:
    small_disk("import", "-", "box", input=busybox.read_bytes())
    first = "FROM box\nRUN --network=none echo kept > /kept\n"
    filling = "RUN --network=none dd if=/dev/zero of=/big bs=1M count=40\n"
    context = small_disk.directory("full", {"Dockerfile": first + filling})
    assert "No space left on device" in complaint(small_disk, "build", "-t", "full", context)
    (context / "Dockerfile").write_text("FROM box\nCOPY big /big\n")
    (context / "big").write_bytes(b"")
    os.truncate(context / "big", 40 << 20)
    for words, options in (
        (("build", context), {}),
        (("import", "-", "big"), {"input": _tar(os.urandom(30 << 20))}),
        (("load",), {"input": _tar(os.urandom(30 << 20))}),
    ):
        told = complaint(small_disk, *words, **options)  # type: ignore[arg-type]
        assert f"failed in {small_disk.root}: No space left on device" in told
        assert ("Dockerfile:2: writing the layer failed" in told) == (words[0] == "build")
        assert small_disk.text("images", "--format", "{{.Repository}}") == "box"
    (context / "big").unlink()
    (context / "Dockerfile").write_text(first + "RUN --network=none cat /kept\n")
    small_disk("build", "-q", "-t", "fits", context)
    assert small_disk.text(*RUN, "fits", "cat", "/kept") == "kept"
    small_disk("system", "check")


def test_a_root_that_cannot_be_used_is_told(box: Program) -> None:
    file = box.directory("place", {"file": ""}) / "file"
    context = box.directory("fine", {"Dockerfile": "FROM scratch\nENV a=b\n"})
    for words in (("images",), ("build", context), ("load",)):
        assert str(file) in complaint(box, "--root", file, *words)
    assert "/proc/nothing" in complaint(box, "--root", "/proc/nothing/x", "images")


def test_a_root_of_somebody_else_is_not_used(twins: tuple[Program, Program]) -> None:
    root, user = twins
    assert str(root.root) in complaint(user, "--root", root.root, "images")
    assert str(user.root) in complaint(root, "--root", user.root, "images")
    assert user.text("images", "--format", "{{.Repository}}") == "box"


def test_a_read_only_root_is_told(box: Program) -> None:
    context = box.directory("fine", {"Dockerfile": "FROM box\nENV a=b\n"})
    context = box.directory("fine", {"Dockerfile": "FROM box\nENV a=b\n"})
    subprocess.run(["mount", "--bind", box.home, box.home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", box.home], check=True)
        for words in (("build", context), ("images",)):
            assert "ead-only" in complaint(box, *words)
        assert "ead-only" in complaint(box, *RUN, "box", "true", status=125)
    finally:
        subprocess.run(["umount", "-l", box.home], check=True)
    assert box.text("images", "--format", "{{.Repository}}") == "box"


def test_a_pipe_is_a_dockerfile_and_no_ignore_file(box: Program) -> None:
    context = box.directory("pipes", {"a": "a"})
    os.mkfifo(context / "pipe", 0o644)
    build = shlex.join(box.command("build", "-q", "-f", context / "pipe", context))
    script = f"echo FROM box > {context}/pipe & exec {build}"
    result = subprocess.run(["sh", "-c", script], capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True)
    assert result.stdout.startswith(b"sha256:")
    os.mkfifo(context / ".dockerignore")
    (context / "Dockerfile").write_text("FROM box\nCOPY a /\n")
    assert box.text("build", "-q", context).startswith("sha256:")


@pytest.mark.parametrize("mode", [0, 0o711, 0o744])
def test_a_directory_of_a_context_that_cannot_be_read_is_told(twins: tuple[Program, Program], mode: int) -> None:
    _, user = twins
    context = user.directory("shut", {"Dockerfile": "FROM box\nCOPY . /c\n", "closed/f": "x"})
    os.chown(context / "closed", 0, 0)
    (context / "closed").chmod(mode)
    said = complaint(user, "build", context)
    assert "Dockerfile:2: closed" in said
    assert "cannot be read: Permission denied" in said
    (context / ".dockerignore").write_text("closed\n")
    assert user.text("build", "-q", context).startswith("sha256:")
