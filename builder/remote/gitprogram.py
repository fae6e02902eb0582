"""Run the installed `git` with nothing of the user's configuration, hooks or prompts, and with few protocols.

Repositories are anybody's: no configuration, hook, filter or helper of theirs or of this machine is ever run.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.remote.words import without_password
from frozen import Frozen
from runtime.errors import PybuildError

if TYPE_CHECKING:
    from builder.secrets import Secret
    from runtime.context import Cancel, Context

_PROTOCOLS = "https:http:ssh:git"
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.autocrlf": "false",
    "core.logAllRefUpdates": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "submodule.recurse": "false",
    "safe.directory": "*",
    "transfer.fsckObjects": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "advice.detachedHead": "false",
    "init.defaultBranch": "master",
}
_PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "TMPDIR")
_LAST_LINES = 4
_TELLING = ("fatal:", "error:", "remote:", "ERROR", "ssh:", "Host key verification")


class GitFailed(PybuildError):
    """git ended with a status that is not 0; `output` is what it said."""

    def __init__(self, message: str, output: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output


class GitProgram(Frozen):
    """How git is run in one build: `directory` is below the root, `agent` the socket of an SSH agent, or None."""

    context: Context
    directory: Path
    secrets: Mapping[str, Secret]
    agent: Path | None = None

    def run(
        self,
        *words: str,
        remote: str = "",
        local: bool = False,
        environment: Mapping[str, str] | None = None,
        data: bytes = b"",
    ) -> bytes:
        """Run git to its end and return what it wrote to standard output.

        `remote` is the URL that the command speaks to, for credentials; `local` allows the path of a repository of
        this cache in its place. Raises GitFailed, and Cancelled after git was killed.
        """
        program = shutil.which("git", path=self.context.environ.get("PATH"))
        if program is None:
            raise PybuildError(
                "git repositories need the program git, which is not installed", hint="install the package git"
            )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole = {**self._environment(remote, local=local), **(environment or {})}
        with subprocess.Popen(
            [program, *words],
            env=whole,
            stdin=subprocess.PIPE if data else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o022,
            cwd="/",
        ) as process:
            try:
                output, said = _communicate(process, data, self.context.cancel)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            text = said.decode(errors="replace").strip()
            verb = next((word for word in words if not word.startswith("-")), "")
            raise GitFailed(_summary(verb, text, remote), text)
        return output

    def _environment(self, remote: str, *, local: bool) -> dict[str, str]:
        environ = self.context.environ
        passed = {name: environ[name] for upper in _PASSED for name in (upper, upper.lower()) if name in environ}
        settings = {**_SETTINGS, **self._credentials(remote)}
        for index, (name, value) in enumerate(settings.items()):
            passed[f"GIT_CONFIG_KEY_{index}"] = name
            passed[f"GIT_CONFIG_VALUE_{index}"] = value
        if environ.get("SSL_CERT_FILE"):
            passed["GIT_SSL_CAINFO"] = environ["SSL_CERT_FILE"]
        if self.agent is not None:
            passed["SSH_AUTH_SOCK"] = os.fspath(self.agent)
        return {
            **passed,
            "PATH": environ.get("PATH") or os.defpath,
            "HOME": os.fspath(self.directory),
            "LC_ALL": "C",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_ALLOW_PROTOCOL": "file" if local else _PROTOCOLS,
            "GIT_SSH_COMMAND": self._ssh(),
        }

    def _ssh(self) -> str:
        """Return how ssh is called: the user's known hosts count, new ones are noted in a file of our own."""
        own = self.directory / "known_hosts"
        home = self.context.environ.get("HOME")
        files = [f'"{own}"', *([f'"{home}/.ssh/known_hosts"'] if home and '"' not in home else [])]
        options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={' '.join(files)}",
            "ConnectTimeout=30",
            "ServerAliveInterval=30",
            "PermitLocalCommand=no",
        ]
        options += ["IdentityFile=none", *(["IdentityAgent=none"] if self.agent is None else [])]
        return shlex.join(["ssh", "-F", "none", *(word for option in options for word in ("-o", option))])

    def _credentials(self, remote: str) -> dict[str, str]:
        """Give the header that says who asks, where no other process sees it: what the URL says, or a secret.

        The secrets are GIT_AUTH_HEADER and GIT_AUTH_TOKEN, with `.HOST` for one host alone: BuildKit's names.
        """
        parts = urlsplit(remote)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            return {}
        host = parts.netloc.rpartition("@")[2]
        setting = f"http.{parts.scheme}://{host}/.extraHeader"
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            return {setting: f"Authorization: Basic {b64encode(pair.encode()).decode()}"}
        for name in (f"GIT_AUTH_HEADER.{host}", "GIT_AUTH_HEADER", f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_TOKEN"):
            secret = self.secrets.get(name)
            if secret is None:
                continue
            value = secret.value.decode("latin-1").strip()
            if name.startswith("GIT_AUTH_TOKEN"):
                value = "basic " + b64encode(f"x-access-token:{value}".encode("latin-1")).decode()
            return {setting: f"Authorization: {value}"}
        return {}


def without_credentials(remote: str) -> str:
    """Return a remote as git is called with it: user and password of an HTTP URL go another way."""
    parts = urlsplit(remote) if remote.startswith(("http://", "https://")) else None
    if parts is None:
        return remote
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def _communicate(process: subprocess.Popen[bytes], data: bytes, cancel: Cancel) -> tuple[bytes, bytes]:
    """Feed and read a process until it has closed its outputs; raises Cancelled as soon as somebody asks to stop."""
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin as stream:
            stream.write(data)  # a few hundred bytes: a pipe holds them
    assert process.stdout is not None
    assert process.stderr is not None
    pieces: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    output, errors = pieces.values()
    poller = select.poll()
    for fd in (*pieces, cancel.fd):
        poller.register(fd, select.POLLIN)
    while pieces:
        for fd, _ in poller.poll():
            if fd == cancel.fd:
                cancel.check()
                continue
            piece = os.read(fd, 1 << 16)
            if piece:
                pieces[fd].append(piece)
            else:
                poller.unregister(fd)
                del pieces[fd]
    process.wait()
    return b"".join(output), b"".join(errors)


def _summary(verb: str, text: str, remote: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = [line for line in lines if line.startswith(_TELLING) or "ermission denied" in line] or lines
    said = "; ".join(without_password(line) for line in words[:_LAST_LINES]) or "it gave no reason"
    return f"{without_password(remote)}: git could not {verb or 'work'}: {said}" if remote else f"git {verb}: {said}"
