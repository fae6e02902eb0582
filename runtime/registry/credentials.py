"""Find, keep and forget what registries are told of the user: `--creds`, auth files, credential helpers.

Looked for in this order: what was given, $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json (`credHelpers`, `credsStore`,
`auths`). Nothing secret is in a repr, an error, or the words of a process.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen, field
from runtime.errors import DocumentError, RegistryError, UsageError
from runtime.oci.fields import Reader, decode_object
from runtime.oci.references import DEFAULT_DOMAIN
from runtime.registry.clientconfig import client_file

if TYPE_CHECKING:
    from runtime.context import Context

HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker keeps credentials for Docker Hub."""
_HUB_NAMES = (HUB_KEY, "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"
"""The user name by which a credential helper says that the secret is an identity token."""


class Credentials(Frozen):
    """Who the user is for one registry."""

    username: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token."""
    registry_token: str = field(default="", repr=False)
    """A bearer token that is sent as it is."""


def parse_creds(text: str) -> Credentials:
    """Read `USERNAME:PASSWORD`, as `--creds` has it; raises UsageError, which does not show it."""
    username, colon, secret = text.partition(":")
    if not colon or not username:
        raise UsageError("--creds wants USERNAME:PASSWORD")
    return Credentials(username=username, secret=secret)


class CredentialSource:
    """The credentials of one user; `given` ones are for every registry that is asked for some, or for those named.

    Threads may share one. Files are read once each; helper programs are asked once a registry.
    """

    def __init__(
        self,
        context: Context,
        given: Credentials | None = None,
        *,
        by_domain: Mapping[str, Credentials] | None = None,
    ) -> None:
        self._context = context
        self._given = given
        self._by_domain = by_domain or {}
        self._found: dict[tuple[str, str], Credentials | None] = {}
        self.troubles: list[str] = []
        """Why a helper program was of no help: said only when a registry wants to know who we are."""

    def lookup(self, domain: str, repository: str = "", *, configured: bool = False) -> Credentials | None:
        """Give the credentials for `domain` (`docker.io`, `host:5000`), the most specific there are; None if none.

        `configured` leaves aside what was given. Raises DocumentError for an auth file that cannot be understood.
        """
        given = self._by_domain.get(domain, self._given)
        if given is not None and not configured:
            return given
        key = (domain, repository)
        if key not in self._found:
            self._found[key] = self._search(domain, repository)
        return self._found[key]

    def store(self, domain: str, credentials: Credentials) -> Path | None:
        """Keep credentials as `docker login` does; returns the file where the secret is now in plain sight.

        Raises RegistryError where the helper program that the file names does not take them.
        """
        path = _writable(self._context.environ)
        document = _load(path) or {}
        key = HUB_KEY if domain == DEFAULT_DOMAIN and path.name == "config.json" else domain
        helper = _helper_of(document, _keys(domain, ""), path)
        self._found.clear()
        if helper is not None:
            from runtime.registry.helpers import store

            identity = credentials.identity_token
            pair = (_TOKEN_USER, identity) if identity else (credentials.username, credentials.secret)
            store(self._context, helper[0], key, *pair)
            entry: dict[str, object] = {}
        else:
            secret = f"{credentials.username}:{credentials.secret}".encode()
            entry = {"auth": base64.b64encode(secret).decode()}
            if credentials.identity_token:
                entry["identitytoken"] = credentials.identity_token
        with _rewritten(path) as document:
            _auths(document)[key] = entry
        return None if helper is not None else path

    def erase(self, domain: str) -> bool:
        """Forget credentials wherever they are kept; False where there were none."""
        found = False
        self._found.clear()
        for path in dict.fromkeys((_writable(self._context.environ), *_files(self._context.environ))):
            document = _load(path)
            if document is None:
                continue
            helper = _helper_of(document, _keys(domain, ""), path)
            if helper is not None:
                from runtime.registry.helpers import erase

                told = [key for key in helper[1] if erase(self._context, helper[0], key)]
                found = found or bool(told)
            stale = [key for key in _names(document) if _plain(key) in map(_plain, _keys(domain, ""))]
            if stale:
                found = True
                with _rewritten(path) as document:
                    for key in stale:
                        _auths(document).pop(key, None)
        return found

    def _search(self, domain: str, repository: str) -> Credentials | None:
        keys = _keys(domain, repository)
        for path in _files(self._context.environ):
            document = _load(path)
            if document is None:
                continue
            helper = _helper_of(document, keys, path)
            found = self._ask(*helper) if helper is not None else None
            found = found or _in_file(Reader(document, ""), keys, path)
            if found is not None:
                return found
        return None

    def _ask(self, helper: str, keys: tuple[str, ...]) -> Credentials | None:
        from runtime.registry.helpers import get  # lazy: subprocess, for those who have helpers

        for key in keys:
            try:
                found = get(self._context, helper, key)
            except RegistryError as error:
                # A helper that is not installed must not keep public images away.
                self.troubles.append(error.message)
                return None
            if found is not None:
                username, secret = found
                if username == _TOKEN_USER:
                    return Credentials(identity_token=secret)
                return Credentials(username=username, secret=secret)
        return None


def _files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    named = environ.get("REGISTRY_AUTH_FILE")
    docker = client_file(environ)
    return tuple(path for path in (Path(named) if named else None, docker) if path is not None)


def _writable(environ: Mapping[str, str]) -> Path:
    files = _files(environ)
    if not files:
        raise RegistryError(
            "there is no place for credentials: neither HOME nor DOCKER_CONFIG is set", hint="set DOCKER_CONFIG"
        )
    return files[0]


def _keys(domain: str, repository: str) -> tuple[str, ...]:
    """List under which names credentials may stand, the most specific first (containers-auth.json(5))."""
    parts = repository.split("/") if repository else []
    specific = tuple("/".join((domain, *parts[:length])) for length in range(len(parts), 0, -1))
    return (*specific, *((*_HUB_NAMES, domain) if domain == DEFAULT_DOMAIN else (domain,)))


def _plain(key: str) -> str:
    """Take scheme and API version off a name: old Docker wrote `https://host/v1/`."""
    bare = key.partition("://")[2] or key
    for ending in ("/", "/v1", "/v2"):
        bare = bare.removesuffix(ending)
    return bare


def _load(path: Path) -> dict[str, object] | None:
    try:
        with open(path, "rb") as file:
            data = file.read((4 << 20) + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from error
    if not data.strip():
        return {}
    try:
        return decode_object(data, str(path))
    except DocumentError as error:
        # The words of a JSON error never hold content; its cause may.
        raise DocumentError(error.message, hint="correct the file, or log in again after removing it") from None


def _names(document: Mapping[str, object]) -> tuple[str, ...]:
    auths = document.get("auths")
    return tuple(auths) if isinstance(auths, dict) else ()


def _auths(document: dict[str, object]) -> dict[str, object]:
    auths = document.get("auths")
    if not isinstance(auths, dict):
        auths = document["auths"] = {}
    return auths


def _helper_of(document: Mapping[str, object], keys: tuple[str, ...], path: Path) -> tuple[str, tuple[str, ...]] | None:
    """Return the helper program that is responsible, and the names to ask it for."""
    try:
        reader = Reader(document, "")
        helpers = reader.text_map("credHelpers")
        general = reader.optional_text("credsStore")
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.message}") from None
    for key in keys:
        if helpers.get(key):
            return helpers[key], (key,)
    hosts = tuple(key for key in keys if "/" not in key or "://" in key)
    return (general, hosts) if general else None


def _in_file(document: Reader, keys: tuple[str, ...], path: Path) -> Credentials | None:
    try:
        auths = document.mapping("auths")
        by_name = {_plain(name): name for name in reversed(auths)}
        for key in keys:
            name = key if key in auths else by_name.get(_plain(key))
            if name is not None:
                found = _decode(Reader(auths[name], f'auths."{name}"'))
                if found is not None:
                    return found
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.message}") from None
    return None


def _decode(entry: Reader) -> Credentials | None:
    username, secret = entry.optional_text("username") or "", entry.optional_text("password") or ""
    encoded = entry.optional_text("auth")
    if encoded:
        try:
            decoded = base64.b64decode("".join(encoded.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise DocumentError("is not base64 of USERNAME:PASSWORD", field=entry.field("auth")) from None
        username, _, secret = decoded.partition(":")
        secret = secret.rstrip("\0")
    found = Credentials(
        username=username,
        secret=secret,
        identity_token=entry.optional_text("identitytoken") or "",
        registry_token=entry.optional_text("registrytoken") or "",
    )
    return found if found != Credentials() else None


@contextmanager
def _rewritten(path: Path) -> Iterator[dict[str, object]]:
    """Give a file's document to change and write it back: whole or not at all, for its owner alone.

    Two that do it at once wait for each other; what we do not know in the file is kept.
    """
    try:
        path = Path(os.path.realpath(path))  # the file may be a link that its owner wants to keep
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            document = _load(path) or {}
            yield document
            _replace(path, (json.dumps(document, indent="\t", ensure_ascii=False) + "\n").encode())
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise RegistryError(f"{path} cannot be written: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
