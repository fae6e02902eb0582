"""Compile the default system call filter to BPF, once a machine, and keep it below the root.

libseccomp makes the program; a few instructions are put before it, as Docker's runtime does: calls newer than the
profile get ENOSYS, and the newest that the profile allows, which this libseccomp may not know yet, go by number.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path
from struct import pack

from runtime.errors import SandboxError
from runtime.sandbox import profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.context import Context

_RECIPE = 1  # raise it when this module makes other programs of the same profile
_LIBRARY = "libseccomp.so.2"
_X32_BIT = 0x40000000

# <linux/audit.h>
_AUDIT = {
    "X86_64": 0xC000003E,
    "X86": 0x40000003,
    "AARCH64": 0xC00000B7,
    "ARM": 0x40000028,
    "S390X": 0x80000016,
    "S390": 0x00000016,
    "RISCV64": 0xC00000F3,
    "PPC64LE": 0xC0000015,
}

# <linux/bpf_common.h>, <linux/seccomp.h>
_LOAD = 0x20
_JUMP = 0x05
_JUMP_EQUAL = 0x15
_JUMP_GREATER = 0x25
_JUMP_GREATER_OR_EQUAL = 0x35
_RETURN = 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000


def compiled(context: Context, capabilities: Collection[str]) -> Path:
    """Give the host path of the BPF program of the default profile for a process bounded by `capabilities` ("CAP_…").

    Compiles and stores it under ROOT/seccomp at the first use of this set of capabilities, architecture and version
    of libseccomp; later calls import nothing. Raises SandboxError where libseccomp is not installed.
    """
    machine = os.uname().machine
    relevant = frozenset(capabilities) & frozenset(profile.WITH_CAPABILITY)
    directory = context.layout.root / "seccomp"
    path = directory / f"{_key(machine, relevant)}.bpf"
    if not path.exists():
        keep(path, compile_program(machine, relevant))
    return path


def keep(path: Path, program: bytes) -> None:
    """Write a program under its name, whole or not at all."""
    from tempfile import NamedTemporaryFile  # lazy: 3 ms

    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=directory, delete=False) as file:
        try:
            file.write(program)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _key(machine: str, relevant: frozenset[str]) -> str:
    """Name the program by everything that decides its bytes."""
    from runtime.oci.shortsha import hex_sha256  # lazy: where a program comes ready-made, nothing is named

    parts = [
        str(_RECIPE),
        repr(profile.NUMBERS),
        machine,
        library_version(),
        *sorted(relevant),
        *sorted(profile.allowed(machine, relevant)),
    ]
    parts += [repr((profile.AF_VSOCK, profile.PERSONALITIES, profile.CLONE_NAMESPACES, profile.NEWEST))]
    return hex_sha256("\0".join(parts).encode())[:32]


def library_version() -> str:
    """Tell which libseccomp is installed without loading it: its file's real name, as libseccomp.so.2.5.4."""
    machine = os.uname().machine
    for directory in (f"/usr/lib/{machine}-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64", "/lib"):
        path = os.path.realpath(f"{directory}/{_LIBRARY}")
        if os.path.exists(path):
            status = os.stat(path)
            return f"{path} {status.st_size} {status.st_mtime_ns}"
    return ""


def compile_program(machine: str, capabilities: frozenset[str]) -> bytes:
    """Make the program (struct sock_filter[]) for `machine`, which has to be this one. Raises SandboxError."""
    library = load_library()
    names = profile.allowed(machine, capabilities)
    rules = library.SyscallFilter(library.ERRNO(errno.EPERM))
    architectures = profile.ARCHITECTURES.get(machine, ())
    for name in architectures[1:]:
        rules.add_arch(getattr(library.Arch, name))
    unknown = [name for name in sorted(names) if not _add(library, rules, library.ALLOW, name)]
    _add_conditional(library, rules, machine, names)
    program = exported(rules)
    numbers = [number for name, number in profile.NUMBERS.items() if name in names]
    if machine == "x86_64":
        numbers += [number for name, number in profile.NUMBERS_X86_64.items() if name in unknown]
    return prefix(architectures, numbers) + program


