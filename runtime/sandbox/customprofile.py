"""Compile a system call filter of the user's own, written in the JSON that Docker's `seccomp=FILE` takes.

The document's fields are Docker's: `defaultAction`, `defaultErrnoRet`, `architectures` or `archMap`, and `syscalls`
with `names` (or `name`), `action`, `errnoRet`, `args`, and conditions in `includes` and `excludes` (`caps`, `arches`,
`minKernel`). Whatever it says that cannot be done here is refused, names of calls that no kernel here has are passed
over, and calls newer than those of the default profile get ENOSYS, so that programs fall back to older ones.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import UsageError
from runtime.oci.fields import Reader, decode_object
from runtime.sandbox import profile
from runtime.sandbox.seccomp import exported, keep, library_version, load_library, prefix

if TYPE_CHECKING:
    from runtime.context import Context

_RECIPE = 1  # raise it when this module makes other programs of the same document
_MACHINES = {
    "x86_64": ("amd64", "X86_64"), "aarch64": ("arm64", "AARCH64"), "armv7l": ("arm", "ARM"), "i686": ("386", "X86"),
    "s390x": ("s390x", "S390X"), "riscv64": ("riscv64", "RISCV64"), "ppc64le": ("ppc64le", "PPC64LE"),
}  # fmt: skip
"""`uname -m` to what Go, and so a profile's `arches`, calls it, and to libseccomp's name."""

_LARGEST = 1 << 20
"""Bytes that a profile may have; Docker's own has 13 KB."""

_LARGEST_ERRNO = 4095
_ARGUMENTS = 6

_ACTIONS = {
    "SCMP_ACT_ALLOW": "ALLOW",
    "SCMP_ACT_KILL": "KILL",
    "SCMP_ACT_KILL_THREAD": "KILL",
    "SCMP_ACT_KILL_PROCESS": "KILL_PROCESS",
    "SCMP_ACT_TRAP": "TRAP",
    "SCMP_ACT_LOG": "LOG",
}
_COMPARISONS = {
    "SCMP_CMP_NE": "NE", "SCMP_CMP_LT": "LT", "SCMP_CMP_LE": "LE", "SCMP_CMP_EQ": "EQ", "SCMP_CMP_GE": "GE",
    "SCMP_CMP_GT": "GT", "SCMP_CMP_MASKED_EQ": "MASKED_EQ",
}  # fmt: skip


def compiled_from(context: Context, text: str, capabilities: Collection[str]) -> Path:
    """Give the host path of the program of the profile `text` for a process bounded by `capabilities` ("CAP_…").

    It is kept below ROOT/seccomp. Raises DocumentError and UsageError for what the document should not say,
    SandboxError without libseccomp.
    """
    from hashlib import sha256

    machine, kernel = os.uname().machine, os.uname().release
    parts = [str(_RECIPE), machine, kernel, library_version(), *sorted(capabilities), text]
    path = context.layout.root / "seccomp" / f"{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.bpf"
    if not path.exists():
        document = decode_object(text, "the seccomp profile", limit=_LARGEST)
        keep(path, compile_document(document, machine, kernel, frozenset(capabilities)))
    return path


def compile_document(document: Mapping[str, Any], machine: str, kernel: str, capabilities: frozenset[str]) -> bytes:
    """Make the program (struct sock_filter[]) for `machine`, which has to be this one.

    Raises DocumentError and UsageError for what the document should not say.
    """
    library = load_library()
    reader = Reader(dict(document))
    for name in ("flags", "listenerPath", "listenerMetadata"):
        if reader.value.get(name):
            raise UsageError(f"seccomp profile: {name!r} cannot be had", hint="rules and architectures alone")
    default = _action(library, reader.text("defaultAction"), reader.optional_integer("defaultErrnoRet"))
    rules = library.SyscallFilter(default)
    architectures = _architectures(library, reader, machine)
    for name in architectures[1:]:
        rules.add_arch(getattr(library.Arch, name))
    entries = [entry for entry in reader.items("syscalls") if _applies(entry, machine, kernel, capabilities)]
    for entry in entries:
        _add(library, rules, entry, default)
    program = exported(rules)
    if reader.text("defaultAction") in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
        return program
    return prefix(architectures, _newest(entries, machine)) + program


def _add(library: Any, rules: Any, entry: Reader, default: int) -> None:
    """Add the rules that one entry stands for; what the filter does anyway is no rule."""
    action = _action(library, entry.text("action"), entry.optional_integer("errnoRet"))
    conditions = _conditions(library, entry.items("args"))
    for name in _names(entry):
        number = _number(library, name)
        if number is not None and action != default:
            for arguments in conditions:
                rules.add_rule(action, number, *arguments)


