"""Read and write a container's files as a tar, from inside of its root: standard library alone.

What runs here has the container's root as its own, so that no link in the container leads out of it. Nothing is loaded
there: modules that would be found in the container (also those behind user names) are never asked for.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]  # names come from libraries of the container's own


_ATTRIBUTE = "SCHILY.xattr."
"""What stands before an extended attribute's name in the header of an archive, as star and Docker write it."""

_CAPABILITY = "security.capability"

_KERNELS = ("/dev", "/proc", "/sys")
"""What is the kernel's in a container that runs; named below `/`, as a walk of the whole root meets them."""


def serve(operation: str, path: str, *, follow: bool = False) -> int:
    """Do one operation with descriptors 0, 1 and 2; returns the exit status, 1 after it has said what failed.

    `stat` prints a kind (missing, directory, file, link, device), the kind of what a link leads to, and where that is.
    `pack` writes a tar of `path` under its last name, `unpack` reads one into the directory `path`.
    """
    try:
        os.chdir("/")
        target = "/" + path.lstrip("/")
        if operation == "stat":
            told = f"{kind_of(target, follow=False)} {kind_of(target, follow=True)} {os.path.realpath(target)}"
            os.write(1, told.encode("utf-8", "surrogateescape"))
        elif operation == "pack":
            with os.fdopen(1, "wb", closefd=False) as sink:
                name = "." if target.endswith("/.") else os.path.basename(os.path.normpath(target)) or "."
                pack(sink, target, name, follow=follow)
        else:
            with os.fdopen(0, "rb", closefd=False) as source:
                unpack(source, target)
                while source.read(1 << 16):
                    pass
    except (OSError, tarfile.TarError, ValueError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        os.write(2, text.encode("utf-8", "surrogateescape"))
        return 1
    return 0


def kind_of(path: str, *, follow: bool) -> str:
    """Return what lies at a path: missing, directory, file (all that is none of the others), link or device."""
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
    except OSError:
        return "missing"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "device"
    return "link" if stat.S_ISLNK(mode) else "file"


class _Packed(tarfile.TarFile):
    """A tar that is written with what files may do beyond their user: capabilities, the one attribute Docker copies."""

    def gettarinfo(  # type: ignore[override]  # None is for what has no place in a tar, as sockets
        self, name: str, arcname: str | None = None, fileobj: Any = None
    ) -> tarfile.TarInfo | None:
        """Describe one file, its capabilities included."""
        entry = super().gettarinfo(name, arcname, fileobj)
        if entry is not None and entry.isreg():
            try:
                value = os.getxattr(name, _CAPABILITY, follow_symlinks=False)
            except OSError:
                return entry
            entry.pax_headers = {_ATTRIBUTE + _CAPABILITY: value.decode("utf-8", "surrogateescape")}
        return entry


def pack(sink: BinaryIO, path: str, name: str, *, follow: bool = False) -> None:
    """Write a tar of `path` and what lies below it, as `name`. `follow` is for `path` itself alone.

    Of a whole root, what the kernel shows in it is left out, and of a tree that changes what has gone meanwhile.
    """
    with _Packed.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        _add(tar, os.path.realpath(path) if follow else path, name, top=True)


def _add(tar: tarfile.TarFile, path: str, name: str, *, top: bool = False) -> None:
    try:
        tar.add(path, arcname=name, recursive=False, filter=_nameless)
        if os.path.islink(path) or not os.path.isdir(path):
            return
        if not top and path in _KERNELS and os.path.ismount(path):
            return
        below = sorted(os.listdir(path))
    except FileNotFoundError:
        if top or os.path.lexists(path):
            raise
        return
    for entry in below:
        _add(tar, os.path.join(path, entry), os.path.join(name, entry))


def _nameless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uname = entry.gname = ""
    return entry


def unpack(
    source: BinaryIO, directory: str, *, rename: tuple[str, str] | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Unpack a tar into `directory`. `rename` gives another name to the top; `owner` is who everything belongs to.

    Names that lead out of `directory` are a ValueError, and so is a directory in place of a file, or the other way.
    """
    directories: list[tuple[str, tarfile.TarInfo]] = []
    try:
        archive = tarfile.open(fileobj=source, mode="r|*", errors="surrogateescape")  # noqa: SIM115  closed below
    except tarfile.ReadError as error:
        if str(error) != "empty file":
            raise
        return  # nothing has nothing in it
    with archive as tar:
        for entry in tar:
            parts = _parts(entry.name)
            if ".." in parts:
                raise ValueError(f"the archive has a name that leads out of it: {entry.name}")
            entry.name = "/".join(_renamed(parts, rename))
            if entry.islnk():
                link = _parts(entry.linkname)
                if ".." in link:
                    raise ValueError(f"the archive has a link that leads out of it: {entry.linkname}")
                entry.linkname = "/".join(_renamed(link, rename))
            if owner is not None:
                entry.uid, entry.gid = owner
            entry.uname = entry.gname = ""
            place = os.path.join(directory, entry.name) if entry.name else directory
            _stay_inside(directory, place)
            if entry.islnk():
                _stay_inside(directory, os.path.join(directory, entry.linkname))
            _clear(place, entry)
            if entry.isdir() and os.path.isdir(place):
                if entry.name:
                    directories.append((place, entry))
                continue
            if entry.name:
                _extract(tar, entry, directory)
                _give_attributes(place, entry)
                if entry.isdir():
                    directories.append((place, entry))
    for place, entry in reversed(directories):
        os.chmod(place, entry.mode)
        os.utime(place, (entry.mtime, entry.mtime))


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _renamed(parts: list[str], rename: tuple[str, str] | None) -> list[str]:
    """Give the top of a name its other name; of an archive of contents alone that stands before all of them."""
    if rename is None:
        return parts
    top = _parts(rename[0])
    return _parts(rename[1]) + parts[len(top) :] if parts[: len(top)] == top else parts


def _stay_inside(directory: str, place: str) -> None:
    """Refuse a place whose parent lies, through links that came with the archive or were there, outside."""
    top = os.path.realpath(directory)
    parent = os.path.realpath(os.path.dirname(place)) if place != directory else top
    if parent != top and not parent.startswith(top.rstrip("/") + "/"):
        raise ValueError(f"the archive leads out of {directory} through a link: {place}")


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, directory: str) -> None:
    owned = not entry.islnk()  # of a further name the file has all it should have, and a new owner takes some of that
    if sys.version_info >= (3, 12):
        tar.extract(entry, directory, set_attrs=owned, numeric_owner=True, filter="fully_trusted")
    else:
        tar.extract(entry, directory, set_attrs=owned, numeric_owner=True)


def _give_attributes(place: str, entry: tarfile.TarInfo) -> None:
    """Set the extended attributes that came along; what this file system or user cannot have is left out."""
    for key, value in entry.pax_headers.items():
        if key.startswith(_ATTRIBUTE):
            try:
                name = key.removeprefix(_ATTRIBUTE)
                os.setxattr(place, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
                    raise


def _clear(place: str, entry: tarfile.TarInfo) -> None:
    """Make room: what is no directory goes; what is one stays, and only for a directory."""
    kind = kind_of(place, follow=False)
    if kind == "missing":
        return
    if entry.isdir():
        if kind_of(place, follow=not entry.name) != "directory":  # where all of it goes may be named by a link
            raise ValueError(f'cannot overwrite non-directory "{place}" with directory "{entry.name}"')
    elif kind == "directory":
        raise ValueError(f'cannot overwrite directory "{place}" with non-directory "{entry.name}"')
    else:
        os.unlink(place)
