"""One Dockerfile, one tree: for root and user, for the container that runs, and for the tools of others."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""security.capability, version 2: cap_net_raw, permitted and effective."""
EPOCH = {"SOURCE_DATE_EPOCH": "1600000000"}
DOCKERFILE = r"""
FROM base AS made
RUN --network=none <<'EOF'
set -e
mkdir -p /made/deep/er && cd /made
for owner in 0:0 33:33 1000:50 65534:65534; do echo $owner > file-$owner; chown $owner file-$owner; done
for mode in 0000 0644 2755 4755 6711 1777; do mkdir -m $mode dir-$mode; echo > file-$mode; chmod $mode file-$mode; done
ln file-0644 hard; ln -s file-0644 soft; ln -s /nowhere broken; ln hard deep/er/far
mkfifo -m 600 pipe; chown 33:33 pipe; chown -h 33:50 soft
dd if=/dev/zero of=sparse bs=1 count=1 seek=1048575 2>/dev/null
touch -d '1999-12-31 23:59:59' old; touch "sp ace" "$(printf 'new\nline')" grüße; chown 7:8 /made
chmod 755 /bin/cap && chown 0:33 /etc/group && rm /etc/passwd && rm -rf /var && mkdir /var && echo x > /var/new
EOF
COPY --chown=5:6 tree /copied
COPY --chmod=640 tree/a /chmod/a
WORKDIR /work/dir
FROM made
COPY --from=made /made /again
USER 33
"""
FILES = {"tree/a": "a\n", "tree/sub/b": "b\n"}


