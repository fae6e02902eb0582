"""Downloads that an earlier command began, and layers that are unpacked before those below them are here."""

from __future__ import annotations

import gzip
import os
import random
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest

from runtime.context import Context
from runtime.errors import Cancelled, LayerError, PybuildError
from runtime.oci.digests import Digest
from runtime.oci.references import parse_reference
from runtime.registry.pull import Pulled, pull
from runtime.registry.transport import Transport
from runtime.store import Store
from runtime.store.leases import boot_mark
from runtime.store.parts import drop_parts, part_of
from tests.runtime.registry.samples import LAYER, Sample, add_image, tar_of
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, digest_of
from tests.runtime.registry.transfers import session_for

Pull = Callable[..., Pulled]
CUT = 3 << 20
CONTENT = random.Random(7).randbytes(5 << 20)


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def sample(registry: MemoryRegistry) -> Sample:
    """Return an image of one layer of 5 MiB."""
    return add_image(registry, "team/app", files=({"f": CONTENT},))


@pytest.fixture
def fetch(context: Context, make_transport: Callable[..., Transport], server: ScriptedServer) -> Pull:
    """Return a function that pulls `team/app` in a command of its own."""

    def run() -> Pulled:
        with Store.open(context) as opened, session_for(opened, make_transport) as session:
            return pull(opened, parse_reference(f"{server.host}/team/app"), session)

    return run


def _cut(server: ScriptedServer, sample: Sample, after: int) -> None:
    """Let the layer end after so many bytes, for good."""
    data = sample.layers[0]

    def answer(request: Request) -> Answer:
        if "range" in request.headers:
            return Answer(404)
        return Answer(200, body=data, cut=after)

    server.fault("GET", f"/blobs/{digest_of(data)}", answer, times=2)


def _ranges(server: ScriptedServer, sample: Sample) -> list[str]:
    return [
        request.headers.get("range", "") for request in server.asked("GET", f"/blobs/{digest_of(sample.layers[0])}")
    ]


def _parts(context: Context) -> list[str]:
    return os.listdir(context.layout.partial) if context.layout.partial.exists() else []


def test_an_interrupted_download_is_gone_on_with_by_the_next_command(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull
) -> None:
    _cut(server, sample, CUT)
    with pytest.raises(PybuildError):
        fetch()
    size = part_of(context.layout, Digest(digest_of(sample.layers[0]))).stat().st_size
    assert 2 << 20 <= size <= CUT
    server.requests.clear()
    assert fetch().changed
    assert _ranges(server, sample) == [f"bytes={size}-"]
    assert _parts(context) == []


def test_a_download_that_was_whole_but_for_its_name_is_not_fetched_again(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull
) -> None:
    part = part_of(context.layout, Digest(digest_of(sample.layers[0])))
    part.parent.mkdir(parents=True)
    part.write_bytes(sample.layers[0])
    assert fetch().changed
    assert _ranges(server, sample) == []


@pytest.mark.parametrize("wrong", [b"\0" * CUT, b"\0" * (9 << 20)])
def test_a_beginning_that_is_wrong_is_found_out_and_not_used_twice(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull, wrong: bytes
) -> None:
    part = part_of(context.layout, Digest(digest_of(sample.layers[0])))
    part.parent.mkdir(parents=True)
    part.write_bytes(wrong)
    assert fetch().changed
    begun = [f"bytes={CUT}-"] if len(wrong) < len(sample.layers[0]) else []
    assert _ranges(server, sample) == [*begun, ""]
    assert _parts(context) == []


def test_a_rest_that_is_wrong_is_fetched_again_as_a_whole_once(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull
) -> None:
    data = sample.layers[0]
    part = part_of(context.layout, Digest(digest_of(data)))
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:CUT])
    wrong = bytes(len(data) - CUT)
    headers = {"Content-Range": f"bytes {CUT}-{len(data) - 1}/{len(data)}"}
    server.fault("GET", f"/blobs/{digest_of(data)}", lambda _request: Answer(206, headers, wrong))
    assert fetch().changed
    assert _ranges(server, sample) == [f"bytes={CUT}-", ""]
    assert _parts(context) == []


def test_what_is_wrong_twice_is_told(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull, registry: MemoryRegistry
) -> None:
    digest = digest_of(sample.layers[0])
    part = part_of(context.layout, Digest(digest))
    part.parent.mkdir(parents=True)
    part.write_bytes(sample.layers[0][:CUT])
    registry.blobs["team/app", digest] = gzip.compress(tar_of({"f": bytes(reversed(CONTENT))}), mtime=0)
    with pytest.raises(PybuildError):
        fetch()
    assert _parts(context) == []


def test_what_was_wrong_is_not_kept(
    context: Context, server: ScriptedServer, sample: Sample, fetch: Pull, registry: MemoryRegistry
) -> None:
    digest = digest_of(sample.layers[0])
    registry.blobs["team/app", digest] = gzip.compress(tar_of({"f": bytes(reversed(CONTENT))}), mtime=0)
    with pytest.raises(PybuildError):
        fetch()
    assert _parts(context) == []


def test_a_small_beginning_is_not_kept(context: Context, server: ScriptedServer, sample: Sample, fetch: Pull) -> None:
    _cut(server, sample, 1000)
    with pytest.raises(PybuildError):
        fetch()
    assert _parts(context) == []


