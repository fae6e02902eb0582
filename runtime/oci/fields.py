"""Read untrusted JSON field by field: an absent field and `null` are one, and a wrong type names the field.

A `Reader` stands on one JSON object and knows the path to it, so that an error says `config.Env[2]: …`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from runtime.errors import DocumentError
from runtime.oci.digests import Digest, parse_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MANIFEST_LIMIT = 4 << 20
"""Bytes that a manifest, index or config may have (OCI distribution-spec § Pushing Manifests asks for 4 MiB)."""

DEPTH_LIMIT = 128
"""Levels of nesting that a document may have: far more than any has, far less than Python's recursion."""

Json = Mapping[str, object]

_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "an object"}


def decode_object(data: bytes | str, what: str, *, limit: int = MANIFEST_LIMIT) -> dict[str, object]:
    """Decode a JSON object of at most `limit` bytes; `what` names the document in the DocumentError otherwise."""
    value = decode_value(data, what, limit=limit)
    if not isinstance(value, dict):
        raise DocumentError(f"{what} must be an object, is {_describe(value)}")
    return value


def decode_value(data: bytes | str, what: str, *, limit: int = MANIFEST_LIMIT) -> object:
    """Decode any JSON value within the limits of size and depth; half surrogates become U+FFFD, as in Go."""
    if len(data) > limit:
        raise DocumentError(f"{what} has {len(data)} bytes, more than the {limit} that are allowed")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise DocumentError(f"{what} is not UTF-8 at byte {error.start}") from error
    except RecursionError:
        raise DocumentError(f"{what} is nested more than {DEPTH_LIMIT} levels deep") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise DocumentError(f"{what} is not JSON: {error}") from error
    if text.count("[") + text.count("{") > DEPTH_LIMIT and _too_deep(value):
        raise DocumentError(f"{what} is nested more than {DEPTH_LIMIT} levels deep")
    if "\\u" in text:
        value = _whole_characters(value)
    return value


class Reader:
    """One JSON object whose fields are read by type; `path` is what leads to it, "" for the document itself."""

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise DocumentError(f"must be an object, is {_describe(value)}", field=path)
        self.value: dict[str, object] = value
        self.path = path

    def field(self, name: str) -> str:
        """Give the path of a field, for messages."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Tell whether the field is there and not null."""
        return self.value.get(name) is not None

    def optional_text(self, name: str) -> str | None:
        """Read a string."""
        value = self.value.get(name)
        return value if value is None or isinstance(value, str) else self._wrong(name, "a string")

    def text(self, name: str) -> str:
        """Read a string that must be there."""
        value = self.optional_text(name)
        return self._missing(name) if value is None else value

    def optional_integer(self, name: str) -> int | None:
        """Read an integer; a boolean or a fraction is none."""
        value = self.value.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        return self._wrong(name, "an integer")

    def integer(self, name: str) -> int:
        """Read an integer that must be there."""
        value = self.optional_integer(name)
        return self._missing(name) if value is None else value

    def size(self, name: str) -> int:
        """Read a size in bytes that must be there; raises DocumentError where it is negative."""
        value = self.integer(name)
        if value < 0:
            raise DocumentError(f"must not be negative, is {value}", field=self.field(name))
        return value

    def boolean(self, name: str) -> bool:
        """Read a boolean; absent is false."""
        value = self.value.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        return self._wrong(name, "a boolean")

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """Read a list of strings."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self._wrong(name, "a list of strings")
        for number, item in enumerate(value):
            if not isinstance(item, str):
                raise DocumentError(f"must be a string, is {_describe(item)}", field=f"{self.field(name)}[{number}]")
        return tuple(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of strings; absent is empty."""
        return self.optional_texts(name) or ()

    def text_map(self, name: str) -> dict[str, str]:
        """Read an object whose values are strings, in its order; absent is empty, a null value is ""."""
        value = self.mapping(name)
        found = {}
        for key, item in value.items():
            if item is not None and not isinstance(item, str):
                raise DocumentError(f"must be a string, is {_describe(item)}", field=f"{self.field(name)}[{key!r}]")
            found[key] = item or ""
        return found

    def keys(self, name: str) -> tuple[str, ...]:
        """Read a set as Go writes it, `{"80/tcp": {}}`: its keys, sorted; absent is empty."""
        return tuple(sorted(self.mapping(name)))

    def mapping(self, name: str) -> dict[str, object]:
        """Read an object as it is; absent is empty."""
        value = self.value.get(name)
        if value is None:
            return {}
        return value if isinstance(value, dict) else self._wrong(name, "an object")

    def optional_reader(self, name: str) -> Reader | None:
        """Read an object by its fields."""
        value = self.value.get(name)
        return None if value is None else Reader(value, self.field(name))

    def reader(self, name: str) -> Reader:
        """Read an object by its fields that must be there."""
        return self.optional_reader(name) or self._missing(name)

    def items(self, name: str) -> tuple[Reader, ...]:
        """Read a list of objects; absent is empty."""
        value = self.value.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._wrong(name, "a list of objects")
        return tuple(Reader(item, f"{self.field(name)}[{number}]") for number, item in enumerate(value))

    def digest(self, name: str) -> Digest:
        """Read a digest that must be there."""
        text = self.text(name)
        try:
            return parse_digest(text)
        except DocumentError as error:
            raise DocumentError(error.message, field=self.field(name), hint=error.hint) from None

    def digests(self, name: str) -> tuple[Digest, ...]:
        """Read a list of digests; absent is empty."""
        found = []
        for number, text in enumerate(self.texts(name)):
            try:
                found.append(parse_digest(text))
            except DocumentError as error:
                raise DocumentError(error.message, field=f"{self.field(name)}[{number}]", hint=error.hint) from None
        return tuple(found)

    def others(self, known: Iterable[str]) -> dict[str, object]:
        """Give the fields that are not among `known`, as they are: what a rewritten document must keep."""
        names = frozenset(known)
        return {name: value for name, value in self.value.items() if name not in names}

    def _wrong(self, name: str, wanted: str) -> NoReturn:
        raise DocumentError(f"must be {wanted}, is {_describe(self.value[name])}", field=self.field(name))

    def _missing(self, name: str) -> NoReturn:
        raise DocumentError("is missing", field=self.field(name))


def _describe(value: object) -> str:
    if value is None:
        return "null"
    shown = f" ({ascii(value)[:40]})" if isinstance(value, str | int | float) else ""
    return _NAMES.get(type(value), type(value).__name__) + shown


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEPTH_LIMIT):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(v for v in item.values() if isinstance(v, dict | list))
            elif isinstance(item, list):
                inner.extend(v for v in item if isinstance(v, dict | list))
        if not inner:
            return False
        level = inner
    return True


def _whole_characters(value: object) -> object:
    """Replace half surrogates, which an escape can smuggle in and which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {str(_whole_characters(key)): _whole_characters(item) for key, item in value.items()}
    return value
