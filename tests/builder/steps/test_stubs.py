"""Mount points stand below the image, at the places that its links lead to."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from builder.steps.stubs import stub_directory


class Links:
    """A tree whose only content is symbolic links."""

    def __init__(self, links: dict[str, str]) -> None:
        self._links = links

    def resolve(self, path: PurePosixPath) -> PurePosixPath:
        for link, target in self._links.items():
            if path.is_relative_to(link):
                return PurePosixPath(target) / path.relative_to(link)
        return path


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def mount(destination: str, source: Path | None = None) -> dict[str, object]:
    if source is None:
        return {"destination": destination, "type": "tmpfs", "source": "tmpfs"}
    return {"destination": destination, "source": str(source), "options": ["rbind"]}


def test_the_umask_does_not_close_a_stub_to_the_steps_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        root = stub_directory(tmp_path, [mount("/a/b")], Links({}))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a", root / "a/b")} == {0o755}


def test_each_mount_gets_a_directory_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    root = stub_directory(tmp_path, [mount("/a/b"), mount("/etc/hosts", file), mount("/c", tmp_path)], Links({}))
    assert names(root) == ["a", "a/b", "c", "etc", "etc/hosts"]
    assert (root / "etc/hosts").is_file()
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o755


def test_mounts_below_other_mounts_and_the_usual_directories_are_left_out(tmp_path: Path) -> None:
    root = stub_directory(tmp_path, [mount("/proc"), mount("/dev"), mount("/dev/shm"), mount("/sys")], Links({}))
    assert names(root) == []


def test_a_usual_directory_that_a_steps_own_mount_lies_in_is_not_left_in_the_image(tmp_path: Path) -> None:
    root = stub_directory(tmp_path, [mount("/dev"), mount("/dev/pipes/E")], Links({}), own=["/dev/pipes/E"])
    assert names(root) == ["dev"]


def test_links_of_the_image_are_followed(tmp_path: Path) -> None:
    root = stub_directory(tmp_path, [mount("/var/run/x")], Links({"/var/run": "/run"}))
    assert names(root) == ["run", "run/x"]


def test_steps_that_need_the_same_share_one(tmp_path: Path) -> None:
    first = stub_directory(tmp_path, [mount("/a"), mount("/b")], Links({}))
    assert stub_directory(tmp_path, [mount("/b"), mount("/a")], Links({})) == first
    assert stub_directory(tmp_path, [mount("/b")], Links({})) != first