def _newest(entries: Sequence[Reader], machine: str) -> list[int]:
    """Give the numbers of calls that are allowed in any case and that libseccomp may not know, as they are too new."""
    allowed: set[str] = set()
    others: set[str] = set()
    for entry in entries:
        plain = entry.text("action") == "SCMP_ACT_ALLOW" and not entry.items("args")
        (allowed if plain else others).update(_names(entry))
    known = profile.NUMBERS | (profile.NUMBERS_X86_64 if machine == "x86_64" else {})
    return [number for name, number in known.items() if name in allowed - others]


def _names(entry: Reader) -> tuple[str, ...]:
    single, several = entry.optional_text("name"), entry.texts("names")
    if single and several:
        raise UsageError("seccomp profile: 'name' and 'names' were specified, use either 'name' or 'names'")
    if not single and not several:
        raise UsageError(f"seccomp profile: {entry.path} names no system call")
    return (single,) if single else several


def _action(library: Any, name: str, number: int | None) -> int:
    if number is not None and not 0 <= number <= _LARGEST_ERRNO:
        raise UsageError(f"seccomp profile: {number} is no number of an error", hint=f"0 to {_LARGEST_ERRNO}")
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        make = library.ERRNO if name == "SCMP_ACT_ERRNO" else library.TRACE
        return int(make(errno.EPERM if number is None else number))
    action = getattr(library, _ACTIONS.get(name, ""), None) if name in _ACTIONS else None
    if action is None:
        known = ", ".join([*_ACTIONS, "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"])
        raise UsageError(f"seccomp profile: action {name!r} cannot be had", hint=f"there are {known}")
    return int(action)


def _architectures(library: Any, document: Reader, machine: str) -> tuple[str, ...]:
    """Give the architectures that the filter knows, libseccomp's names, this machine's own first."""
    names, (_, native) = list(document.texts("architectures")), _MACHINES.get(machine, ("", ""))
    groups = document.items("archMap")
    if names and groups:
        raise UsageError(
            "'architectures' and 'archMap' were specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for group in groups:
        if group.text("architecture") == f"SCMP_ARCH_{native}":
            names += group.texts("subArchitectures")
    plain = [name.removeprefix("SCMP_ARCH_") for name in names]
    for name in plain:
        if not hasattr(library.Arch, name):
            raise UsageError(f"seccomp profile: architecture {name!r} is not known")
    return (native, *dict.fromkeys(name for name in plain if name != native))


def _applies(entry: Reader, machine: str, kernel: str, capabilities: frozenset[str]) -> bool:
    """Tell whether a rule's conditions hold here."""
    arch = _MACHINES.get(machine, (machine, ""))[0]
    excludes = entry.optional_reader("excludes")
    if excludes is not None:
        newest = excludes.optional_text("minKernel")
        if arch in excludes.texts("arches") or capabilities & set(excludes.texts("caps")):
            return False
        if newest and _version(kernel) >= _version(newest):
            return False
    includes = entry.optional_reader("includes")
    if includes is None:
        return True
    oldest, arches = includes.optional_text("minKernel"), includes.texts("arches")
    return (
        (not arches or arch in arches)
        and capabilities >= set(includes.texts("caps"))
        and (not oldest or _version(kernel) >= _version(oldest))
    )


def _version(text: str) -> tuple[int, ...]:
    numbers = tuple(int(word) for word in re.findall(r"\d+", text)[:2])
    if len(numbers) != 2:
        raise UsageError(f"seccomp profile: {text!r} is no version of a kernel", hint="as 4.8")
    return numbers


def _number(library: Any, name: str) -> int | None:
    try:
        number = int(library.resolve_syscall(library.system_arch(), name))
    except (ValueError, OSError):
        return None
    return None if number == -1 else number


def _conditions(library: Any, wanted: Sequence[Reader]) -> list[list[Any]]:
    """Give the conditions of the rules that an entry becomes: one of all, or one each where they are of one argument.

    libseccomp takes one condition an argument of a rule; several of the same one are alternatives, as runc has them.
    """
    made = []
    indexes = [entry.integer("index") for entry in wanted]
    for index, entry in zip(indexes, wanted, strict=True):
        name = _COMPARISONS.get(entry.text("op"))
        if name is None:
            raise UsageError(f"seccomp profile: comparison {entry.text('op')!r} is not known")
        values = [entry.integer("value"), entry.optional_integer("valueTwo") or 0]
        if not 0 <= index < _ARGUMENTS or not all(0 <= value < 1 << 64 for value in values):
            raise UsageError(f"seccomp profile: {entry.path} is about no argument of a system call")
        made.append(library.Arg(index, getattr(library, name), *values[: 2 if name == "MASKED_EQ" else 1]))
    return [made] if len(set(indexes)) == len(indexes) else [[one] for one in made]
