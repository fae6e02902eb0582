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
        ("name:/b:rw,rw", "invalid mode: rw,rw"),
        ("name:/b:z,Z", "invalid mode: z,Z"),
        ("/a:/b:rslave,shared", "invalid mode: rslave,shared"),
        ("/b:ro", "invalid volume specification: '/b:ro'"),
        ("/a:/b:ro:x", "too many colons"),
        ("x:/b", "volume name is too short"),
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
    assert parse_mount("source=vol,target=/b,ro=false") == {
        "Type": "volume",
        "Source": "vol",
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
    with pytest.raises(UsageError, match='invalid tmpfs option "bogus"'):
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


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ("bind-recursive=enabled,source=/a", {}),
        ("bind-recursive=disabled,source=/a", {"BindOptions": {"NonRecursive": True}}),
        ("bind-recursive=writable,source=/a,ro", {"ReadOnly": True, "BindOptions": {"ReadOnlyNonRecursive": True}}),
        (
            "bind-recursive=readonly,source=/a,ro,bind-propagation=rprivate",
            {"ReadOnly": True, "BindOptions": {"ReadOnlyForceRecursive": True, "Propagation": "rprivate"}},
        ),
        ("consistency=cached,source=/a", {"Consistency": "cached"}),
    ],
)
def test_mount_reads_how_a_bind_is_recursive(fields: str, part: dict[str, object]) -> None:
    assert parse_mount(f"type=bind,target=/b,{fields}") == {"Type": "bind", "Target": "/b", "Source": "/a", **part}


def test_mount_reads_options_of_a_volumes_driver() -> None:
    text = "source=vol,target=/b,volume-driver=local,volume-opt=type=tmpfs,volume-opt=o=size=1m,volume-subpath=c/d"
    driver = {"Name": "local", "Options": {"type": "tmpfs", "o": "size=1m"}}
    assert parse_mount(text)["VolumeOptions"] == {"DriverConfig": driver, "Subpath": "c/d"}
    (mount,) = wanted_mounts({}, {"Mounts": [parse_mount(text)]})
    assert (mount.options, mount.subpath, mount.mode) == (("o=size=1m", "type=tmpfs"), "c/d", "z")


def test_a_part_has_to_be_there_and_is_never_filled() -> None:
    (mount,) = wanted_mounts({}, {"Mounts": [parse_mount("source=vol,target=/b,volume-subpath=./c/../d")]})
    assert (mount.subpath, mount.copy) == ("./c/../d", False)


def test_the_same_bind_twice_is_one() -> None:
    assert len(wanted_mounts({}, {"Binds": ["/srv:/data", "/srv:/data"]})) == 1


def test_mount_reads_an_image() -> None:
    document = parse_mount("type=image,source=app:1,target=/b,image-subpath=etc")
    assert document["ImageOptions"] == {"Subpath": "etc"}
    (mount,) = wanted_mounts({}, {"Mounts": [document]})
    assert (mount.kind, mount.source, mount.subpath, mount.read_only) == ("image", "app:1", "etc", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=bind,source=/a,target=/b,bind-recursive=often", 'must be "enabled", "disabled"'),
        ("type=bind,source=/a,target=/b,bind-recursive=writable", "requires 'readonly'"),
        ("type=bind,source=/a,target=/b,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
        ("type=bind,source=/a,target=/b,consistency=perhaps", "invalid consistency"),
        ("type=bind,source=/a,target=/b,bind-propagation=often", "invalid propagation mode: often"),
        ("type=image,target=/b", "Source must not be empty"),
        ("type=,target=/b", "type is required"),
        ("type=tmpfs,target=/b,image-subpath=x", "cannot mix 'image-\\*' options"),
        ("target=/b,volume-nocopy=perhaps", "invalid value for volume-nocopy"),
    ],
)
def test_fields_that_do_not_go_together_are_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_mount(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source=vol,target=/b,volume-driver=nfs", 'plugin "nfs" not found'),
        ("source=vol,target=/b,volume-subpath=../x", "relative path within the volume"),
        ("source=vol,target=/b,volume-subpath=/x", "relative path within the volume"),
        ("target=/b,volume-subpath=x", "must not set Subpath when using anonymous volumes"),
        ("type=image,source=a,target=/b,image-subpath=a/../..", "relative path within the image"),
    ],
)
def test_what_a_volume_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wanted_mounts({}, {"Mounts": [parse_mount(text)]})


def test_nocopy_is_about_volumes() -> None:
    with pytest.raises(UsageError, match="field VolumeOptions must not be specified"):
        parse_volume("/a:/b:nocopy")


def test_inherited_mounts_give_way_to_own_ones() -> None:
    host: HostConfig = {
        "Binds": ["/x:/a"],
        "Inherited": [
            {"kind": "volume", "target": "/a", "source": "v", "options": []},
            {"kind": "tmpfs", "target": "/b", "options": ["size=1m"], "shown": True},
        ],
    }
    first, second, third = wanted_mounts({"Volumes": {"/b": {}, "/c": {}}}, host)
    assert (first.kind, first.source) == ("bind", "/x")
    assert (second.kind, second.options) == ("tmpfs", ("size=1m",))
    assert third == Mount(kind="volume", target="/c")
