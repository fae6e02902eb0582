"""What is left after a kill, a full disk, and two commands at once."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frozen import replace
from runtime.context import Cancel, Context
from runtime.errors import Cancelled
from runtime.store import Store
from runtime.store.archive import save
from runtime.store.check import check
from runtime.store.loading import load

MakeImage = Any


@pytest.fixture
def archive(store: Store, make_image: MakeImage) -> bytes:
    make_image([{"a": os.urandom(300_000)}, {"b": b"2"}], "app:1")
    sink = io.BytesIO()
    save(store, ["app:1"], sink)
    return sink.getvalue()


def elsewhere(context: Context, root: Path) -> Context:
    return replace(context, layout=replace(context.layout, root=root), cancel=Cancel())


class Stopping(io.RawIOBase):
    """A stream that calls a function once it was read to a place."""

    def __init__(self, data: bytes, place: int, call: Callable[[], object]) -> None:
        super().__init__()
        self._data = io.BytesIO(data)
        self._place = place
        self._call = call

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._data.tell() >= self._place:
            self._call()
        return self._data.read(min(size, 4096) if size >= 0 else -1)


@pytest.mark.parametrize("place", [0, 2000, 150_000, 290_000])
def test_a_killed_load_leaves_nothing(context: Context, tmp_path: Path, archive: bytes, place: int) -> None:
    context = elsewhere(context, tmp_path / "other")
    pid = os.fork()
    if pid == 0:
        with Store.open(context) as child:
            load(child, Stopping(archive, place, lambda: os.kill(os.getpid(), signal.SIGKILL)))  # type: ignore[arg-type]
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    with Store.open(context) as store:
        assert store.images.list() == ()
        assert list(store.blobs.digests()) == []
        assert os.listdir(context.layout.tmp) == []
        assert check(store).problems == ()


@pytest.mark.parametrize("place", [0, 2000, 150_000])
def test_a_cancelled_load_leaves_nothing(context: Context, tmp_path: Path, archive: bytes, place: int) -> None:
    context = elsewhere(context, tmp_path / "other")
    with Store.open(context) as store:
        with pytest.raises(Cancelled):
            load(store, Stopping(archive, place, lambda: context.cancel.set(2)))  # type: ignore[arg-type]
        assert store.images.list() == ()
        assert list(store.blobs.digests()) == []
        assert os.listdir(store.workspace()) == []


def test_a_killed_save_leaves_a_sound_store(context: Context, tmp_path: Path, make_image: MakeImage) -> None:
    image = make_image([{"a": os.urandom(300_000)}], "app:1")

    class Deadly(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            os.kill(os.getpid(), signal.SIGKILL)
            return len(data)

    pid = os.fork()
    if pid == 0:
        with Store.open(context) as child:
            save(child, ["app:1"], Deadly())
        os._exit(0)
    os.waitpid(pid, 0)
    with Store.open(context) as store:
        assert check(store).problems == ()
        assert store.images.require("app:1").id == image.id


def test_commands_in_several_processes_agree(context: Context, tmp_path: Path, archive: bytes) -> None:
    """Four processes load the same archive, two tag and two save, all at once."""
    (tmp_path / "app.tar").write_bytes(archive)
    root = tmp_path / "other"
    program = [sys.executable, "-m", "builder.cli.main", "--root", str(root)]
    jobs = [["load", "-i", str(tmp_path / "app.tar")]] * 4
    jobs += [["images", "-q"], ["system", "check"]]
    processes = [subprocess.Popen([*program, *job], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for job in jobs]
    for process, job in zip(processes, jobs, strict=True):
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, (job, output, errors)
    with Store.open(elsewhere(context, root)) as store:
        assert len(store.images.list()) == 1
        assert check(store).problems == ()
        assert os.listdir(store.layout.tmp) == []


def test_threads_make_the_same_manifest_once(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": os.urandom(100_000)}, {"b": os.urandom(100_000)}], "app:1")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(store.images.manifest(image).digest)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(list(store.blobs.digests())) == 4


@pytest.mark.root
@pytest.mark.parametrize("size", ["2m", "5m"], ids=["while it is read", "while it is unpacked"])
def test_a_full_disk_is_said_and_leaves_nothing(store: Store, tmp_path: Path, make_image: MakeImage, size: str) -> None:
    make_image([{"a": os.urandom(3_000_000)}], "app:1")
    with open(tmp_path / "app.tar", "wb") as sink:
        save(store, ["app:1"], sink)
    (tmp_path / "small").mkdir()
    script = f"""
        mount -t tmpfs -o size={size} none {tmp_path}/small || exit 9
        {sys.executable} -m builder.cli.main --root {tmp_path}/small/root load -i {tmp_path}/app.tar
        status=$?
        find {tmp_path}/small/root/tmp {tmp_path}/small/root/images {tmp_path}/small/root/snapshots -type f
        exit $status
    """
    result = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1, result
    assert "No space left on device" in result.stderr
    assert result.stdout == ""


def test_the_index_is_always_whole(store: Store, make_image: MakeImage) -> None:
    """Somebody else reads `index.json` while names change."""
    image = make_image([{"a": b"1"}], "app:1")
    store.images.manifest(image)
    stop = threading.Event()
    faults: list[Exception] = []

    def watch() -> None:
        while not stop.is_set():
            try:
                json.loads((store.layout.images / "index.json").read_bytes())
            except Exception as error:
                faults.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(30):
        store.images.record(store.blobs.path(image.id).read_bytes(), [image.names[0]])
        make_image([], f"n{number}")
    stop.set()
    thread.join()
    assert faults == []
