"""Why a sandbox could not be made, in words."""

from __future__ import annotations

import errno
import os

import pytest

from runtime.sandbox.failure import decode, encode, from_error


@pytest.mark.parametrize(
    ("step", "number", "told"),
    [
        ("mounts", errno.EPERM, "mounts: operation not permitted"),
        ("namespaces", errno.EPERM, "namespaces: operation not permitted: that takes CAP_SYS_ADMIN"),
        ("namespaces", errno.ENOSPC, "namespaces: no space left on device"),
        ("namespaces", errno.ENOSYS, "namespaces: this kernel does not know a call that is needed"),
    ],
)
def test_the_kernels_answer_becomes_a_sentence(step: str, number: int, told: str) -> None:
    failure = from_error(step, OSError(number, os.strerror(number)))
    assert str(failure).startswith(told)
    again = decode(encode(failure))
    assert (str(again), again.step, again.errno, again.exit_code) == (str(failure), step, number, 125)
