from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.containers.documents import HostConfig
from runtime.containers.mountfields import parse_mount
from runtime.containers.mounts import Mount, parse_tmpfs, parse_volume, wanted_mounts
from runtime.errors import UsageError


def test_a_source_that_is_a_path_is_a_bind() -> None:
    mount = parse_volume("/srv/a/../data:/data:ro")
    assert (mount.kind, mount.source, mount.target, mount.read_only) == ("bind", "/srv/data", "/data", True)
    assert mount.create


def test_a_source_that_is_a_name_is_a_volume() -> None:
    mount = parse_volume("cache:/var/cache/")
    assert (mount.kind, mount.source, mount.target, mount.read_only) == ("volume", "cache", "/var/cache", False)


def test_a_target_alone_is_an_anonymous_volume() -> None:
    assert parse_volume("/data") == Mount(kind="volume", target="/data")


def test_modes_are_read() -> None:
    assert parse_volume("/a:/b:rslave,ro").propagation == "rslave"
    assert not parse_volume("name:/b:nocopy").copy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid volume specification"),
        (":/b", "invalid volume specification"),
        ("/a:/b:ro:x", "invalid volume specification"),
        ("/a:b", "mount path must be absolute"),
        ("a", "mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/b:bogus", "invalid mode: bogus"),
        ("/a:/b:ro,rw", "invalid mode"),
        ("rel/x:/y", "includes invalid characters for a local volume name"),
        ("name:/b:shared", "a volume has no propagation"),
    ],
)
def test_a_wrong_volume_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_volume(text)


def test_mount_reads_a_bind() -> None:
    assert parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rshared") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rshared"},
    }


def test_mount_reads_a_tmpfs_with_size_and_mode() -> None:
    assert parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770")["TmpfsOptions"] == {
        "SizeBytes": 1 << 20,
        "Mode": 0o1770,
    }


def test_mount_is_a_volume_where_no_type_is_given() -> None:
    assert parse_mount("source=v,target=/b,ro=false") == {
        "Type": "volume",
        "Source": "v",
        "Target": "/b",
        "ReadOnly": False,
    }


def test_a_quoted_field_may_hold_a_comma() -> None:
    assert parse_mount('type=bind,"source=/a,b",target=/c')["Source"] == "/a,b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a key=value pair"),
        ("type=bind,target=/b", "Source must not be empty"),
        ("type=bind,source=/a", "target is required"),
        ("type=tmpfs,source=/a,target=/b", "Source must not be specified"),
        ("type=nfs,target=/b", 'type "nfs": mount type unknown'),
        ("type=bind,source=/a,target=/b,colour=red", "unexpected key 'colour'"),
        ("type=volume,target=/b,bind-propagation=shared", "cannot mix 'bind-\\*' options"),
        ("type=tmpfs,target=/b,tmpfs-size=x", "tmpfs-size: x"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "tmpfs-mode"),
        ("type=bind,source=/a,target=b", "must be absolute"),
        ("type=bind,source", "must be a key=value pair"),
    ],
)
def test_a_wrong_mount_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_mount(text)


def test_tmpfs_options_are_checked() -> None:
    assert parse_tmpfs("/run:size=64m,exec") == ("/run", "size=64m,exec")
    with pytest.raises(UsageError, match=r'invalid tmpfs option \["bogus"\]'):
        parse_tmpfs("/run:bogus")


def test_an_option_of_a_tmpfs_takes_the_place_of_its_default() -> None:
    host: HostConfig = {"Tmpfs": {"/run": "exec,size=1m"}}
    assert wanted_mounts({}, host)[0].options == ("nosuid", "nodev", "exec", "size=1m")


def test_what_was_asked_for_takes_the_place_of_the_images_volume() -> None:
    mounts = wanted_mounts({"Volumes": {"/data": {}, "/other": {}}}, {"Binds": ["/srv:/data"]})
    assert [(mount.kind, mount.target) for mount in mounts] == [("bind", "/data"), ("volume", "/other")]


def test_parents_are_mounted_before_what_lies_below() -> None:
    mounts = wanted_mounts({}, {"Binds": ["/x:/a/b", "/x:/a", "/x:/a-b", "/x:/a/b/c"]})
    assert [mount.target for mount in mounts] == ["/a", "/a/b", "/a/b/c", "/a-b"]


def test_two_mounts_on_one_path_are_refused() -> None:
    with pytest.raises(UsageError, match="Duplicate mount point: /a"):
        wanted_mounts({}, {"Binds": ["/x:/a"], "Tmpfs": {"/a/": ""}})


@given(st.text(alphabet="abc/:,=.rozw \"'", max_size=30))
def test_no_text_raises_anything_but_a_usage_error(text: str) -> None:
    for parse in (parse_volume, parse_mount, parse_tmpfs):
        try:
            parse(text)
        except UsageError:
            pass