def test_beginnings_that_are_old_or_of_another_boot_are_swept(context: Context) -> None:
    with Store.open(context):
        context.layout.partial.mkdir()
        for name, age in ((f"sha256-a.{boot_mark()}", 0), (f"sha256-b.{boot_mark()}", 90_000), ("sha256-c.0", 0)):
            (context.layout.partial / name).write_bytes(b"x")
            os.utime(context.layout.partial / name, (time.time() - age,) * 2)
    with Store.open(context):
        assert _parts(context) == [f"sha256-a.{boot_mark()}"]
        assert drop_parts(context.layout) == 1
        assert _parts(context) == []


def test_an_interruption_leaves_what_came(
    store: Store, make_transport: Callable[..., Transport], server: ScriptedServer, sample: Sample
) -> None:
    part = part_of(store.layout, Digest(digest_of(sample.layers[0])))

    def interrupt() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (part.exists() and part.stat().st_size >= 2 << 20):
            time.sleep(0.01)
        store.context.cancel.set(2)

    server.fault(
        "GET", f"/blobs/{digest_of(sample.layers[0])}", Answer(200, body=sample.layers[0], cut=CUT, stall=1000)
    )
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Cancelled), session_for(store, make_transport) as session:
        pull(store, parse_reference(f"{server.host}/team/app"), session)
    thread.join()
    assert part.stat().st_size >= 2 << 20


def _slow_first(server: ScriptedServer, sample: Sample, registry: MemoryRegistry, upper: threading.Event) -> None:
    """Send the lowest layer only after all of the others."""

    def wait(_request: Request) -> Answer:
        upper.wait()
        return Answer(200, body=sample.layers[0])

    server.fault("GET", f"/blobs/{digest_of(sample.layers[0])}", wait)

    def last(_request: Request) -> Answer:
        threading.Timer(0.3, upper.set).start()
        return Answer(200, body=sample.layers[-1])

    server.fault("GET", f"/blobs/{digest_of(sample.layers[-1])}", last)


def _layer(*entries: tuple[str, bytes, str]) -> bytes:
    """Make a layer's tar of (name, typeflag, link)."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, link in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mtime, entry.mode = kind, link, 5, 0o711
            tar.addfile(entry, BytesIO())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("top", "names", "root_mode"),
    [
        ([("etc/more", tarfile.REGTYPE, "")], ["etc", "root.txt"], 0o750),
        ([("./", tarfile.DIRTYPE, ""), ("x", tarfile.REGTYPE, "")], ["etc", "root.txt", "x"], 0o711),
        ([(".wh.root.txt", tarfile.REGTYPE, "")], ["etc"], 0o750),
        ([("hard", tarfile.LNKTYPE, "root.txt")], ["etc", "hard", "root.txt"], 0o750),
        ([("etc/.wh..wh..opq", tarfile.REGTYPE, "")], ["etc", "root.txt"], 0o750),
    ],
)
def test_a_layer_that_came_before_those_below_is_the_same(
    store: Store,
    registry: MemoryRegistry,
    server: ScriptedServer,
    make_transport: Callable[..., Transport],
    top: list[tuple[str, bytes, str]],
    names: list[str],
    root_mode: int,
) -> None:
    base = BytesIO()
    with tarfile.open(fileobj=base, mode="w") as tar:
        for name, kind, mode in (("./", tarfile.DIRTYPE, 0o750), ("etc", tarfile.DIRTYPE, 0o701)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = kind, mode, 3
            tar.addfile(entry)
        entry = tarfile.TarInfo("root.txt")
        entry.size = 1
        tar.addfile(entry, BytesIO(b"1"))
    tars = [base.getvalue(), _layer(*top)]
    blobs = [gzip.compress(data, mtime=0) for data in tars]
    layers = [{"mediaType": LAYER, "digest": digest_of(blob), "size": len(blob)} for blob in blobs]
    for blob in blobs:
        registry.add_blob("team/app", blob)
    sample = add_image(registry, "team/app", diff_ids=list(map(digest_of, tars)), manifest={"layers": layers})
    sample.layers[:] = blobs
    _slow_first(server, sample, registry, threading.Event())
    with session_for(store, make_transport) as session:
        pulled = pull(store, parse_reference(f"{server.host}/team/app"), session)
    chain = store.images.unpacked(pulled.image)
    with store.snapshots.view(chain) as view:
        assert sorted(name.decode() for name in view.listdir("/")) == names
        root, etc = view.stat("/"), view.stat("/etc")
        assert root is not None
        assert root.mode == root_mode
        assert etc is not None
        assert etc.mode == 0o701
    snapshot = store.snapshots.get(chain) if chain else None
    assert snapshot is not None
    store.snapshots.remove(snapshot.chain_id)
    again = store.snapshots.apply(snapshot.parent, BytesIO(tars[1]))
    assert again == snapshot, "the same as with all below it in place"


def test_a_layer_that_fails_ends_those_that_wait_for_it(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, make_transport: Callable[..., Transport]
) -> None:
    tars = [_layer(("../out", tarfile.REGTYPE, "")), _layer((".wh.x", tarfile.REGTYPE, "")), tar_of({"a": b"1"})]
    blobs = [gzip.compress(data, mtime=0) for data in tars]
    layers = [{"mediaType": LAYER, "digest": digest_of(blob), "size": len(blob)} for blob in blobs]
    for blob in blobs:
        registry.add_blob("team/app", blob)
    sample = add_image(registry, "team/app", diff_ids=list(map(digest_of, tars)), manifest={"layers": layers})
    sample.layers[:] = blobs
    _slow_first(server, sample, registry, threading.Event())
    with pytest.raises(LayerError, match="out of the root"), session_for(store, make_transport) as session:
        pull(store, parse_reference(f"{server.host}/team/app"), session)
    assert store.snapshots.list() == ()
    assert store.images.list() == ()
