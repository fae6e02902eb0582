from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from runtime.errors import PybuildError, UsageError
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.importing import import_tar


def tree(**files: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


def test_a_tar_becomes_an_image_of_one_layer(store: Store) -> None:
    image = import_tar(
        store,
        io.BytesIO(gzip.compress(tree(sh=b"#!"))),
        ['CMD ["sh"]', "ENV A=1"],
        names=[parse_reference("base:1")],
        message="made here",
        platform=parse_platform("linux/arm/v6"),
    )
    assert store.images.require("base:1").id == image.id
    assert image.config.config.cmd == ("sh",)
    assert image.config.config.env == ("A=1",)
    assert [entry.comment for entry in image.config.history] == ["made here"]
    assert str(image.config.platform) == "linux/arm/v6"
    with store.snapshots.view(image.chain_id) as view:
        assert view.read_text("sh", 10) == "#!"


def test_an_imported_image_can_be_saved(store: Store) -> None:
    """Its layer has the diff ID of our own tar, not of the one that came."""
    image = import_tar(store, io.BytesIO(tree(a=b"1", b=b"2")))
    assert len(store.images.read_manifest(store.images.manifest(image)).layers) == 1


@pytest.mark.parametrize(
    "data", [b"no tar" * 200, gzip.compress(tree(a=b"1"), mtime=0)[:-8], tree(a=b"x" * 5000)[:3000]]
)
def test_what_is_no_tar_leaves_nothing(store: Store, data: bytes) -> None:
    with pytest.raises(PybuildError):
        import_tar(store, io.BytesIO(data))
    assert store.images.list() == ()
    assert store.snapshots.list() == ()


def test_a_wrong_change_is_refused_before_anything_is_read(store: Store) -> None:
    stream = io.BytesIO(tree(a=b"1"))
    with pytest.raises(UsageError, match="RUN"):
        import_tar(store, stream, ["RUN true"])
    assert stream.tell() == 0
