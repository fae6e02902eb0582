"""The program in odd surroundings: any locale, names of any bytes, no home, no working directory, hostile text."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.integration.programs import PROGRAM, Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")
NAMES = ("grüße.txt", "日本", "with space", "new\nline", "esc\x1b[31m", "tab\t", "quote'\"", "back\\slash", "-dash")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "de_DE.ISO-8859-1", "POSIX"])
def test_names_of_any_bytes_pass_through_a_build_in_every_locale(box: Program, locale: str) -> None:
    files: dict[str, str | bytes] = {f"d/{name}": name.encode() for name in NAMES}
    context = box.directory("names", {"Dockerfile": "FROM box\nCOPY d /d\nCOPY d/gr*.txt /größe\n", **files})
    raw = os.path.join(os.fsencode(context), b"d", b"\xff\xfe")
    with open(raw, "wb") as file:
        file.write(b"raw")
    box.own(context)
    env = {"LC_ALL": locale, "LANG": locale, "PYTHONIOENCODING": "", "PYTHONUTF8": "0"}
    result = box("build", "--progress", "plain", "-t", "names", context, env=env)
    assert b"\x1b" not in result.stderr
    listed = box(*RUN, "names", "sh", "-c", "cd /d; find . -type f -print0", env=env).stdout
    assert set(listed.split(b"\0")) == {b"", b"./\xff\xfe", *(b"./" + name.encode() for name in NAMES)}
    assert box(*RUN, "names", "cat", "/größe", env=env).stdout == "grüße.txt".encode()
    assert box(*RUN, "-e", "A=ä", "names", "sh", "-c", "echo $A é", env=env).stdout == "ä é\n".encode()


def test_what_others_chose_never_reaches_the_terminal_raw(box: Program) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\u202e"
    text = (
        f'FROM box\nLABEL evil="{evil}"\nENV evil="{evil}"\n'
        f"RUN --network=none printf '\\033[2J\\033]0;x\\007\\033[31mred\\033[0m\\r\\010\\n' # {evil}\n"
        f"MAINTAINER {evil}\n"
    )
    context = box.directory("evil", {"Dockerfile": text, f"{evil}.txt": "x"})
    for words in (
        ("build", "--progress", "plain", "--no-cache", "-t", "evil", context),
        ("history", "evil"),
        ("images",),
    ):
        result = box(*words)
        for shown in (result.stdout, result.stderr):
            assert b"\x1b" not in shown, words
            assert b"\x07" not in shown, words
            assert "\u202e".encode() not in shown, words
    assert b"\x1b" not in box("inspect", "evil").stdout
    (context / "Dockerfile").write_text(f"FROM box\nCOPY nothing{evil} /\n")
    assert b"\x1b" not in box("build", context, status=1).stderr
    assert b"\x1b" not in box("rmi", f"evil{evil}", status=1).stderr
    assert b"\x1b" not in box(f"bad{evil}", status=2).stderr


def test_a_working_directory_that_is_gone_stops_only_what_needs_it(box: Program) -> None:
    gone = box.directory("gone", {})
    context = box.directory("ctx", {"Dockerfile": "FROM box\nENV a=b\n"})
    script = f"cd {gone} && rmdir {gone} && exec " + shlex.join(box.command(*RUN, "box", "echo", "alive"))
    result = subprocess.run(
        ["sh", "-c", script], capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (0, b"alive\n"), result.stderr
    for words, status in ((("build", "-q", str(context)), 0), (("build", "-q", "."), 1), (("images", "-q"), 0)):
        gone.mkdir()
        script = f"cd {gone} && rmdir {gone} && exec " + shlex.join(box.command(*words))
        result = subprocess.run(
            ["sh", "-c", script], capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60
        )
        assert result.returncode in (status, 2 * status), result.stderr
        assert b"Traceback" not in result.stderr


def test_an_empty_environment_is_enough(box: Program) -> None:
    context = box.directory("ctx", {"Dockerfile": "FROM box\nRUN --network=none echo hi > /hi\n"})
    for words, expected in (
        (("build", "-q", "-t", "bare", str(context)), b"sha256:"),
        ((*RUN, "bare", "cat", "/hi"), b"hi\n"),
    ):
        command = [*box.identity(), "env", "-i", str(PROGRAM), "--root", str(box.root), *words]
        result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(expected)


def test_the_state_lies_where_the_environment_says(pybuild: Program) -> None:
    other = pybuild.directory("data", {})
    environment = {"PYBUILD_ROOT": str(other / "chosen")} if not pybuild.user else {"XDG_DATA_HOME": str(other)}
    expected = other / ("pybuild" if pybuild.user else "chosen")
    words = [f"{name}={value}" for name, value in environment.items()]
    command = [*pybuild.identity(), "env", "-u", "PYBUILD_ROOT", *words, str(PROGRAM), "images", "-q"]
    result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert expected.stat().st_mode & 0o777 == 0o700


def test_nothing_is_imported_from_the_working_directory(box: Program) -> None:
    trap = "raise SystemExit('imported from the working directory')\n"
    names = ("json", "runtime", "builder", "grammar", "socket", "sitecustomize", "select", "typing", "frozen")
    context = box.directory(
        "trap", {"Dockerfile": "FROM box\nRUN --network=none true\n", **{f"{name}.py": trap for name in names}}
    )
    box("build", "-q", "-t", "trap", ".", cwd=context)
    box(*RUN, "trap", "true", cwd=context)


def test_a_umask_does_not_change_the_image(box: Program) -> None:
    context = box.directory(
        "ctx", {"Dockerfile": "FROM scratch\nCOPY f /made/f\nWORKDIR /w\nCOPY <<E /h\nx\nE\n", "f": "f"}
    )
    ids = set()
    for mask in ("000", "077", "777"):
        script = f"umask {mask}; SOURCE_DATE_EPOCH=1 exec " + shlex.join(
            box.command("build", "-q", "--no-cache", context)
        )
        result = subprocess.run(
            ["sh", "-c", script], capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60
        )
        assert result.returncode == 0, result.stderr
        ids.add(result.stdout)
    assert len(ids) == 1
    assert Path(box.root / "state.db").exists()


CHROOT = """
for each in /*; do
  if [ -L "$each" ]; then cp -P "$each" "$0"
  elif [ -d "$each" ]; then mkdir -p "$0$each" && mount --rbind "$each" "$0$each"; fi
done
exec chroot "$0" "$@"
"""


def test_a_root_that_is_no_mount_point_is_told(box: Program) -> None:
    place = box.directory("chroot", {})
    identity = ["setpriv", f"--reuid={box.user}", f"--regid={box.user}", "--clear-groups"] if box.user else []
    words = [*identity, str(PROGRAM), "--root", str(box.root), *RUN, "box", "true"]
    command = ["unshare", "-m", "sh", "-c", CHROOT, str(place), *words]
    result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert result.returncode == 125, result.stderr
    assert b"chroot" in result.stderr
    assert result.stderr.count(b"\n") <= 2
