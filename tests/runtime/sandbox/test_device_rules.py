"""The device program decides as the rules say, and the kernel takes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import iter_unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.oci import runtimespec
from runtime.sandbox.device_rules import Rule, assemble, attach_to_v2, rules_of

_LETTERS = {"m": 1, "r": 2, "w": 4}


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Interpret the few instructions that the assembler uses."""
    bits = sum(_LETTERS[letter] for letter in access)
    context = {0: {"b": 1, "c": 2}[kind] | bits << 16, 4: major, 8: minor}
    registers = [0] * 11
    code = list(iter_unpack("BBhi", program))
    position = 0
    while True:
        opcode, pair, offset, immediate = code[position]
        destination, source = pair & 15, pair >> 4
        position += 1
        match opcode:
            case 0x61:
                registers[destination] = context[offset]
            case 0x54:
                registers[destination] &= immediate
            case 0x74:
                registers[destination] >>= immediate
            case 0xBC:
                registers[destination] = registers[source]
            case 0xB7:
                registers[destination] = immediate
            case 0x55:
                position += offset if registers[destination] != immediate else 0
            case 0x15:
                position += offset if registers[destination] == immediate else 0
            case 0x5D:
                position += offset if registers[destination] != registers[source] else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(hex(opcode))


def expected(rules: list[Rule], kind: str, major: int, minor: int, access: str) -> bool:
    for rule in reversed(rules):
        same_device = rule.kind in ("a", kind) and rule.major in (-1, major) and rule.minor in (-1, minor)
        if not same_device:
            continue
        if rule.allow and set(access) <= set(rule.access):
            return True
        if not rule.allow and set(access) & set(rule.access):
            return False
    return False


kinds = st.sampled_from("bc")
numbers = st.integers(0, 3)
accesses = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
rule = st.builds(Rule, st.booleans(), st.sampled_from("abc"), st.integers(-1, 3), st.integers(-1, 3), accesses)


@given(rules=st.lists(rule, max_size=6), kind=kinds, major=numbers, minor=numbers, access=accesses)
def test_the_program_decides_as_the_last_rule_that_fits(
    rules: list[Rule], kind: str, major: int, minor: int, access: str
) -> None:
    assert run(assemble(rules), kind, major, minor, access) == expected(rules, kind, major, minor, access)


@pytest.mark.parametrize(
    ("device", "allowed"),
    [
        (("c", 1, 3, "rw"), True),
        (("c", 5, 2, "rw"), True),
        (("c", 136, 7, "rw"), True),
        (("b", 8, 0, "m"), True),
        (("b", 8, 0, "r"), False),
        (("c", 1, 1, "r"), False),
        (("c", 10, 229, "rw"), False),
    ],
)
def test_the_default_list_lets_standard_devices_be_used_and_any_node_be_made(
    device: tuple[str, int, int, str], allowed: bool
) -> None:
    document = runtimespec.container_spec(args=["true"])
    assert run(assemble(rules_of(document["linux"]["resources"]["devices"])), *device) is allowed


def test_rules_are_written_as_version_1_reads_them() -> None:
    texts = [
        str(found) for found in rules_of(runtimespec.container_spec(args=["true"])["linux"]["resources"]["devices"])
    ]
    assert texts[0] == "a"
    assert texts[1:4] == ["c *:* m", "b *:* m", "c 1:5 rwm"]


@pytest.fixture
def group(missing: Callable[[str], None]) -> Iterator[Path]:
    for mount in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (mount / "cgroup.controllers").exists():
            path = mount / f"pybuild-ffffffffff-{os.getpid()}"
            path.mkdir()
            yield path
            path.rmdir()
            return
    missing("a cgroup hierarchy of version 2")


@pytest.mark.root
@pytest.mark.cgroup
def test_the_kernel_enforces_the_program_on_version_2(group: Path, tmp_path: Path) -> None:
    attach_to_v2(str(group), rules_of(runtimespec.container_spec(args=["true"])["linux"]["resources"]["devices"]))
    node = tmp_path / "mem"
    os.mknod(node, 0o600 | 0o020000, os.makedev(1, 1))
    script = f"echo $$ >{group}/cgroup.procs; exec 2>&1; cat {node}; head -c 1 /dev/zero | wc -c"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert "Operation not permitted" in result.stdout
    assert result.stdout.endswith("1\n")
