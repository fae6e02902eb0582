"""Let a container use the devices it was given and no others, on either version of control groups.

Version 1 takes the list as text. Version 2 takes a BPF program that sees type, access, major and minor of each use and
says yes or no: it is assembled here, rule by rule, later rules before earlier ones as the last that fits decides. OCI
runtime-spec, config-linux.md § Allowed Device list.
"""

from __future__ import annotations

import os
from struct import pack

from runtime.sandbox import syscalls as sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANY = -1
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_…


class Rule:
    """One entry: `kind` is "a" (all), "b" or "c"; `major` and `minor` -1 for any; `access` letters of "rwm"."""

    def __init__(self, allow: bool, kind: str, major: int, minor: int, access: str) -> None:
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    @property
    def is_for_all(self) -> bool:
        return self.kind == "a" and self.major == self.minor == _ANY

    def __str__(self) -> str:
        """Give the line that devices.allow and devices.deny take."""
        if self.is_for_all:
            return "a"
        numbers = ["*" if number == _ANY else str(number) for number in (self.major, self.minor)]
        return f"{self.kind} {numbers[0]}:{numbers[1]} {self.access}"


def rules_of(devices: list[dict[str, Any]]) -> list[Rule]:
    """Read linux.resources.devices."""
    rules = []
    for device in devices:
        numbers = [_ANY if device.get(name) is None else int(device[name]) for name in ("major", "minor")]
        access = device.get("access") or "rwm"
        rules.append(Rule(bool(device["allow"]), device.get("type") or "a", numbers[0], numbers[1], access))
    return rules


def allow_on_v1(path: str, rules: list[Rule]) -> None:
    """Write the rules to the devices controller of the group at `path`. Raises OSError."""
    for rule in rules:
        fd = os.open(f"{path}/devices.{'allow' if rule.allow else 'deny'}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(rule).encode())
        finally:
            os.close(fd)


def attach_to_v2(path: str, rules: list[Rule]) -> None:
    """Attach a program with the rules to the group at `path`; it lives as long as the group. Raises OSError."""
    program = sys.bpf_load(_BPF_PROG_TYPE_CGROUP_DEVICE, assemble(rules))
    try:
        group = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sys.bpf_attach(group, program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI)
        finally:
            os.close(group)
    finally:
        os.close(program)


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return pack("BBhi", code, destination | source << 4, offset, immediate)


# opcodes of <linux/bpf.h>, as far as they are needed
_LOAD_WORD = 0x61  # dst = *(u32 *)(src + offset)
_AND_IMMEDIATE = 0x54  # w(dst) &= imm
_SHIFT_RIGHT = 0x74  # w(dst) >>= imm
_MOVE_32 = 0xBC  # w(dst) = w(src)
_MOVE_IMMEDIATE = 0xB7  # dst = imm
_JUMP_NOT_EQUAL = 0x55  # if dst != imm
_JUMP_NOT_EQUAL_REGISTER = 0x5D  # if dst != src
_EXIT = 0x95


def assemble(rules: list[Rule]) -> bytes:
    """Give the program: r2 type, r3 access, r4 major, r5 minor (struct bpf_cgroup_dev_ctx); it returns 1 for yes.

    A use asks for several accesses at once (read and write): an allow rule fits if it grants all of them, a deny rule
    if it takes any. What no rule fits is refused.
    """
    code = [
        _instruction(_LOAD_WORD, 2, 1, 0),
        _instruction(_MOVE_32, 3, 2),
        _instruction(_AND_IMMEDIATE, 2, immediate=0xFFFF),
        _instruction(_SHIFT_RIGHT, 3, immediate=16),
        _instruction(_LOAD_WORD, 4, 1, 4),
        _instruction(_LOAD_WORD, 5, 1, 8),
    ]
    for rule in reversed(rules):
        code += _test(rule)
        if rule.is_for_all and rule.access == "rwm":
            break
    else:
        code += [_instruction(_MOVE_IMMEDIATE, 0, immediate=0), _instruction(_EXIT)]
    return b"".join(code)


def _test(rule: Rule) -> list[bytes]:
    """Assemble one rule: jump over its verdict, to the next rule, where something does not fit."""
    verdict = [_instruction(_MOVE_IMMEDIATE, 0, immediate=int(rule.allow)), _instruction(_EXIT)]
    conditions: list[tuple[int, int, int, int]] = []  # opcode, dst, src, immediate
    if rule.kind in _KINDS:
        conditions.append((_JUMP_NOT_EQUAL, 2, 0, _KINDS[rule.kind]))
    for register, number in ((4, rule.major), (5, rule.minor)):
        if number != _ANY:
            conditions.append((_JUMP_NOT_EQUAL, register, 0, number))
    mask = 0
    for letter in rule.access:
        mask |= _ACCESS[letter]
    before: list[bytes] = []
    if mask != 7:
        before = [_instruction(_MOVE_32, 1, 3), _instruction(_AND_IMMEDIATE, 1, immediate=mask)]
        if rule.allow:
            conditions.append((_JUMP_NOT_EQUAL_REGISTER, 1, 3, 0))
        else:
            conditions.append((0x15, 1, 0, 0))  # if r1 == 0
    code = list(before)
    for index, (opcode, destination, source, immediate) in enumerate(conditions):
        over = len(conditions) - index - 1 + len(verdict)
        code.append(_instruction(opcode, destination, source, over, immediate))
    return code + verdict
