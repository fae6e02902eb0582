"""Speak netlink: messages and attributes as bytes, one socket, acknowledged requests, dumps (RFC 3549; netlink(7)).

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import _socket
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AF_NETLINK = 16
NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLM_F_DUMP_INTR = 0x10

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 18
_DUMP_TRIES = 5
"""Times that a dump is asked for again because the table changed while it was read."""


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    length = len(value) + 4
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """Return an attribute that holds a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """Return an attribute that holds 32 bits in the machine's byte order."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """Read a row of attributes; of several of one kind the last stays. Broken ones end the reading."""
    found: dict[int, bytes] = {}
    for kind, value in each_attribute(data):
        found[kind] = value
    return found


def each_attribute(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, value) of a row of attributes, in order."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += length + (-length % 4)


def string(value: bytes) -> str:
    """Read a NUL-terminated string."""
    return value.partition(b"\0")[0].decode("utf-8", "replace")


def pack_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return one message with its header, padded to four bytes."""
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, kind, flags, sequence, 0) + body + bytes(-length % 4)


def unpack_messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (kind, flags, sequence, body) of each message in a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


class Message:
    """One request: its kind, flags besides NLM_F_REQUEST, body, and `about`, the words an error is told with.

    `tolerate` are errno values that count as success.
    """

    __slots__ = ("about", "body", "flags", "kind", "tolerate")

    def __init__(self, kind: int, flags: int, body: bytes, about: str, tolerate: tuple[int, ...] = ()) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body
        self.about = about
        self.tolerate = tolerate


class Netlink:
    """A socket of one netlink protocol, bound to the network namespace that its thread is in when it is made.

    A context manager. Errors of the kernel are raised as OSError(errno, text), text made of the message's `about` and
    the kernel's own words where it gives some.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = _socket.socket(AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def transact(self, messages: Iterable[Message], *, before: bytes = b"", after: bytes = b"") -> None:
        """Send all messages in one datagram and wait until each is acknowledged; raises the first error.

        `before` and `after` are whole messages, with sequence number 0, that are not acknowledged (nfnetlink's batch
        marks). On NETLINK_ROUTE the kernel takes the messages one by one and later ones run although an earlier one
        failed.
        """
        waiting: dict[int, Message] = {}
        packed = [before]
        for message in messages:
            self._sequence += 1
            waiting[self._sequence] = message
            packed.append(
                pack_message(message.kind, message.flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, message.body)
            )
        packed.append(after)
        self._socket.send(b"".join(packed))
        failure: OSError | None = None
        while waiting:
            for kind, flags, sequence, body in unpack_messages(self._socket.recv(_RECEIVE)):
                if kind != NLMSG_ERROR:
                    continue
                error = error_of(flags, body)
                answered = waiting.pop(sequence, None)
                if error is None or failure is not None or (answered and error[0] in answered.tolerate):
                    continue
                if answered is None:  # the batch was refused as a whole: no other answer will come
                    raise _os_error(error, next(iter(waiting.values())).about)
                failure = _os_error(error, answered.about)
        if failure is not None:
            raise failure

    def ask(self, message: Message) -> bytes | None:
        """Send one request for one object; returns the answer's body, None where there is no such object.

        What counts as missing is `message.tolerate`.
        """
        replies = self._replies(message, 0)
        return replies[0] if replies else None

    def dump(self, message: Message) -> list[bytes]:
        """Ask for all objects of a kind; returns their bodies. Asks again where the table changed meanwhile."""
        for _ in range(_DUMP_TRIES - 1):
            try:
                return self._replies(message, NLM_F_DUMP)
            except InterruptedError:
                continue
        return self._replies(message, NLM_F_DUMP)

    def _replies(self, message: Message, flags: int) -> list[bytes]:
        self._sequence += 1
        wanted = self._sequence
        request = flags | message.flags | NLM_F_REQUEST
        if not flags:
            request |= NLM_F_ACK  # the mark at which an answer of unknown length ends
        self._socket.send(pack_message(message.kind, request, wanted, message.body))
        found: list[bytes] = []
        interrupted = False
        while True:
            for kind, reply_flags, sequence, body in unpack_messages(self._socket.recv(_RECEIVE)):
                if sequence != wanted:
                    continue  # the rest of a dump that was given up
                interrupted = interrupted or bool(flags and reply_flags & NLM_F_DUMP_INTR)
                if kind in {NLMSG_DONE, NLMSG_ERROR}:
                    error = error_of(reply_flags, body) if kind == NLMSG_ERROR else _done(body)
                    if error is not None and error[0] not in message.tolerate:
                        raise _os_error(error, message.about)
                    if interrupted:
                        raise InterruptedError(4, f"{message.about}: changed while it was read")
                    return found
                found.append(body)


def _done(body: bytes) -> tuple[int, str] | None:
    code = struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    return (-code, "") if code < 0 else None


def error_of(flags: int, body: bytes) -> tuple[int, str] | None:
    """Read an NLMSG_ERROR: None for an acknowledgement, else errno and the kernel's words (may be empty)."""
    code = -struct.unpack_from("=i", body)[0]
    if code == 0:
        return None
    words = ""
    if flags & NLM_F_ACK_TLVS:
        length = _HEADER.unpack_from(body, 4)[0]
        start = 4 + (_HEADER.size if flags & NLM_F_CAPPED else length + (-length % 4))
        words = string(attributes(body[start:]).get(_NLMSGERR_ATTR_MSG, b""))
    return code, words


def _os_error(error: tuple[int, str], about: str) -> OSError:
    code, words = error
    reason = os.strerror(code)
    return OSError(code, f"{about}: {reason} ({words})" if words else f"{about}: {reason}")