@pytest.fixture
def base(busybox: Path) -> bytes:
    """Return a root file system with a file that has a capability, and one with another attribute."""
    output = io.BytesIO(busybox.read_bytes())
    with tarfile.open(fileobj=output, mode="a", format=tarfile.PAX_FORMAT) as tar:
        for name, attribute, value in (("bin/cap", "security.capability", NET_RAW), ("bin/attr", "user.note", b"kept")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = 3, 0o700
            entry.pax_headers = {f"SCHILY.xattr.{attribute}": value.decode("utf-8")}
            tar.addfile(entry, io.BytesIO(b"#!\n"))
    return output.getvalue()


def make(program: Program, base: bytes) -> Path:
    """Build the image `rich` of the Dockerfile above, and return the context."""
    program("import", "-", "base", input=base)
    context = program.directory("rich", {"Dockerfile": DOCKERFILE, **FILES})
    os.link(context / "tree/a", context / "tree/sub/hard")
    for path in (*context.rglob("*"), context):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    program("build", "-q", "-t", "rich", "-o", "type=image,rewrite-timestamp=true", context, env=EPOCH)
    return context


def seen_inside(program: Program, image: str = "rich") -> list[str]:
    """Return what a container sees of the image: type, mode, owner, links, target and content of every file."""
    script = (
        "find /made /again /copied /chmod /work /var /etc/group /bin/cap /bin/attr -print0 | sort -z"
        " | xargs -0 stat -c '%F %a %u:%g %h %N' && find /made /copied -type f -print0 | sort -z | xargs -0 md5sum"
    )
    return program.text(*RUN, "-u", "0", image, "sh", "-c", script).splitlines()


def test_root_and_user_build_the_same_image(twins: tuple[Program, Program], base: bytes) -> None:
    found = []
    for program in twins:
        make(program, base)
        image = json.loads(program.text("inspect", "rich"))[0]
        found.append((image["RootFS"]["Layers"], image["Config"], seen_inside(program)))
    assert found[0][2] == found[1][2]
    assert found[0] == found[1]


def test_what_was_made_is_there_in_the_container(box: Program, base: bytes) -> None:
    make(box, base)
    lines = "\n".join(seen_inside(box))
    for part in ("fifo 600 33:33", "file 6711", "directory 1777", "file 644 65534:65534", "755 5:6", "file 640"):
        assert part in lines
    assert "regular file 644 0:0 3 /made/deep/er/far" in lines


def test_an_archive_gives_the_same_image_in_another_store(box: Program, base: bytes) -> None:
    make(box, base)
    before = seen_inside(box)
    archive = box.home / "rich.tar"
    box("save", "rich", "-o", archive)
    identity = box.text("images", "-q", "--no-trunc", "rich")
    other = Program(home=box.home / "second", user=box.user)
    other.home.mkdir()
    other.own(other.home)
    other("load", "-i", archive)
    assert seen_inside(other) == before
    other("save", "rich", "-o", other.home / "rich.tar")
    assert (other.home / "rich.tar").read_bytes() == archive.read_bytes()
    assert other.text("images", "-q", "--no-trunc", "rich") == identity


def described(tree: Path) -> dict[str, tuple[object, ...]]:
    """Return what lstat tells of every file below a directory, by its path."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, list[str]] = {}
    for directory, names, files in os.walk(tree):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
            attributes = [] if link else [(key, os.getxattr(path, key)) for key in sorted(os.listxattr(path))]
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            group = inodes.setdefault(status.st_ino, [])
            group.append(os.path.relpath(path, tree))
            found[group[-1]] = (
                oct(status.st_mode),
                (status.st_uid, status.st_gid),
                size,
                int(status.st_mtime),
                link,
                attributes,
                group,
            )
    for group in inodes.values():
        group.sort()
    return found


def unpacked(box: Program, target: Path) -> Path:
    """Let umoci unpack the saved image as a bundle."""
    box("save", "rich", "-o", box.home / "rich.tar")
    command = ["umoci", "unpack", "--image", f"{box.root}/images:rich:latest", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.mark.peer
def test_umoci_and_our_export_unpack_the_same_tree(
    box: Program, base: bytes, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    if shutil.which("umoci") is None:
        missing("umoci")
    make(box, base)
    theirs = described(unpacked(box, tmp_path / "bundle") / "rootfs")
    context = box.directory("as-it-is", {"Dockerfile": "FROM rich\n"})
    exported = box("build", "-o", "type=tar,dest=-", context).stdout
    (tmp_path / "ours").mkdir()
    unpack = ["tar", "-x", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C", str(tmp_path / "ours")]
    subprocess.run(unpack, input=exported, check=True)
    ours = described(tmp_path / "ours")
    paths = ours.keys() | theirs.keys()
    assert {path: (ours.get(path), theirs.get(path)) for path in paths if ours.get(path) != theirs.get(path)} == {}
    assert ("security.capability", NET_RAW) in theirs["bin/cap"][5]  # type: ignore[operator]


@pytest.mark.peer
def test_skopeo_reads_what_we_wrote(box: Program, base: bytes, missing: Callable[[str], None]) -> None:
    if shutil.which("skopeo") is None:
        missing("skopeo")
    make(box, base)
    archive = box.home / "rich.tar"
    box("save", "rich", "-o", archive)
    for place in (f"oci:{box.root}/images:rich:latest", f"oci-archive:{archive}", f"docker-archive:{archive}"):
        result = subprocess.run(["skopeo", "inspect", "--config", place], capture_output=True, check=False)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["config"]["User"] == "33"


@pytest.mark.peer
def test_crun_runs_a_bundle_of_an_unpacked_image(
    box: Program, base: bytes, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    if shutil.which("umoci") is None or shutil.which("crun") is None:
        missing("umoci and crun")
    make(box, base)
    bundle = unpacked(box, tmp_path / "bundle")
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(args=["/bin/sh", "-c", "id -u; pwd; cat /copied/sub/b"], terminal=False)
    config["linux"].pop("resources", None)
    (bundle / "config.json").write_text(json.dumps(config))
    run = ["crun", "--cgroup-manager=disabled", "run", "-b", str(bundle), f"pybuild-test-{os.getpid()}"]
    # crun refuses to work where version 2 of control groups is mounted beside version 1.
    apart = ["unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]
    result = subprocess.run([*apart, *run], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if result.returncode and "cgroup" in result.stderr:
        missing(f"control groups that crun can use: {result.stderr}")
    assert result.stdout == "33\n/work/dir\nb\n", result.stderr
