"""Read what a server answered: a body with a bound, an error in a sentence, and when to come back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.errors import RegistryError
from runtime.registry.auth import error_text

if TYPE_CHECKING:
    import requests
    from urllib3 import BaseHTTPResponse

    from runtime.context import Context

ERROR_LIMIT = 65536
"""Bytes of an error body that are read."""
HEALING = (408, 429, 500, 502, 503, 504)
"""Statuses after which another try may do better."""


class ConnectionCut(RegistryError):
    """The connection broke, or nothing came any more: another try may do better."""


class Unreachable(RegistryError):
    """No connection could be made: another try at once would do no better."""


class PlainOnly(Unreachable):
    """A server answered a TLS greeting with something else."""


class Untrusted(RegistryError):
    """TLS could not be agreed upon: a certificate is not trusted, or a client certificate is missing."""


class Refused(RegistryError):
    """An answer with a status that is no success; `wait`: after how many seconds to come back, if that was said."""

    def __init__(self, message: str, *, status: int, code: str, hint: str | None, wait: float | None) -> None:
        super().__init__(message, status=status, code=code, hint=hint)
        self.wait = wait


def heals(error: RegistryError) -> bool:
    """Tell whether what failed may work when it is tried again."""
    return isinstance(error, ConnectionCut) or (isinstance(error, Refused) and error.status in HEALING)


class Response:
    """An answer whose body has not been read; a context manager, after which its connection is free.

    `headers` takes names in any case. `url` is where the answer came from, after redirects.
    """

    def __init__(self, context: Context, answer: requests.Response, raw: BaseHTTPResponse) -> None:
        self._context = context
        self._raw = raw
        self.status = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self.url = str(answer.url)

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, b"" at the end; raises ConnectionCut where the body ends early, Cancelled."""
        from urllib3.exceptions import HTTPError

        self._context.cancel.check()
        try:
            # As it was sent: a digest is over that, whatever Content-Encoding says.
            data = self._raw.read(size, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            self._raw.close()
            self._context.cancel.check()
            raise ConnectionCut(f"{self.host}: the connection broke: {brief(error)}") from error
        if not data:
            self._context.cancel.check()  # a cancellation ends connections as their end would
        return data

    def whole(self, limit: int, *, patience: float = 120) -> bytes:
        """Read all of the body within `patience` seconds; raises RegistryError where it has more than `limit` bytes."""
        parts: list[bytes] = []
        left = limit + 1
        end = time.monotonic() + patience
        while left > 0 and (data := self.read(min(left, 65536))):
            parts.append(data)
            left -= len(data)
            if time.monotonic() > end:
                raise ConnectionCut(f"{self.host}: the answer took more than {patience:g} s")
        if left <= 0:
            raise RegistryError(f"{self.host} sent more than the {limit} bytes that this may have", status=self.status)
        return b"".join(parts)

    @property
    def host(self) -> str:
        """The server, `name[:port]`."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def close(self) -> None:
        """Give the connection back if all was read, end it otherwise."""
        if self._raw.closed:
            self._raw.release_conn()
        else:
            self._raw.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def brief(error: BaseException) -> str:
    """Put the cause of a broken connection in a few words, without addresses of objects and without URLs."""
    names = {
        "TooSlow": "it came so slowly that it would never end",
        "ReadTimeoutError": "nothing came any more",
        "TimeoutError": "nothing came any more",
        "IncompleteRead": "it ended before its time",
        "RemoteDisconnected": "it was closed without an answer",
        "ConnectionResetError": "it was reset",
        "BrokenPipeError": "it was closed",
        "SSLEOFError": "it ended before its time",
        "SSLZeroReturnError": "it was closed",
        "BadStatusLine": "the answer is not HTTP",
        "InvalidChunkLength": "the answer is not HTTP",
        "InvalidHeader": "the answer is not HTTP",
        "HTTPException": "the answer is not HTTP",
    }
    known = [name for part in chain_of(error) for kind in type(part).__mro__ if (name := kind.__name__) in names]
    if not known:
        return type(error).__name__
    return names["TooSlow" if "TooSlow" in known else known[0]]


def chain_of(error: BaseException) -> list[BaseException]:
    """List an exception and those that it wraps, in whichever way its library does, the outermost first."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 20:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            waiting += [getattr(item, "reason", None), *item.args, item.__cause__, item.__context__]
    return found


def retry_after(headers: Mapping[str, str], now: int) -> float | None:
    """Give the seconds after which to come back, None where nothing was said; `now`: nanoseconds since the epoch."""
    text = (headers.get("Retry-After") or headers.get("X-Retry-After") or "").strip()
    if text.isdecimal():
        number = float(text[:12])
        return max(number - now / 1e9, 0) if number > 1e9 else number  # some give the time of day
    from email.utils import parsedate_to_datetime  # lazy: 8 ms

    try:
        return max(parsedate_to_datetime(text).timestamp() - now / 1e9, 0)
    except (ValueError, TypeError, OverflowError):
        return None


def duration(seconds: float) -> str:
    """Say a duration in words."""
    if seconds < 120:
        return f"{max(round(seconds), 1)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{round(seconds / 3600)} hours"


def failure(response: Response, now: int) -> Refused:
    """Read an error's body, closing the response, and put it in an exception; `now`: nanoseconds since the epoch."""
    with response:
        try:
            data = response.whole(ERROR_LIMIT)
        except RegistryError:
            data = b""
    wait = retry_after(response.headers, now) if response.status in HEALING else None
    said = error_text(data) or _reason(response.status)
    message = f"{response.host}: {said}"
    hint = None
    if response.status == 429:
        message = f"toomanyrequests: {message}"
        hint = "come back in a few minutes; registries often allow more to users who have logged in"
    elif response.status >= 500:
        message = f"{message} (status {response.status})" if str(response.status) not in message else message
        hint = "the registry has a fault; come back in a few minutes"
    if wait:
        hint = f"it asks to come back in {duration(wait)}"
    return Refused(message, status=response.status, code=_code(data), hint=hint, wait=wait)


def _code(data: bytes) -> str:
    import json

    try:
        errors = json.loads(data)["errors"]
        code = errors[0]["code"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""
    return code[:64] if isinstance(code, str) else ""


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return f"status {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"