def load_library() -> Any:
    """Import the binding of libseccomp. Raises SandboxError where that is not installed."""
    try:
        import pyseccomp  # lazy: 25 ms
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError(
            f"the system call filter cannot be made: {error}",
            step="seccomp",
            hint="install libseccomp (Debian: `apt install libseccomp2`), or give --security-opt seccomp=unconfined",
        ) from error
    return pyseccomp


def exported(rules: Any) -> bytes:
    """Give the program of a filter."""
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return bytes(file.read())


def _add(library: Any, rules: Any, action: int, name: str, *arguments: Any) -> bool:
    """Add one rule; False where this libseccomp does not know the call."""
    try:
        number = library.resolve_syscall(library.system_arch(), name)
    except (ValueError, OSError):
        return False
    if number == -1:  # __NR_SCMP_ERROR, unknown; other negative numbers are calls of another architecture
        return False
    rules.add_rule(action, number, *arguments)
    return True


def _add_conditional(library: Any, rules: Any, machine: str, names: frozenset[str]) -> None:
    """Add the rules that look at arguments."""
    _add(library, rules, library.ALLOW, "socket", library.Arg(0, library.NE, profile.AF_VSOCK))
    for value in profile.PERSONALITIES:
        _add(library, rules, library.ALLOW, "personality", library.Arg(0, library.EQ, value))
    if "clone" not in names:
        flags = 1 if machine == "s390x" else 0  # there the order of its arguments is another
        mask = library.Arg(flags, library.MASKED_EQ, profile.CLONE_NAMESPACES, 0)
        _add(library, rules, library.ALLOW, "clone", mask)
    if "clone3" not in names:
        # its flags lie in memory, out of a filter's sight: let the C library fall back to clone
        _add(library, rules, library.ERRNO(errno.ENOSYS), "clone3")


def _statement(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return pack("HBBI", code, jump_true, jump_false, value)


def prefix(architectures: tuple[str, ...], numbers: list[int]) -> bytes:
    """Make the instructions that come first: for each architecture, allow `numbers`, and ENOSYS above the newest."""
    blocks = [_statement(_LOAD, _OFFSET_ARCHITECTURE)]
    for name in architectures:
        if name in _AUDIT:
            body = _for_architecture(name, numbers)
            blocks.append(_statement(_JUMP_EQUAL, _AUDIT[name], 0, len(body) // 8))
            blocks.append(body)
    return b"".join(blocks)


def _for_architecture(name: str, numbers: list[int]) -> bytes:
    """Decide by number; what this does not decide goes on, with the architecture loaded again, to the next block."""
    body = [_statement(_LOAD, _OFFSET_NUMBER)]
    if name == "X86_64":  # x32 has the same architecture and a bit in the number
        x32 = [_statement(_JUMP_GREATER, _X32_BIT | profile.NEWEST_X32, 0, 1)]
        x32 += [_statement(_RETURN, _ERRNO | errno.ENOSYS), *[_allow(_X32_BIT | number) for number in numbers]]
        tail = _numbers(numbers)
        x32.append(_statement(_JUMP, len(tail) // 8))  # over what is for x86_64
        block = b"".join(x32)
        body += [_statement(_JUMP_GREATER_OR_EQUAL, _X32_BIT, 0, len(block) // 8), block, tail]
    else:
        body.append(_numbers(numbers))
    body.append(_statement(_LOAD, _OFFSET_ARCHITECTURE))
    return b"".join(body)


def _numbers(numbers: list[int]) -> bytes:
    """Decide what is newer than most calls; everything else passes by with one comparison."""
    block = [_statement(_JUMP_GREATER, profile.NEWEST, 0, 1), _statement(_RETURN, _ERRNO | errno.ENOSYS)]
    block += [_allow(number) for number in numbers]
    code = b"".join(block)
    return _statement(_JUMP_GREATER_OR_EQUAL, min([*numbers, profile.NEWEST]), 0, len(code) // 8) + code


def _allow(number: int) -> bytes:
    return _statement(_JUMP_EQUAL, number, 0, 1) + _statement(_RETURN, _ALLOW)
