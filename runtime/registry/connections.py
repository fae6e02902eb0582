"""Hold connections to servers: pools, TLS, proxies, time-outs, and sockets that a cancellation closes at once.

`requests` and `urllib3` are used here and nowhere else. Nothing of the process' environment reaches them: no proxies,
no netrc, no CA bundle of their own; redirects and retries are left to `transport`.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from http.client import HTTPException
from http.client import HTTPResponse as PlainResponse
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from frozen import Frozen
from runtime.context import Cancel
from runtime.errors import RegistryError
from runtime.registry.hosts import Tls
from runtime.registry.sockets import PlainSocket, TlsSocket

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPResponse
    from urllib3.connectionpool import ConnectionPool

BLOCK = 1 << 20
"""Bytes that go from a body to a socket at a time: urllib3's own 16 KiB cost a third of the speed."""
_POOL = 16
"""Idle connections that are kept to one server."""
_TRAILERS = 100
"""Lines that may stand behind a body in chunks, each of 64 KiB at most: as many as http.client lets be a head."""
_HEAD = 30.0
"""Seconds in which the head of an answer has to be here once it could have begun."""


class Call(Frozen):
    """One request to one URL."""

    method: str
    url: str
    tls: Tls
    proxy: str | None
    timeout: tuple[float, float]
    """Seconds to connect, and to wait for a byte of the answer."""


class Guard:
    """Closes every socket when the context is cancelled, so that no thread stays in a read or write."""

    def __init__(self, cancel: Cancel) -> None:
        self.cancel = cancel
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._end, self._writer = os.pipe2(os.O_CLOEXEC)
        self._thread: threading.Thread | None = None

    def watch(self, connection: socket.socket) -> None:
        """Take a socket under guard; it is let go when nobody else holds it."""
        with self._lock:
            self._sockets.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="registry-guard", daemon=True)
                self._thread.start()
        if self.cancel.signal:
            _shut(connection)

    def close(self) -> None:
        """End the thread."""
        os.close(self._writer)
        if self._thread is not None:
            self._thread.join()
        os.close(self._end)

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self.cancel.fd, select.POLLIN)
        poller.register(self._end, select.POLLIN)
        ready = {number for number, _ in poller.poll()}
        if self._end in ready:
            return
        with self._lock:
            sockets = list(self._sockets)
        for connection in sockets:
            _shut(connection)


def _shut(connection: socket.socket) -> None:
    try:
        # Not the method of an SSLSocket, which forgets its keys under the hands of the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        pass


class Connections:
    """Connections to any number of servers; threads share them. Closed by `close`."""

    def __init__(self, cancel: Cancel, environ: Mapping[str, str]) -> None:
        self._guard = Guard(cancel)
        self._environ = environ
        self._adapters: dict[Tls | None, _Adapter] = {}
        self._lock = threading.Lock()

    def send(self, call: Call, headers: Mapping[str, str], body: object) -> tuple[requests.Response, BaseHTTPResponse]:
        """Send one request; the answer's body is still to be read. `headers` say how long `body` is.

        Raises requests' exceptions, and RegistryError where TLS cannot be set up as the configuration wants.
        """
        adapter = self._adapter(call.tls if call.url.startswith("https:") else None)
        prepared = requests.Request(call.method, call.url, headers=dict(headers)).prepare()
        prepared.body = body  # type: ignore[assignment]  # anything that urllib3 reads
        proxies = {"http": call.proxy, "https": call.proxy} if call.proxy else None
        response = adapter.send(prepared, stream=True, timeout=call.timeout, proxies=proxies)
        return response, cast("BaseHTTPResponse", response.raw)

    def close(self) -> None:
        """Close all that are idle."""
        for adapter in self._adapters.values():
            adapter.close()
        self._guard.close()

    def _adapter(self, tls: Tls | None) -> _Adapter:
        with self._lock:
            if tls not in self._adapters:
                context = None if tls is None else make_tls_context(tls, self._environ)
                self._adapters[tls] = _Adapter(self._guard, context)
            return self._adapters[tls]


class _Adapter(HTTPAdapter):
    """Pools whose connections are under guard and share one TLS context."""

    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        self._classes = _pool_classes(guard)
        self._context = context
        if context is not None:
            context.sslsocket_class = _secure_socket(guard)
        super().__init__(pool_connections=_POOL, pool_maxsize=_POOL, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: object) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, blocksize=BLOCK, ssl_context=self._context
        )
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **_: object) -> ProxyManager:
        manager = self.proxy_manager.get(proxy)
        if manager is None:
            manager = ProxyManager(
                proxy,
                proxy_headers=self.proxy_headers(proxy),
                maxsize=_POOL,
                blocksize=BLOCK,
                ssl_context=self._context,
            )
            manager.pool_classes_by_scheme = self._classes
            self.proxy_manager[proxy] = manager
        return cast(ProxyManager, manager)

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: object,  # noqa: ARG002  the signature is requests'
        cert: object = None,  # noqa: ARG002
    ) -> Any:
        """Say which pool a request goes to; the TLS context is the pool manager's."""
        parts = urlsplit(cast(str, request.url))
        return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}, {}

    def cert_verify(self, *_: object) -> None:
        """Add no CA bundle of requests': the context has all that is trusted."""


