"""Mounts of images, volumes and directories, and what passes through them.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.run_flags.helpers import ONE, SLEEP, refusal, shell, started

pytestmark = [pytest.mark.root, pytest.mark.overlay]


def test_an_image_is_mounted_read_only_and_kept(box: Program) -> None:
    found = shell(
        box, "--mount", "type=image,source=box,target=/img", command="ls /img/bin/busybox; touch /img/x || echo no"
    )
    assert found == ["/img/bin/busybox", "no"]
    part = shell(box, "--mount", "type=image,source=box,target=/img,image-subpath=etc/passwd", command="head -n1 /img")
    assert part[0].startswith("root:x:0:0")
    assert "no such file" in refusal(box, "--mount", "type=image,source=box,target=/i,image-subpath=no", "box", "true")
    assert "No such image: nosuch:latest" in refusal(
        box, "--mount", "type=image,source=nosuch,target=/i", "box", "true"
    )


def test_an_image_that_is_mounted_is_not_collected(box: Program, busybox: Path) -> None:
    box("import", "--change", "LABEL other=1", "-", "other", input=busybox.read_bytes())
    box("create", "--name", "holds", "--mount", "type=image,source=other,target=/img", "box", "ls", "/img/etc")
    assert "is using its referenced image" in box("rmi", "other", status=1).stderr.decode()
    box("image", "prune", "-af")
    assert "passwd" in box.text("start", "-a", "holds").split()


def test_a_part_of_a_volume_is_mounted_and_never_more(box: Program) -> None:
    fill = "mkdir -p /v/sub/deep; echo hi > /v/sub/deep/f; ln -s /etc /v/out; ln -s ../../../.. /v/up"
    box(*ONE, "-v", "vol:/v", "box", "sh", "-c", fill)
    mount = "type=volume,source=vol,target=/y,volume-subpath="
    assert shell(box, "--mount", f"{mount}sub/deep", command="cat /y/f; touch /y/g && echo made") == ["hi", "made"]
    assert shell(box, "--mount", f"{mount}sub/deep,readonly", command="ls /y; touch /y/h || echo no")[-1] == "no"
    assert "no such file" in refusal(box, "--mount", f"{mount}out", "box", "true")
    assert sorted(shell(box, "--mount", f"{mount}up", command="ls /y")) == ["out", "sub", "up"]
    assert "subpath must be a relative path" in refusal(box, "--mount", f"{mount}../..", "box", "true")


def test_files_are_copied_through_the_mounts_of_a_stopped_container(box: Program) -> None:
    box(*ONE, "-v", "vol:/v", "box", "mkdir", "/v/sub")
    source = box.directory("given", {"f": "hello"})
    words = ("--mount", "type=volume,source=vol,target=/w,volume-subpath=sub", "-v", f"{source}:/closed:ro")
    box(
        "create", "--name", "one", *words, "--mount", "type=image,source=box,target=/i,image-subpath=etc", "box", "true"
    )
    box("cp", "given/f", "one:/w/")
    assert shell(box, "-v", "vol:/v", command="cat /v/sub/f") == ["hello"]
    box("cp", "one:/i/passwd", "given/copied")
    assert (source / "copied").read_text().startswith("root:x:0:0")
    assert "Read-only file system" in box("cp", "given/f", "one:/closed/g", status=1).stderr.decode()


def test_a_volume_is_made_with_options_and_labels(box: Program) -> None:
    options = "volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m,volume-label=a=b"
    found = shell(box, "--mount", f"type=volume,source=vol,target=/x,{options}", command="df /x | tail -n1")
    assert found[0].split()[:2] == ["tmpfs", "1024"]
    assert json.loads(box.text("volume", "inspect", "-f", "{{json .Labels}}", "vol")) == {"a": "b"}


def test_a_new_volume_has_the_images_content_unless_asked_not_to(box: Program) -> None:
    assert "passwd" in shell(box, "-v", "one:/etc", command="ls /etc")
    assert "passwd" not in shell(box, "-v", "two:/etc:nocopy", command="ls /etc")
    assert "passwd" not in shell(
        box, "--mount", "type=volume,source=three,target=/etc,volume-nocopy", command="ls /etc"
    )


def test_a_tmpfs_has_size_and_mode(box: Program) -> None:
    found = shell(
        box, "--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", command="df /t | tail -n1; stat -c %a /t"
    )
    assert (found[0].split()[1], found[1]) == ("1024", "700")
    assert shell(box, "--mount", "type=tmpfs,target=/t,readonly", command="touch /t/x || echo no") == ["no"]


def test_a_tmpfs_has_the_mode_of_the_directory_it_covers(box: Program) -> None:
    tell = "stat -c '%u:%g %a' /root /tmp /new /closed; touch /closed/x || echo no"
    box(*ONE, "--name", "made", "-v", "vol:/v", "box", "mkdir", "-m", "2750", "/v/d")
    words = ("--tmpfs", "/root", "--tmpfs", "/tmp:size=1m", "--tmpfs", "/new", "--tmpfs", "/closed:mode=711,ro")
    assert shell(box, *words, command=tell) == ["0:0 755", "0:0 1777", "0:0 1777", "0:0 711", "no"]
    inner = shell(box, "-v", "vol:/v", "--tmpfs", "/v/d:ro", command="stat -c %a /v/d; touch /v/d/x || echo no")
    assert inner == ["2750", "no"]


def test_containers_that_run_share_the_memory_of_a_volume(box: Program) -> None:
    box("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "memory")
    script = "echo hello >/m/f; until test -e /m/g; do sleep 0.05; done; cat /m/g"
    started(box, "first", "-v", "memory:/m:ro", "box", *SLEEP)
    started(box, "second", "-v", "memory:/other/m", "box", "sh", "-c", script.replace("/m/", "/other/m/"))
    found = shell(
        box,
        "-v",
        "memory:/n",
        command="until test -e /n/f; do sleep 0.05; done; cat /n/f; echo back >/n/.g; mv /n/.g /n/g",
    )
    assert found == ["hello"]
    box("wait", "second")
    assert box.text("logs", "second") == "back"
    assert box.text("exec", "first", "cat", "/m/f") == "hello"
    box.directory("given", {"f": "copied"})
    box("create", "--name", "third", "-v", "memory:/m", "box", "true")
    box("cp", "given/f", "third:/etc/copied")  # through the mounts of one that does not run
    box("rm", "third")
    box("rm", "-f", "first", "second")
    assert shell(box, "-v", "memory:/n", command="ls /n") == []


def test_a_container_with_memory_of_another_is_started_again_without_it(box: Program) -> None:
    box("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory")
    started(box, "first", "-v", "memory:/m", "box", *SLEEP)
    script = "until test -e /go/go; do sleep 0.05; done; exit 1"
    box.directory("go", {})
    restart = ("--restart", "on-failure", "-v", f"{box.home}/go:/go", "-v", "memory:/m")
    started(box, "second", *restart, "box", "sh", "-c", f"echo start; {script}")
    box("rm", "-f", "first")
    (box.home / "go" / "go").touch()
    end = time.monotonic() + 60
    while "start\nstart\n" not in box("logs", "second").stdout.decode():
        assert time.monotonic() < end
    box("rm", "-f", "second")


def test_a_missing_source_is_made_whenever_the_container_starts(box: Program) -> None:
    place = box.directory("place", {})
    box("create", "--name", "one", "--network", "none", "-v", f"{place}/a/b:/x", "box", "ls", "-a", "/x")
    assert list(place.iterdir()) == []
    for _ in range(2):
        assert box.text("start", "-a", "one").split() == [".", ".."]
        (place / "a" / "b").rmdir()
    (place / "c").mkdir()
    box.own(place)
    box("create", "--name", "two", "--network", "none", "--mount", f"type=bind,src={place}/c,dst=/x", "box", "true")
    (place / "c").rmdir()
    assert f"bind source path does not exist: {place}/c" in box("start", "two", status=1).stderr.decode()
    (place / "file").touch()
    message = refusal(box, "-v", f"{place}/file/below:/x", "box", "true")
    assert f"error while creating mount source path '{place}/file/below'" in message


def test_a_relative_source_begins_with_a_point(box: Program) -> None:
    for name in (".hidden", "plain"):
        box.directory(name, {"f": name})
    for source in ("./plain", ".hidden", "./.hidden/../plain", "."):
        found = shell(box, "-v", f"{source}:/x:ro", command="ls -A /x")
        assert found == sorted(path.name for path in (box.home / source).iterdir())


def test_events_tell_who_mounts_a_volume(box: Program) -> None:
    shell(box, "-v", "vol:/v:ro", command="true")
    words = ("--since", "10m", "--until", "0s", "--filter", "volume=vol")
    form = "{{.Action}} {{json .Actor.Attributes}}"
    told = [line.partition(" ") for line in box.text("events", *words, "--format", form).splitlines()]
    assert [action for action, _, _ in told] == ["create", "mount", "unmount"]
    mounted = json.loads(told[1][2])
    assert list(mounted) == ["container", "destination", "driver", "propagation", "read/write"]
    assert (mounted["destination"], mounted["read/write"]) == ("/v", "false")


def test_old_programs_find_what_is_mounted(box: Program) -> None:
    assert shell(box, command="readlink /etc/mtab; grep -c ' / ' /etc/mtab") == ["/proc/mounts", "1"]
    box("run", "--network", "none", "--name", "one", "box", "true")
    assert box.text("diff", "one") == ""


def test_volumes_are_found_by_label_and_pattern(box: Program) -> None:
    box("volume", "create", "--label", "b=c", "--label", "a", "first")
    box("volume", "create", "second")
    unnamed = box.text("volume", "create")
    mark = "com.docker.volume.anonymous"
    assert box.text("volume", "ls", "-q", "--filter", f"label={mark}") == unnamed
    assert json.loads(box.text("volume", "inspect", "-f", "{{json .Labels}}", unnamed)) == {mark: ""}
    assert box.text("volume", "inspect", "-f", "{{.Labels}}", "first") == "map[a: b:c]"
    for pattern, names in (("^first$", ["first"]), ("irs|con", ["first", "second"]), ("^irs", [])):
        assert box.text("volume", "ls", "-q", "--filter", f"name={pattern}").split() == names
    assert box.text("volume", "ls", "-q", "--filter", "name=first", "--format", "{{.Driver}}") == "local"
    for words, message in (
        (("ls", "--filter", "dangling=perhaps"), "invalid filter 'dangling=perhaps'"),
        (("prune", "-af", "--filter", "all=1"), "cannot specify both --all and --filter all=1"),
        (("create", "--label", "=x"), "empty name"),
        (("create", "-o", "size=1m", "small"), "quota size requested but no quota support"),
        (("create", "-d", "other", "third"), "create third: error looking up volume plugin other"),
    ):
        assert message in box("volume", *words, status=2).stderr.decode()
    assert len(box.text("volume", "create", "").strip()) == 64


def test_u_gives_a_directory_to_the_containers_user(box: Program) -> None:
    source = box.directory("given", {"f": ""})
    found = shell(box, "-v", f"{source}:/s:U", "--user", "www", command="stat -c %u /s /s/f; touch /s/own && echo ok")
    assert found == ["33", "33", "ok"]


@pytest.fixture
def shared(box: Program, open_directory: Path) -> Iterator[Path]:
    """Return a mount that shares its events, with a directory `d` in it."""
    top = open_directory / "shared"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "shared", str(top)], check=True)
    subprocess.run(["mount", "--make-shared", str(top)], check=True)
    (top / "d").mkdir()
    yield top
    subprocess.run(["umount", "-R", str(top)], check=True)


def _listed(box: Program, name: str, place: str) -> list[str]:
    return box.text("exec", name, "ls", place).splitlines()


def test_mounts_of_the_machine_appear_in_a_slave(box: Program, shared: Path) -> None:
    started(box, "one", "-v", f"{shared}:/s:rslave", "--mount", f"type=bind,source={shared},target=/p", "box", *SLEEP)
    subprocess.run(["mount", "-t", "tmpfs", "inner", str(shared / "d")], check=True)
    (shared / "d/from-host").touch()
    assert _listed(box, "one", "/s/d") == ["from-host"]
    assert _listed(box, "one", "/p/d") == []


def test_mounts_of_a_container_appear_outside_where_it_is_to_share_them(box: Program, shared: Path) -> None:
    words = ("-v", f"{shared}:/s:rshared")
    if box.user:
        assert "nothing can be shared with the machine" in refusal(box, *words, "box", "true")
        return
    command = "mount -t tmpfs none /s/d; touch /s/d/made; exec sleep 1000"
    started(box, "one", "--privileged", *words, "box", "sh", "-c", command)
    box("exec", "one", "sh", "-c", "until [ -e /s/d/made ]; do sleep 0.05; done")
    assert _listed(box, "one", "/s/d") == ["made"]
    assert [path.name for path in (shared / "d").iterdir()] == ["made"]


def test_a_source_without_events_cannot_share_any(box: Program) -> None:
    source = box.directory("quiet", {"f": ""})
    propagation = subprocess.run(
        ["findmnt", "-no", "PROPAGATION", "-T", str(source)], capture_output=True, text=True, check=False
    ).stdout
    if propagation.strip() != "private":
        pytest.skip("a mount that shares nothing")
    assert "not a shared or slave mount" in refusal(box, "-v", f"{source}:/s:rslave", "box", "true")


def test_a_bind_reaches_below_and_is_read_only_below_as_asked(box: Program, shared: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "inner", str(shared / "d")], check=True)
    (shared / "d/f").touch()
    mount = f"type=bind,source={shared},target=/s"
    tries = "ls /s/d; touch /s/d/x 2>/dev/null && echo written; rm -f /s/d/x"
    assert shell(box, "--mount", f"{mount},readonly", command=f"{tries} || true") == ["f"]
    assert shell(box, "--mount", f"{mount},readonly,bind-recursive=writable", command=tries) == ["f", "written"]
    if not box.user:  # in a user namespace what is mounted below cannot be left out
        assert shell(box, "--mount", f"{mount},bind-recursive=disabled", command="ls /s/d") == []


def test_volumes_come_from_other_containers(box: Program) -> None:
    source = box.directory("bound", {"f": ""})
    words = (
        "-v",
        "vol:/a",
        "-v",
        f"{source}:/b:ro",
        "-v",
        "/anonymous",
        "--mount",
        "type=tmpfs,target=/c,tmpfs-size=1m",
    )
    started(box, "donor", *words, "--tmpfs", "/d", "box", "sh", "-c", "touch /anonymous/it /a/it; exec sleep 1000")
    box("exec", "donor", "sh", "-c", "until [ -e /a/it ]; do sleep 0.05; done")
    box(
        "create",
        "--name",
        "heir",
        "--network",
        "none",
        "--volumes-from",
        "donor",
        "box",
        "sh",
        "-c",
        "ls /a /b /anonymous",
    )
    assert box.text("start", "-a", "heir").split() == ["/a:", "it", "/anonymous:", "it", "/b:", "f"]
    shown = json.loads(box.text("inspect", "-f", "{{json .Mounts}}", "heir"))
    assert [(one["Destination"], one["RW"]) for one in shown] == [
        ("/a", True),
        ("/anonymous", True),
        ("/b", False),
        ("/c", True),
    ]
    found = shell(
        box, "--volumes-from", "donor:ro", "-v", "own:/b", command="touch /a/x || echo no; touch /b/x && echo own"
    )
    assert found == ["no", "own"]
    box("rm", "-f", "donor")
    assert box.text("start", "-a", "heir").split() == ["/a:", "it", "/anonymous:", "it", "/b:", "f"]
