"""Netlink's bytes: what is written, what is read, and that nothing which is read can do harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network import netlink
from runtime.network.rtnetlink import RTM_GETLINK, Rtnetlink


def test_an_attribute_is_padded_but_its_length_is_not() -> None:
    assert netlink.attribute(3, b"abcde") == struct.pack("=HH", 9, 3) + b"abcde\0\0\0"


def test_a_text_ends_with_a_zero_byte_that_counts() -> None:
    assert netlink.text(3, "lo") == struct.pack("=HH", 7, 3) + b"lo\0\0"


def test_a_nested_attribute_is_marked_as_such_and_holds_the_others() -> None:
    inner = netlink.u32(4, 1500)
    assert netlink.nested(18, inner, inner) == struct.pack("=HH", 20, 18 | 0x8000) + inner + inner


def test_a_message_carries_its_length_kind_flags_and_number() -> None:
    assert netlink.pack_message(16, 5, 7, b"xyz") == struct.pack("=IHHII", 19, 16, 5, 7, 0) + b"xyz\0"


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=70))))
def test_attributes_that_were_written_are_read_again(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in pairs)
    assert list(netlink.each_attribute(data)) == pairs


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read_as_messages_and_attributes(data: bytes) -> None:
    for _, _, _, body in netlink.unpack_messages(data):
        list(netlink.each_attribute(body))


def test_an_error_says_what_was_being_done_and_what_the_kernel_thought() -> None:
    with Rtnetlink() as links, pytest.raises(OSError, match="the words: ") as caught:
        links.ask(netlink.Message(RTM_GETLINK, 0, b"\0", "the words"))
    assert caught.value.errno == 22


def test_an_answer_that_was_to_be_expected_is_no_error() -> None:
    message = netlink.Message(RTM_GETLINK, 0, b"\0", "too short", (22,))
    with Rtnetlink() as links:
        assert links.ask(message) is None


def test_an_extended_acknowledgement_is_read_behind_the_capped_header() -> None:
    body = struct.pack("=i", -34) + bytes(16) + netlink.text(1, "Attribute failed policy validation")
    flags = netlink.NLM_F_CAPPED | netlink.NLM_F_ACK_TLVS
    error = netlink.error_of(flags, body)
    assert error == (34, "Attribute failed policy validation")


def test_an_acknowledgement_is_no_error() -> None:
    assert netlink.error_of(0, struct.pack("=i", 0) + bytes(16)) is None


def test_the_kernel_answers_every_user_about_the_loopback() -> None:
    with Rtnetlink() as links:
        link = links.link("lo")
        assert link is not None
        assert link.index == 1
        assert "lo" in {other.name for other in links.links()}
        assert links.link("no-such-link") is None
