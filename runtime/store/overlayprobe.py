"""Try whether overlayfs works with an upperdir in a directory: `python -I -S overlayprobe.py DIRECTORY`.

A process of its own, because the mount needs a mount namespace of its own, which takes it away with the process. Ends
with WORKS if a file of a lower layer was deleted in a mount, and left a whiteout in the upperdir, with REFUSED if not,
and with anything else if something else went wrong; standard library only.
"""

import os
import sys

CLONE_NEWNS = 0x00020000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
WORKS = 0
REFUSED = 3


def main(directory: bytes) -> int:
    """Mount and delete; the exit status."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for name in (b"lower", b"upper", b"work", b"merged"):
        os.mkdir(os.path.join(directory, name), 0o700)
    os.chdir(directory)
    with open("lower/file", "wb"):
        pass
    with open("/proc/self/uid_map", "rb") as file:
        mapped = file.read().split() != [b"0", b"0", b"4294967295"]
    options = b"lowerdir=lower,upperdir=upper,workdir=work" + (b",userxattr" if mapped else b"")
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        return REFUSED
    if libc.mount(b"overlay", b"merged", b"overlay", ctypes.c_ulong(0), options):
        return REFUSED
    try:
        os.unlink("merged/file")
    except OSError:
        return REFUSED
    return WORKS if os.path.lexists("upper/file") else REFUSED


if __name__ == "__main__":
    sys.exit(main(os.fsencode(sys.argv[1])))
