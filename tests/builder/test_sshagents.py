"""A step reaches an SSH agent through a socket of its own, and can do no more there than use keys."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from builder.failures import InstructionFailed
from builder.options import BuildOptions
from builder.sshagents import Agents, SshSource, read_ssh
from builder.sweeping import sweep
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError
from tests.builder.benches import Bench


@pytest.fixture
def key(tmp_path: Path, missing: Callable[[str], None]) -> Path:
    for program in ("ssh-agent", "ssh-add", "ssh-keygen"):
        if shutil.which(program) is None:
            missing(program)
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the key", "-f", path], check=True)
    return path


@contextmanager
def agent_socket(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Listen as an agent that gives one answer to every message; the messages are listed."""
    import threading

    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(ConnectionError):  # of who has gone without reading the answer
                    while data := connection.recv(65536):
                        asked.append(data)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def ask(path: Path, message: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(os.fspath(path))
        connection.sendall(message)
        return connection.recv(65536)


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory whose name leaves room for a socket's in an address."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def test_keys_are_listed_and_used_and_nothing_else_passes(context: Context, place: Path) -> None:
    answer = b"\0\0\0\5\x0c\0\0\0\0"
    with agent_socket(place / "real", answer) as asked:
        source = SshSource(id="default", socket=place / "real")
        with (
            Agents(context, {"default": source}) as agents,
            agents.forwarded("default", place, uid=0, gid=0, mode=0o600) as path,
        ):
            assert path is not None
            assert path.stat().st_mode & 0o777 == 0o600
            assert ask(path, b"\0\0\0\1\x0b") == answer
            for forbidden in (17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 1, 9):
                assert ask(path, b"\0\0\0\1" + bytes([forbidden])) == b"\0\0\0\1\5"
            with suppress(ConnectionResetError):
                assert ask(path, b"\xff\xff\xff\xff\x0b") == b""
        assert asked == [b"\0\0\0\1\x0b"]


def test_keys_of_files_are_held_by_an_agent_that_ends_with_the_build(context: Context, key: Path, place: Path) -> None:
    with Agents(context, {"k": SshSource(id="k", keys=(key,))}) as agents:
        with agents.forwarded("k", place, uid=0, gid=0, mode=0o600) as path:
            listed = subprocess.run(
                ["ssh-add", "-l"], env={"SSH_AUTH_SOCK": str(path), "PATH": os.environ["PATH"]}, stdout=-1, check=False
            )
            assert b"the key" in listed.stdout
        assert list((context.layout.run / "ssh").iterdir())
    assert not list((context.layout.run / "ssh").iterdir())


def test_an_id_that_was_not_given_has_no_socket(context: Context, place: Path) -> None:
    with Agents(context, {}) as agents, agents.forwarded("default", place, uid=0, gid=0, mode=0o600) as path:
        assert path is None


def test_a_key_that_cannot_be_used_is_an_error(context: Context, key: Path, place: Path) -> None:
    key.write_text("no key\n")
    with (
        Agents(context, {"k": SshSource(id="k", keys=(key,))}) as agents,
        pytest.raises(PybuildError, match="cannot be used"),
        agents.forwarded("k", place, uid=0, gid=0, mode=0o600),
    ):
        pass


def test_words_name_an_agent_a_socket_or_keys(tmp_path: Path, place: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    with agent_socket(place / "s", b""):
        environ = {"SSH_AUTH_SOCK": str(place / "s")}
        assert read_ssh(["default"], environ)["default"].socket == place / "s"
        assert read_ssh([f"x={place}/s"], {})["x"].socket == place / "s"
        assert read_ssh([f"x={tmp_path}/a,{tmp_path}/b"], {})["x"].keys == (tmp_path / "a", tmp_path / "b")
        with pytest.raises(UsageError, match="but not both"):
            read_ssh([f"x={place}/s,{tmp_path}/a"], {})
    with pytest.raises(NotFound, match="SSH_AUTH_SOCK is not set"):
        read_ssh(["default"], {})
    with pytest.raises(NotFound, match="No such file"):
        read_ssh(["x=/nothere"], {})
    with pytest.raises(UsageError, match="given twice"):
        read_ssh([f"x={tmp_path}/a", f"x={tmp_path}/b"], {})
    with pytest.raises(UsageError, match="neither a socket nor a key"):
        read_ssh([f"x={tmp_path}"], {})


def test_what_a_killed_build_left_is_swept(context: Context) -> None:
    left = context.layout.run / "ssh" / "1-0-0-dead"
    left.mkdir(parents=True)
    (left / "agent").touch()
    sweep(context)
    assert not left.exists()


STEP = 'FROM localhost/base\nRUN --mount=type=ssh{options} echo "at $SSH_AUTH_SOCK"; test -S "$SSH_AUTH_SOCK" {test}\n'


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.parametrize(
    ("options", "test", "at"),
    [
        ("", '-a "$(stat -c %a:%u $SSH_AUTH_SOCK)" = 600:0', "/run/buildkit/ssh_agent.0"),
        (",target=/x/s,mode=0666,uid=5", '-a "$(stat -c %a:%u $SSH_AUTH_SOCK)" = 666:5', "/x/s"),
        (",id=other,required=true", "", "/run/buildkit/ssh_agent.0"),
    ],
)
def test_a_step_finds_the_socket_where_it_asked_for_it(
    bench: Bench, place: Path, options: str, test: str, at: str
) -> None:
    with agent_socket(place / "s", b""):
        ssh = {name: SshSource(id=name, socket=place / "s") for name in ("default", "other")}
        text = STEP.format(options=options, test=test)
        built = bench.build(text, options=BuildOptions(ssh=ssh, network="none"))
        assert f"at {at}" in built.output
        assert bench.build(text, options=BuildOptions(network="none", ssh={"other": ssh["other"]})).executed == 0


@pytest.mark.root
@pytest.mark.overlay
def test_a_required_agent_that_was_not_given_is_an_error_at_its_line(bench: Bench) -> None:
    with pytest.raises(InstructionFailed, match="unset ssh forward key default") as caught:
        bench.build(STEP.format(options=",required", test=""), options=BuildOptions(network="none"))
    assert caught.value.line == 2
    built = bench.build(STEP.format(options="", test="|| true"), options=BuildOptions(network="none"))
    assert "at /run/buildkit/ssh_agent.0" in built.output
