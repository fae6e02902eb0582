"""Hold the texts and the directories of `localhost/base`."""

from __future__ import annotations

from pathlib import Path

HOST_OS_RELEASE = Path("/etc/os-release")

TERMINALS = ("ansi", "dumb", "linux", "screen", "screen-256color", "tmux-256color", "vt100", "xterm", "xterm-256color")
"""Terminal types of which bash may want to know the capabilities."""

DIRECTORIES = {
    **dict.fromkeys(("dev", "etc", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys"), 0o755),
    **dict.fromkeys(("usr/bin", "usr/lib", "usr/sbin", "usr/local/bin", "usr/local/lib"), 0o755),
    **dict.fromkeys(("var/cache", "var/lib", "var/log"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/:/bin/false
bin:x:2:2:bin:/:/bin/false
www-data:x:33:33:www-data:/srv:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
"""

_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""

_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
services: files
protocols: files
"""

_PROFILE = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""


def texts() -> dict[str, bytes]:
    """Give the files of /etc that programs read, by path."""
    found = {"etc/passwd": _PASSWD, "etc/group": _GROUP, "etc/nsswitch.conf": _NSSWITCH, "etc/profile": _PROFILE}
    return {path: text.encode() for path, text in found.items()}


def os_release(host: Path = HOST_OS_RELEASE) -> bytes:
    """Write an os-release(5) that says whose programs these are."""
    try:
        lines = host.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    like = fields.get("ID", "linux").strip("\"'")
    name = fields.get("PRETTY_NAME", "Linux").strip("\"'")
    return f'NAME="pybuild base"\nID=pybuild-base\nID_LIKE={like}\nPRETTY_NAME="pybuild base ({name})"\n'.encode()
