"""Send one request to one URL, and say what went wrong in terms of what can be done about it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, ProxyError

from runtime.errors import RegistryError
from runtime.registry.answers import ConnectionCut, PlainOnly, Response, Unreachable, Untrusted, brief, chain_of

if TYPE_CHECKING:
    from runtime.context import Cancel, Context
    from runtime.registry.connections import Call, Connections
    from runtime.registry.transport import Body, Readable


def exchange(
    context: Context, connections: Connections, call: Call, headers: Mapping[str, str], body: Body | bytes | None
) -> Response:
    """Send a request and return its answer.

    Raises ConnectionCut, Unreachable, Untrusted, Cancelled, and whatever reading the body raises.
    """
    sending = None
    content: object = body
    if body is not None:
        length = len(body) if isinstance(body, bytes) else body.size
        headers = {**headers, "Content-Length": str(length)}
        if not isinstance(body, bytes):
            content = sending = _Sending(body.open(), length, context.cancel)
    try:
        answer, raw = connections.send(call, headers, content)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        if sending is not None and sending.failure is not None:
            raise sending.failure from None
        context.cancel.check()
        raise _explained(error, urlsplit(call.url).netloc, call.proxy) from error
    finally:
        if sending is not None:
            sending.close()
    return Response(context, answer, raw)


class _Sending:
    """A body on its way: exactly as long as it was said to be, and its own failures told from the connection's."""

    def __init__(self, source: Readable, size: int, cancel: Cancel) -> None:
        self._source = source
        self._left = size
        self._cancel = cancel
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        self._cancel.check()
        try:
            data = self._source.read(min(size, self._left) if size >= 0 else self._left) if self._left else b""
            if self._left and not data:
                raise RegistryError(f"what is sent ends {self._left} bytes before its time: it changed meanwhile")
        except BaseException as error:
            self.failure = error
            raise
        self._left -= len(data)
        return data

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            with suppress(OSError):
                close()


def _explained(error: BaseException, host: str, proxy: str | None) -> RegistryError:
    chain = chain_of(error)
    untrusted = next((part for part in chain if isinstance(part, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return _untrusted(untrusted, host)
    if proxy and any(isinstance(part, ProxyError) for part in chain):
        where = urlsplit(proxy).netloc.rpartition("@")[2]
        said = next((str(part) for part in chain if type(part) is OSError and "Tunnel" in str(part)), "")
        return Unreachable(
            f"{host}: the proxy {where} gives no connection{': ' + said if said else ''}",
            hint="check HTTP_PROXY, HTTPS_PROXY and NO_PROXY",
        )
    if any(isinstance(part, ConnectTimeoutError) and not isinstance(part, NewConnectionError) for part in chain):
        return Unreachable(f"{host}: the connection timed out", hint="check the network and proxies")
    if any(isinstance(part, NameResolutionError) for part in chain):
        name = urlsplit(f"//{host}").hostname or host
        return Unreachable(f"lookup {name}: no such host", hint="check the name, the network, and the name server")
    new = next((part for part in chain if isinstance(part, NewConnectionError)), None)
    if new is not None:
        reason = next((part.strerror for part in chain if isinstance(part, OSError) and part.strerror), "")
        return Unreachable(
            f"{host}: {(reason or 'no connection').lower()}", hint="is a registry running there, and is the port right?"
        )
    return _broken(chain, error, host)


def _broken(chain: list[BaseException], error: BaseException, host: str) -> RegistryError:
    tls = next((part for part in chain if isinstance(part, ssl.SSLError)), None)
    if tls is not None and not isinstance(tls, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = (tls.reason or str(tls)).lower().replace("_", " ")
        if tls.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
            return PlainOnly(
                f"{host} does not speak HTTPS",
                hint=f'if it is meant to be plain HTTP: [registry."{host}"] plain_http = true in config.toml',
            )
        if "ALERT" in (tls.reason or ""):
            hint = f"a client certificate may be wanted: HOST.cert and HOST.key in ~/.config/pybuild/certs.d/{host}/"
            return Untrusted(f"{host} ends the TLS greeting: {reason}", hint=hint)
        return ConnectionCut(f"{host}: TLS failed: {reason}")
    if any(isinstance(part, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader) for part in chain):
        return RegistryError(f"{host}: the URL cannot be used")
    return ConnectionCut(f"{host}: the connection broke: {brief(error)}", hint="try again in a moment")


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> Untrusted:
    reason = error.verify_message or str(error)
    unknown = error.verify_code in (18, 19, 20, 21)  # self-signed, or an issuer that is not here (openssl-verify(1))
    words = f"certificate signed by unknown authority ({reason})" if unknown else reason
    hint = f"check the name and the clock; {host} must be among the names of the certificate"
    if unknown:
        hint = f"put the certificate of its CA into ~/.config/pybuild/certs.d/{host}/ca.crt"
    return Untrusted(f"{host}: x509: {words}", hint=hint)
