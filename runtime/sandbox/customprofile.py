"""Compile a system call filter of the user's own, written in the JSON that Docker's `seccomp=FILE` takes.

The document's fields are Docker's: `defaultAction`, `defaultErrnoRet`, `architectures` or `archMap`, and `syscalls`
with `names` (or `name`), `action`, `errnoRet`, `args`, and conditions in `includes` and `excludes` (`caps`, `arches`,
`minKernel`). Whatever it says that cannot be done here is refused, names of calls that no kernel here has are passed
over, and calls newer than those of the default profile get ENOSYS, so that programs fall back to older ones.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import UsageError
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

    It is kept below ROOT/seccomp. Raises UsageError for what the document should not say, SandboxError without
    libseccomp.
    """
    from hashlib import sha256

    machine, kernel = os.uname().machine, os.uname().release
    parts = [str(_RECIPE), machine, kernel, library_version(), *sorted(capabilities), text]
    path = context.layout.root / "seccomp" / f"{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.bpf"
    if not path.exists():
        try:
            document = json.loads(text)
            program = compile_document(document, machine, kernel, frozenset(capabilities))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"seccomp profile: it cannot be read: {error!r}", hint="Docker's JSON format") from error
        keep(path, program)
    return path


def compile_document(document: Mapping[str, Any], machine: str, kernel: str, capabilities: frozenset[str]) -> bytes:
    """Make the program (struct sock_filter[]) for `machine`, which has to be this one."""
    library = load_library()
    default = _action(library, document["defaultAction"], document.get("defaultErrnoRet"))
    rules = library.SyscallFilter(default)
    architectures = _architectures(document, machine)
    for name in architectures[1:]:
        rules.add_arch(getattr(library.Arch, name))
    entries = [entry for entry in document.get("syscalls") or () if _applies(entry, machine, kernel, capabilities)]
    for entry in entries:
        action = _action(library, entry["action"], entry.get("errnoRet"))
        numbers = [_number(library, name) for name in _names(entry)]
        for arguments in _argument_lists(library, entry.get("args") or ()):
            for number in numbers if action != default else ():
                if number is not None:
                    rules.add_rule(action, number, *arguments)
    program = exported(rules)
    if document["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
        return program
    return prefix(architectures, _newest(entries, machine)) + program


def _newest(entries: Sequence[Mapping[str, Any]], machine: str) -> list[int]:
    """Give the numbers of calls that are allowed in any case and that libseccomp may not know, as they are too new."""
    allowed: set[str] = set()
    others: set[str] = set()
    for entry in entries:
        plain = entry["action"] == "SCMP_ACT_ALLOW" and not entry.get("args")
        (allowed if plain else others).update(_names(entry))
    known = profile.NUMBERS | (profile.NUMBERS_X86_64 if machine == "x86_64" else {})
    return [number for name, number in known.items() if name in allowed - others]


def _names(entry: Mapping[str, Any]) -> Sequence[str]:
    single, several = entry.get("name"), entry.get("names") or ()
    if single and several:
        raise UsageError("seccomp profile: 'name' and 'names' were specified, use either 'name' or 'names'")
    return (single,) if single else several


def _action(library: Any, name: str, number: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return int(library.ERRNO(errno.EPERM if number is None else number))
    if name == "SCMP_ACT_TRACE":
        return int(library.TRACE(errno.EPERM if number is None else number))
    action = getattr(library, _ACTIONS.get(name, ""), None) if name in _ACTIONS else None
    if action is None:
        raise UsageError(f"seccomp profile: action {name!r} cannot be had", hint=f"there are {', '.join(_ACTIONS)}")
    return int(action)


def _architectures(document: Mapping[str, Any], machine: str) -> tuple[str, ...]:
    """Give the architectures that the filter knows, libseccomp's names, this machine's own first."""
    own, (_, native) = document.get("architectures") or (), _MACHINES.get(machine, ("", ""))
    groups = document.get("archMap") or ()
    if own and groups:
        raise UsageError(
            "'architectures' and 'archMap' were specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    names = list(own)
    for group in groups:
        if group["architecture"] == f"SCMP_ARCH_{native}":
            names += [group["architecture"], *(group.get("subArchitectures") or ())]
    plain = [name.removeprefix("SCMP_ARCH_") for name in names]
    return (native, *dict.fromkeys(name for name in plain if name != native))


def _applies(entry: Mapping[str, Any], machine: str, kernel: str, capabilities: frozenset[str]) -> bool:
    """Tell whether a rule's conditions hold here."""
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    arch = _MACHINES.get(machine, (machine, ""))[0]
    if arch in (excludes.get("arches") or ()) or capabilities & set(excludes.get("caps") or ()):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if not capabilities >= set(includes.get("caps") or ()):
        return False
    if includes.get("minKernel") and _version(kernel) < _version(includes["minKernel"]):
        return False
    return not (excludes.get("minKernel") and _version(kernel) >= _version(excludes["minKernel"]))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", text)[:2])


def _number(library: Any, name: str) -> int | None:
    try:
        number = int(library.resolve_syscall(library.system_arch(), name))
    except (ValueError, OSError):
        return None
    return None if number == -1 else number


def _argument_lists(library: Any, wanted: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Give the conditions of the rules that an entry becomes: one of all, or one each where they are of one argument.

    libseccomp takes one condition an argument of a rule; several of the same one are alternatives, as runc has them.
    """
    made = []
    for entry in wanted:
        name = _COMPARISONS.get(entry["op"])
        if name is None:
            raise UsageError(f"seccomp profile: comparison {entry['op']!r} is not known")
        values = (entry["value"], entry.get("valueTwo", 0)) if name == "MASKED_EQ" else (entry["value"],)
        made.append(library.Arg(entry["index"], getattr(library, name), *values))
    indexes = [entry["index"] for entry in wanted]
    return [made] if len(set(indexes)) == len(indexes) else [[one] for one in made]
