"""Read the small values that stand in instructions: durations, sizes, ports, signals, modes, lists.

Every function takes a value as written and returns what it means, or raises DockerfileError without a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from grammar.errors import DockerfileError
from grammar.nearest import did_you_mean

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LONGEST_DURATION = (1 << 63) - 1
_SHORTEST_INTERVAL = 1_000_000

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_SYMBOLIC_MODE = re.compile(r"[ugoa]*(?:[-+=](?:[rwxXst]+|[ugo])?)+(?:,[ugoa]*(?:[-+=](?:[rwxXst]+|[ugo])?)+)*")
_SIGNALS = frozenset(
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX".split()
    + [f"RTMIN+{number}" for number in range(1, 16)]
    + [f"RTMAX-{number}" for number in range(1, 15)]
)
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_MOST_PORTS = 1 << 18
_PROTOCOLS = ("tcp", "udp", "sctp")


def duration(text: str) -> int:
    """Return the nanoseconds of `1h30m`, `1.5s`, `-3ms`, `0`, as Go writes durations."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = position = 0
    pattern = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)", re.ASCII)
    while position < len(rest):
        match = pattern.match(rest, position)
        if match is None or not (match[1] or match[2]):
            raise DockerfileError(f'invalid duration "{text}"', hint="write it like 30s, 1m30s or 500ms")
        unit = _UNITS.get(match[3])
        if unit is None:
            what = f'unknown unit "{match[3]}" in' if match[3] else "missing unit in"
            raise DockerfileError(f'{what} duration "{text}"', hint="units are ns, us, ms, s, m and h")
        if len(match[1]) > 20:
            raise DockerfileError(f'invalid duration "{text}"', hint="it is too long to be counted")
        fraction = (match[2] or "")[:20]
        total += int(match[1] or 0) * unit + (int(fraction or 0) * unit) // 10 ** len(fraction)
        position = match.end()
    if not rest or total > _LONGEST_DURATION:
        raise DockerfileError(f'invalid duration "{text}"', hint="write it like 30s, 1m30s or 500ms")
    return sign * total


def interval(name: str, text: str | None) -> int:
    """Return the nanoseconds of a HEALTHCHECK flag; 0 and absent mean: as the runtime likes."""
    if text is None:
        return 0
    length = duration(text)
    if length != 0 and length < _SHORTEST_INTERVAL:
        raise DockerfileError(f'Interval "{name}" cannot be less than 1ms', hint=f"--{name}={text} is too short")
    return length


def retries(text: str | None) -> int:
    """Return the number of HEALTHCHECK's --retries."""
    if text is None:
        return 0
    number = _integer(text)
    if number is None or number > 0x7FFFFFFF:
        raise DockerfileError(f'--retries: invalid number "{text}"', hint="write a whole number")
    if number < 0:
        raise DockerfileError(f"--retries cannot be negative ({text})")
    return number


def boolean(key: str, text: str) -> bool:
    """Return the truth of `true`, `1`, `false`, `0` and their like."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise DockerfileError(f"invalid value for {key}: {text}", hint="write true or false")


def size(key: str, text: str) -> int:
    """Return the bytes of `64m`, `1.5GiB`, `4096`; letters are powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None or len(match[1]) > 20:
        raise DockerfileError(f"invalid value for {key}: {text}", hint="write a size like 64m or 1g")
    whole, _, fraction = match[1].partition(".")
    unit = 1 << 10 * " kmgtp".index(match[2].lower() or " ")
    return int(whole) * unit + (int(fraction or 0) * unit) // int("1" + "0" * len(fraction))


def number(key: str, text: str, *, base: int = 10) -> int:
    """Return a whole number that fits 32 bits: an id in decimal or a mode in octal (`base` 8)."""
    digits = "01234567" if base == 8 else "0123456789"
    if text and len(text) < 20 and all(character in digits for character in text) and int(text, base) <= 0xFFFFFFFF:
        return int(text, base)
    raise DockerfileError(
        f"invalid value {text} for {key}", hint="write it in octal, like 0644" if base == 8 else "write a number"
    )


def mode(text: str) -> str:
    """Return the value of --chmod if it is octal up to 07777 or symbolic (`u=rwX,go+r`)."""
    if text.isascii() and text.isdigit():
        if len(text) < 20 and all(character in "01234567" for character in text) and int(text, 8) <= 0o7777:
            return text
    elif _SYMBOLIC_MODE.fullmatch(text):
        return text
    raise DockerfileError(
        f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777",
        hint="write it like 0755 or u=rwX,go=rX",
    )


