"""Profiles of the user's own become programs, with their conditions; what they should not say is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.context import Context, Layout
from runtime.errors import PybuildError, UsageError
from runtime.oci import runtimespec
from runtime.sandbox import profile
from runtime.sandbox.customprofile import compile_document, compiled_from
from runtime.sandbox.seccomp import compile_program
from tests.runtime.sandbox.test_seccomp import I386, X86_64, decide

MACHINE = os.uname().machine
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(MACHINE, MACHINE)
NONE: frozenset[str] = frozenset()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")


def program(capabilities: frozenset[str] = NONE, kernel: str = "6.1.0-1", **document: Any) -> bytes:
    made = compile_document({"defaultAction": "SCMP_ACT_ALLOW", **document}, MACHINE, kernel, capabilities)
    assert len(made) % 8 == 0
    return made


def refusing(**conditions: Any) -> dict[str, Any]:
    return {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", **conditions}


def test_a_rule_makes_another_program() -> None:
    assert program(syscalls=[refusing()]) != program()
    assert program(syscalls=[refusing(errnoRet=38)]) != program(syscalls=[refusing()])


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, False),
        ({"includes": {"arches": [ARCH]}}, True),
        ({"includes": {"arches": ["other"]}}, False),
        ({"excludes": {"arches": [ARCH]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
        ({"includes": {}, "excludes": {}}, True),
    ],
)
def test_conditions_decide_whether_a_rule_applies(conditions: dict[str, Any], applies: bool) -> None:
    held = frozenset(("CAP_CHOWN",))
    assert (program(held, syscalls=[refusing(**conditions)]) != program(held)) is applies


def test_conditions_of_one_argument_are_alternatives() -> None:
    def of(index: int, value: int) -> dict[str, Any]:
        return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}

    both = program(syscalls=[refusing(names=["kill"], args=[of(1, 10), of(1, 12)])])
    apart = program(syscalls=[refusing(names=["kill"], args=[of(1, number)]) for number in (10, 12)])
    assert both == apart
    assert both != program(syscalls=[refusing(names=["kill"], args=[of(0, 10), of(1, 12)])])


def test_names_that_no_kernel_has_mean_nothing() -> None:
    assert program(syscalls=[refusing(names=["no_such_call"])]) == program()


def test_what_a_profile_does_not_name_gets_its_error() -> None:
    plain = program(defaultAction="SCMP_ACT_ERRNO", syscalls=[{"name": "read", "action": "SCMP_ACT_ALLOW"}])
    other = program(
        defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=38, syscalls=[{"name": "read", "action": "SCMP_ACT_ALLOW"}]
    )
    assert plain != other


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "action 'SCMP_ACT_NOTIFY' cannot be had"),
        ({"syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}, "use either 'name' or 'names'"),
        (
            {"architectures": ["SCMP_ARCH_X86_64"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]},
            "use either 'architectures' or 'archMap'",
        ),
        ({"syscalls": [refusing(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH"}])]}, "comparison"),
        (
            {"syscalls": [refusing(args=[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}])]},
            "no argument of a system call",
        ),
        ({"syscalls": [refusing(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])]}, "no argument of a system"),
        ({"syscalls": [refusing(errnoRet=4096)]}, "4096 is no number of an error"),
        ({"syscalls": [refusing(names=[])]}, r"syscalls\[0\] names no system call"),
        ({"syscalls": [refusing(includes={"minKernel": "new"})]}, "'new' is no version of a kernel"),
        ({"architectures": ["SCMP_ARCH_NOSUCH"]}, "architecture 'NOSUCH' is not known"),
        ({"flags": ["SECCOMP_FILTER_FLAG_LOG"]}, "'flags' cannot be had"),
    ],
)
def test_what_a_profile_should_not_say_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        program(**document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "nested"),
        ("[]", "must be an object"),
        ("{}", "defaultAction: is missing"),
        ('{"defaultAction": 1}', "defaultAction: must be a string"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}', r"syscalls\[0\]: must be an object"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "kill"}]}',
            "names: must be a list|action: is missing",
        ),
    ],
)
def test_a_profile_of_another_shape_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    context = Context(layout=Layout(root=tmp_path, run=tmp_path, key="0" * 10), environ={}, rootless=False)
    with pytest.raises(PybuildError, match=message):
        compiled_from(context, text, ())


def test_a_program_is_kept(tmp_path: Path) -> None:
    context = Context(layout=Layout(root=tmp_path, run=tmp_path, key="0" * 10), environ={}, rootless=False)
    text = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    first = compiled_from(context, text, ("CAP_CHOWN",))
    assert compiled_from(context, text, ("CAP_CHOWN",)) == first
    assert first.parent == tmp_path / "seccomp"
    assert compiled_from(context, text, ()) != first


def _default_document() -> dict[str, Any]:
    """Write the default profile as a document."""

    def allow(names: str, **conditions: Any) -> dict[str, Any]:
        return {"names": names.split(), "action": "SCMP_ACT_ALLOW", **conditions}

    def compare(value: int, op: str) -> list[dict[str, Any]]:
        return [{"index": 0, "value": value, "valueTwo": 0, "op": f"SCMP_CMP_{op}"}]

    unprivileged = {"excludes": {"caps": ["CAP_SYS_ADMIN"]}}
    rules = [allow(" ".join(profile.ALWAYS.values())), allow(profile.SINCE_KERNEL_4_8, includes={"minKernel": "4.8"})]
    rules += [allow("socket", args=compare(profile.AF_VSOCK, "NE"))]
    rules += [allow("personality", args=compare(value, "EQ")) for value in profile.PERSONALITIES]
    rules += [allow(names, includes={"arches": [machine]}) for machine, names in NAMED.items()]
    rules += [allow(names, includes={"caps": [capability]}) for capability, names in profile.WITH_CAPABILITY.items()]
    rules += [allow("clone", args=compare(profile.CLONE_NAMESPACES, "MASKED_EQ"), **unprivileged)]
    rules += [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, **unprivileged}]
    architecture = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": [architecture], "syscalls": rules}


CONDITIONAL = frozenset((41, 56, 120, 135, 136, 359))
"""Numbers of socket, clone and personality on x86-64 and i386: their arguments count."""

NAMED = {"amd64": profile.ON_MACHINE["x86_64"], "s390x": profile.ON_MACHINE["s390x"]}


@pytest.mark.skipif(MACHINE != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("capabilities", [(), runtimespec.DEFAULT_CAPABILITIES, runtimespec.CAPABILITIES])
def test_the_default_profile_as_a_document_answers_as_the_default_does(capabilities: tuple[str, ...]) -> None:
    held = frozenset(capabilities)
    mine = compile_document(_default_document(), MACHINE, "6.1.0", held)
    default = compile_program(MACHINE, held)
    numbers = [(X86_64, number) for number in (*range(600), *range(0x40000000, 0x40000000 + 560))]
    numbers += [(I386, number) for number in range(600)]
    for architecture, number in numbers:
        for argument in (0, 8, 40, 0x10000000, 0xFFFFFFFF) if number & 0xFFF in CONDITIONAL else (0x10000000,):
            answers = [decide(program, architecture, number, argument) for program in (mine, default)]
            assert answers[0] == answers[1], (hex(architecture), number, argument)
