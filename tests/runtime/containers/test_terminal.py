from __future__ import annotations

import os
import pty
import termios

import pytest

from runtime.containers.terminal import KeyFilter, parse_detach_keys, raw_mode, window
from runtime.errors import UsageError


def test_the_modes_come_back_after_an_exception() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with pytest.raises(RuntimeError), raw_mode(slave):
        assert termios.tcgetattr(slave) != before
        raise RuntimeError
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_what_is_no_terminal_has_no_size() -> None:
    reader, writer = os.pipe()
    assert window(reader) is None
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("text", "keys"), [("ctrl-p,ctrl-q", b"\x10\x11"), ("a,ctrl-@", b"a\x00"), ("", b""), ("ctrl-]", b"\x1d")]
)
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ab", "ctrl-1", "a,,b"])
def test_wrong_detach_keys_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse_detach_keys(text)


def test_the_first_key_is_held_back_until_the_second() -> None:
    keys = KeyFilter(b"\x10\x11")
    assert keys.feed(b"a\x10") == b"a"
    assert keys.feed(b"b") == b"\x10b"
    assert keys.feed(b"c\x10\x10") == b"c\x10"
    assert not keys.detached
    assert keys.feed(b"\x11more") == b""
    assert keys.detached