def signal(text: str) -> str:
    """Return `text` if it names a signal: a number other than 0, or a name with or without SIG."""
    value = _integer(text)
    name = text.upper().removeprefix("SIG")
    if (value is None or value == 0) and name not in _SIGNALS:
        raise DockerfileError(f"invalid signal: {text}", hint=did_you_mean(name, sorted(_SIGNALS)))
    return text


def port_range(word: str) -> tuple[int, int, str]:
    """Return first port, last port and protocol of `80`, `53/udp`, `8000-8010`, `[address:]host:80`."""
    published, _, container = word.rpartition(":")
    first, slash, protocol = container.partition("/")
    if not first:
        raise DockerfileError(f'invalid port: "{word}": no port specified', hint="write EXPOSE 80 or EXPOSE 53/udp")
    if slash and protocol.lower() not in ("", *_PROTOCOLS):
        raise DockerfileError(
            f'invalid port: "{word}": invalid proto: {protocol}',
            hint=did_you_mean(protocol, _PROTOCOLS) or "protocols are tcp, udp and sctp",
        )
    begin, end = _range(first, f"invalid containerPort: {first}")
    if published:
        address, _, host = published.rpartition(":")
        if address and not _is_address(address):
            raise DockerfileError(f"invalid IP address: {address}", hint="EXPOSE names the container's ports only")
        if host:
            host_begin, host_end = _range(host, f"invalid hostPort: {host}")
            if begin != end and end - begin != host_end - host_begin:
                raise DockerfileError(
                    f"invalid ranges specified for container and host Ports: {first} and {host}",
                    hint="EXPOSE names the container's ports only",
                )
    return begin, end, protocol.lower() or "tcp"


def _is_address(text: str) -> bool:
    from ipaddress import ip_address  # lazy: an address is a mistake, and rare

    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip_address(inner)
    except ValueError:
        return False
    return "%" not in inner


def port_list(ranges: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Return `port/protocol` for each port of the ranges, in order, as often as it is named.

    Past `_MOST_PORTS` each is listed once only: what was seen of a protocol is one integer with a bit a port, so that
    many overlapping ranges take no more time than there are ports.
    """
    seen = dict.fromkeys(_PROTOCOLS, 0)
    found: list[str] = []
    for begin, end, protocol in ranges:
        fresh = ((1 << end + 1) - (1 << begin)) & ~seen[protocol]
        seen[protocol] |= fresh
        if fresh.bit_count() == end + 1 - begin or len(found) + end - begin < _MOST_PORTS:
            found += (f"{port}/{protocol}" for port in range(begin, end + 1))
            continue
        while fresh:
            found.append(f"{(fresh & -fresh).bit_length() - 1}/{protocol}")
            fresh &= fresh - 1
    return tuple(found)


def fields(text: str) -> list[str]:
    """Return the comma-separated fields of a --mount or --device; double quotes round a field keep its commas."""
    result: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            field, position = _quoted_field(text, position + 1)
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            field, position = text[position:end], end
            if '"' in field:
                raise DockerfileError(f'bare " in a field of {text}', hint="put the whole field in double quotes")
        result.append(field)
        if position >= len(text):
            return result
        position += 1


def _quoted_field(text: str, begin: int) -> tuple[str, int]:
    """Return the field whose opening quote stands before `begin`, and the place behind its closing quote."""
    parts: list[str] = []
    while True:
        end = text.find('"', begin)
        if end < 0:
            raise DockerfileError(f'missing closing " in {text}')
        parts.append(text[begin:end])
        if not text.startswith('"', end + 1):
            break
        parts.append('"')
        begin = end + 2
    if end + 1 < len(text) and text[end + 1] != ",":
        raise DockerfileError(f'extraneous or missing " in {text}', hint="put the whole field in double quotes")
    return "".join(parts), end + 1


def _range(text: str, message: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    begin = _port(first)
    end = _port(last) if dash else begin
    if begin is None or end is None or end < begin:
        raise DockerfileError(message, hint="ports are numbers up to 65535, ranges like 8000-8010")
    return begin, end


def _port(text: str) -> int | None:
    value = _integer(text)
    return value if value is not None and 0 <= value <= 65535 else None


def _integer(text: str) -> int | None:
    """Return a whole number in decimal, or None; longer than any that counts is none."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