class _Response(PlainResponse):
    """One whose chunks have an end, whatever a server sends behind the last one."""

    def _read_and_discard_trailer(self) -> None:
        for _ in range(_TRAILERS):
            if self.fp.readline(65537) in (b"\r\n", b"\n", b""):
                return
        raise HTTPException(f"more than {_TRAILERS} trailers")


def _pool_classes(guard: Guard) -> dict[str, type[ConnectionPool]]:
    class Plain(HTTPConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _open(self, guard)

        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            with _head_of(self):
                return super().getresponse()

    class Secure(HTTPSConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _open(self, guard)

        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            with _head_of(self):
                return super().getresponse()

        def connect(self) -> None:
            super().connect()
            # Whether the certificate was judged is the configuration's choice, of which urllib3 need not warn.
            self.is_verified = True

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _head_of(connection: HTTPConnection) -> AbstractContextManager[None]:
    """Bound the time in which the head of an answer comes: whoever sends it byte by byte is never silent."""
    opened, timeout = connection.sock, connection.timeout
    if not isinstance(opened, PlainSocket | TlsSocket) or not isinstance(timeout, int | float):
        return nullcontext()
    return opened.within(timeout + _HEAD)


def _secure_socket(guard: Guard) -> type[ssl.SSLSocket]:
    class Secured(TlsSocket):
        """One that takes the place of the plain socket which was under guard."""

        def do_handshake(self, block: bool = False) -> None:
            guard.watch(self)
            super().do_handshake(block)

    return Secured


def _open(connection: HTTPConnection, guard: Guard) -> socket.socket:
    """Connect a socket in a way that a cancellation ends (what urllib3's method of this name does)."""
    host, port = connection._dns_host, connection.port
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else 30.0
    try:
        addresses = _resolve(host, port, guard.cancel)
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    failure: OSError = OSError(0, "no address")
    end = time.monotonic() + timeout
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left = (end - time.monotonic()) / (len(addresses) - number)
        opened = PlainSocket(family, kind, protocol)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _connect(opened, address, left, guard.cancel)
        except OSError as error:
            opened.close()
            failure = error
            continue
        except BaseException:
            opened.close()
            raise
        opened.settimeout(timeout)
        guard.watch(opened)
        return opened
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"no connection to {host} in {timeout:g} s") from failure
    raise NewConnectionError(connection, str(failure.strerror or failure)) from failure


_Address = tuple[int, int, int, str, Any]


def _resolve(host: str, port: int | None, cancel: Cancel) -> list[_Address]:
    """Look up addresses; in a thread that is left alone where the user does not want to wait for a name server."""
    host = host.strip("[]")
    if host == "localhost" or host.replace(".", "").isdigit() or ":" in host:
        return cast("list[_Address]", socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    found: list[list[_Address] | OSError] = []

    def look_up() -> None:
        try:
            found.append(cast("list[_Address]", socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found.append(error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error)))

    thread = threading.Thread(target=look_up, name="registry-resolve", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        cancel.check()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _connect(opened: socket.socket, address: object, timeout: float, cancel: Cancel) -> None:
    opened.setblocking(False)
    code = opened.connect_ex(cast("tuple[str, int]", address))
    if code == 115:  # EINPROGRESS
        poller = select.poll()
        poller.register(opened, select.POLLOUT)
        poller.register(cancel.fd, select.POLLIN)
        ready = poller.poll(max(timeout, 0.001) * 1000)
        cancel.check()
        if not ready:
            raise TimeoutError(110, "timed out")
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def make_tls_context(tls: Tls, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Make the context for servers that `tls` speaks of: the system's roots, or those of SSL_CERT_FILE and _DIR.

    Raises RegistryError that names the file which cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _load_roots(context, environ)
        for path in tls.authorities:
            _loading(path, lambda path=path: context.load_verify_locations(cafile=path))  # type: ignore[misc]
    if tls.client is not None:
        certificate, key = tls.client
        _loading(certificate, lambda: context.load_cert_chain(certificate, key, password=_no_password))
    return context


def _load_roots(context: ssl.SSLContext, environ: Mapping[str, str]) -> None:
    file, directories = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if not file and not directories:
        context.load_default_certs()
    if file:
        _loading(file, lambda: context.load_verify_locations(cafile=file))
    for directory in (directories or "").split(":"):
        if directory:
            _loading(directory, lambda path=directory: context.load_verify_locations(capath=path))  # type: ignore[misc]


def _no_password() -> str:
    raise OSError(0, "its key has a password, which nobody can be asked for here")


def _loading(path: object, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:  # SSLError is one
        reason = error.strerror or str(error)
        raise RegistryError(
            f"the certificates of {path} cannot be used: {reason}", hint="certificates and keys are PEM files"
        ) from error
