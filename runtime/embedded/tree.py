"""Choose what is in `localhost/base`: programs of this machine, their libraries, and the few files they look at.

The tree is merged-usr, whatever the machine is: `/bin`, `/sbin`, `/lib*` are links into `/usr`. Libraries that only
an RPATH leads to keep their path; others go where the C library lies, which every loader searches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from frozen import Frozen
from runtime.embedded.elf import ElfError
from runtime.embedded.files import DIRECTORIES, TERMINALS, os_release, texts
from runtime.embedded.libraries import Library, LibraryMissing, Resolver
from runtime.errors import StoreError

PROGRAMS = tuple(
    """
    sh bash dash
    [ arch b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dirname du echo
    env expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo
    mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pr printenv printf ptx pwd readlink realpath rm rmdir
    seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail
    tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink users wc who whoami yes chroot
    awk cmp diff egrep fgrep find grep gunzip gzip hostname sed tar which xargs zcat getent
    """.split()
)
REQUIRED = frozenset({"sh", "cat", "ls"})

PLACES = tuple(
    Path(place) for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin", "/usr/local/bin")
)
CERTIFICATES = tuple(
    Path(place)
    for place in (
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    )
)
TERMINFO = tuple(Path(place) for place in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"))

_MERGED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
_SHELLS = frozenset({b"/bin/sh", b"/usr/bin/sh", b"/bin/bash", b"/usr/bin/bash"})
_NAME_SERVICES = ("libnss_files.so.2", "libnss_dns.so.2")
"""What glibc before 2.34 loads for itself when it reads /etc/nsswitch.conf."""


class Node(Frozen):
    """One entry of the image: a directory, a file with a `text` or copied from `source`, or a link to `target`.

    `mode`: permission bits, 0oNNNN. `hard` makes the link a hard one, `target` then being a path of the image.
    """

    mode: int = 0o755
    text: bytes | None = None
    source: Path | None = None
    target: str | None = None
    hard: bool = False


def base_tree(resolver: Resolver | None = None, places: Sequence[Path] = PLACES) -> dict[str, Node]:
    """Give all entries by path (no leading slash), sorted, so that a parent comes before what is in it.

    Raises StoreError where this machine has no shell, or none whose libraries can be found.
    """
    finder = _Finder(resolver or Resolver(), places)
    for name in PROGRAMS:
        finder.add_program(name)
    files = finder.files
    for path in CERTIFICATES:
        if path.is_file():
            files["etc/ssl/certs/ca-certificates.crt"] = (path, 0o644)
            break
    for place in reversed(TERMINFO):
        for name in TERMINALS:
            if (path := place / name[0] / name).is_file():
                files[f"usr/share/terminfo/{name[0]}/{name}"] = (path, 0o644)
    tree = dict(_copied(files))
    tree |= {path: Node(mode=0o644, text=text) for path, text in texts().items()}
    tree |= {"usr/lib/os-release": Node(mode=0o644, text=os_release()), "var/run": Node(target="/run")}
    tree["etc/os-release"] = Node(target="../usr/lib/os-release")
    tree |= {
        name: Node(target=f"usr/{name}") for name in _MERGED if name in {"bin", "sbin", "lib"} or _used(files, name)
    }
    tree |= {path: Node(mode=mode) for path, mode in DIRECTORIES.items()}
    for parent in {parent for path in tree for parent in PurePosixPath(path).parents} - {PurePosixPath()}:
        tree.setdefault(str(parent), Node())
    return dict(sorted(tree.items()))


def image_path(path: Path) -> str:
    """Give the place in the image of a file that has an absolute path on the machine."""
    parts = path.parts[1:]
    return "/".join(("usr", *parts) if parts[0] in _MERGED else parts)


class _Finder:
    """Collects files: path in the image -> (path on the machine, mode)."""

    def __init__(self, resolver: Resolver, places: Sequence[Path]) -> None:
        self.files: dict[str, tuple[Path, int]] = {}
        self._resolver = resolver
        self._places = places

    def add_program(self, name: str) -> None:
        """Add a program with all that it needs; one that is not there, or not whole, is left out."""
        problem: Exception | None = None
        for path in (place / name for place in self._places):
            try:
                needed = self._needed(path)
            except (OSError, ElfError, LibraryMissing) as error:
                problem = problem or error
                continue
            if needed is not None:
                where = "sbin" if path.parent.name == "sbin" else "bin"
                self.files |= {**needed, f"usr/{where}/{name}": (path, 0o755)}
                return
        if name in REQUIRED:
            raise StoreError(
                f"localhost/base cannot be made: this machine has no usable {name} ({problem or 'it is no program'})",
                hint="bring an image here instead: pybuild load -i FILE, or pybuild import FILE NAME",
            )

    def _needed(self, program: Path) -> dict[str, tuple[Path, int]] | None:
        """Give the loader and libraries of a program, none for a static one or a script; None for what cannot run."""
        elf = self._resolver.elf(program)
        if elf is None:
            with program.open("rb") as file:
                return {} if _is_for_shell(file.readline(256)) else None
        libraries = self._resolver.closure(program)
        libc = next((library for name, library in libraries.items() if name.startswith("libc.")), None)
        if libc is not None:
            for path in (libc.path.parent / name for name in _NAME_SERVICES):
                if service := self._resolver.elf(path) if path.is_file() else None:
                    libraries |= {path.name: Library(path, service, fixed=False), **self._resolver.closure(path)}
        found: dict[str, tuple[Path, int]] = {}
        for name, library in libraries.items():
            neighbour = library if libc is None or library.fixed else libc
            found[image_path(neighbour.path.parent / name)] = (library.path, 0o755)
        if elf.interpreter:
            found[image_path(Path(elf.interpreter))] = (Path(elf.interpreter), 0o755)
        return found


def _is_for_shell(first_line: bytes) -> bool:
    words = first_line[2:].split()
    return first_line.startswith(b"#!") and bool(words) and words[0] in _SHELLS


def _used(files: dict[str, tuple[Path, int]], name: str) -> bool:
    return any(path.startswith(f"usr/{name}/") for path in files)


def _copied(files: dict[str, tuple[Path, int]]) -> Iterator[tuple[str, Node]]:
    """Turn files into nodes; of several that are one file on the machine, all but the first are hard links."""
    first: dict[tuple[int, int], str] = {}
    for path, (source, mode) in sorted(files.items()):
        status = source.stat()
        known = first.setdefault((status.st_dev, status.st_ino), path)
        if known == path:
            yield path, Node(source=source, mode=mode)
        else:
            yield path, Node(target=known, hard=True)
