"""What `run` reads from its words, before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frozen import replace
from runtime.cli.arguments import Arguments, read_arguments
from runtime.cli.containerflags import FLAGS, REFUSED, refuse_unsupported
from runtime.cli.containersettings import read_config, read_host_config
from runtime.cli.run import VERB, id_file
from runtime.containers.documents import Config, HostConfig
from runtime.context import Context
from runtime.errors import Conflict, PybuildError, UsageError


def _read(*words: str) -> Arguments:
    return read_arguments(VERB, (*words, "image"))


def _config(context: Context, *words: str) -> Config:
    args = read_arguments(VERB, (*words, "image", "command", "-x"))
    return read_config(args, context, args.words[0], args.words[1:])


def _host(*words: str) -> HostConfig:
    return read_host_config(_read(*words))


def test_everything_behind_the_image_is_the_containers(context: Context) -> None:
    config = _config(context, "-it", "--rm")
    assert (config["Image"], config["Cmd"]) == ("image", ["command", "-x"])
    assert (config["Tty"], config["OpenStdin"], config["AttachStdin"]) == (True, True, True)


def test_short_h_is_the_host_name(context: Context) -> None:
    assert _config(context, "-h", "web")["Hostname"] == "web"


def test_variables_come_from_files_then_flags_then_the_caller(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("\ufeff# comment\n\n  A=1\nB=2\nC\nD\n")
    context = replace(context, environ={"C": "caller"})
    env = _config(context, "--env-file", str(file), "-e", "B=3", "-e", "E=", "-e", "F=x=y")["Env"]
    assert env == ["A=1", "B=3", "C=caller", "D", "E=", "F=x=y"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("A B=1\n", "contains whitespaces"), ("=1\n", "no variable name"), ("\ud800", "not UTF-8")],
)
def test_a_wrong_env_file_is_named_with_its_line(context: Context, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError, match=words):
        _config(context, "--env-file", str(file))


def test_a_missing_env_file_is_named(context: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing-here: No such file"):
        _config(context, "--env-file", str(tmp_path / "nothing-here"))


def test_labels_come_from_files_and_flags(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("a=1\nb\n")
    assert _config(context, "--label-file", str(file), "-l", "a=2")["Labels"] == {"a": "2", "b": ""}


def test_published_ports_are_exposed(context: Context) -> None:
    config = _config(context, "--expose", "22", "-p", "8080:80", "-p", "127.0.0.1::53/udp", "-p", "81:80")
    assert list(config["ExposedPorts"]) == ["22/tcp", "80/tcp", "53/udp"]


def test_exposed_ports_may_be_ranges(context: Context) -> None:
    assert list(_config(context, "--expose", "80-81/udp", "--expose", "22")["ExposedPorts"]) == [
        "80/udp",
        "81/udp",
        "22/tcp",
    ]


def test_an_empty_entrypoint_is_not_the_images(context: Context) -> None:
    assert _config(context)["Entrypoint"] is None
    assert _config(context, "--entrypoint", "")["Entrypoint"] == [""]


def test_limits_become_numbers() -> None:
    host = _host("-m", "64m", "--memory-swap", "-1", "--cpus", "1.5", "--pids-limit", "10", "--shm-size", "1k")
    assert host["Memory"] == 64 << 20
    assert host["MemorySwap"] == -1
    assert host["NanoCpus"] == 1_500_000_000
    assert host["PidsLimit"] == 10
    assert host["ShmSize"] == 1024


def test_relative_host_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host = _host("-v", "./a:/a:ro", "-v", ".:/b", "--mount", "type=bind,source=./c,target=/c")
    assert host["Binds"] == [f"{tmp_path}/a:/a:ro", f"{tmp_path}:/b"]
    assert host["Mounts"][0]["Source"] == f"{tmp_path}/c"


def test_a_volume_without_a_source_belongs_to_the_config(context: Context) -> None:
    assert _config(context, "-v", "/data")["Volumes"] == {"/data": {}}
    assert _host("-v", "/data")["Binds"] == []


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("db:10.0.0.1", "db:10.0.0.1"),
        ("db=10.0.0.1", "db:10.0.0.1"),
        ("db:::1", "db:::1"),
        ("db=[::1]", "db:::1"),
        ("host:host-gateway", "host:host-gateway"),
    ],
)
def test_added_hosts_have_two_spellings(text: str, stored: str) -> None:
    assert _host("--add-host", text)["ExtraHosts"] == [stored]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-e", "=x"), "invalid environment variable: =x"),
        (("-l", "=x"), "empty name"),
        (("--add-host", "a"), "bad format for add-host"),
        (("--add-host", "a:b"), "invalid IP address in add-host"),
        (("--dns", "x"), "x is not an ip address"),
        (("--dns-search", "a b"), "a b is not a valid domain"),
        (("--dns-search", "-x"), "-x is not a valid domain"),
        (("--ulimit", "nofile"), '"nofile" for "--ulimit" flag'),
        (("-m", "lots"), '"lots" for "-m, --memory" flag'),
        (("--cpus", "x"), '"x" for "--cpus" flag'),
        (("--expose", "0"), "invalid range format for --expose: 0"),
        (("--pid", "bogus"), "--pid: invalid PID mode"),
        (("--hostname", "a b"), "invalid hostname"),
        (("--stop-signal", "FOO"), "invalid signal: FOO"),
        (("--sysctl", "a"), "sysctl 'a' is not allowed"),
        (("-a", "both"), "valid streams are STDIN, STDOUT and STDERR"),
        (("-d", "-a", "stdout"), "cannot specify both --attach and --detach"),
        (("--mount", "type=bind"), '"type=bind" for "--mount" flag'),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(context: Context, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _config(context, *words)
        _host(*words)


@pytest.mark.parametrize("words", [("--storage-opt", "size=1g"), ("--use-api-socket",)])
def test_what_cannot_be_in_force_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be had"):
        refuse_unsupported(_read(*words))


def test_restart_no_is_what_happens_anyway() -> None:
    refuse_unsupported(_read("--restart", "no"))


def test_no_flag_is_declared_twice() -> None:
    names = [name for flag in (*FLAGS, *REFUSED) for name in flag.names]
    assert len(names) == len(set(names))


def test_an_id_file_is_written_once_and_goes_with_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "cid"
    with pytest.raises(RuntimeError), id_file(str(path)):
        raise RuntimeError
    assert not path.exists()
    with id_file(str(path)) as write:
        write("abc")
    assert path.read_text() == "abc"
    with pytest.raises(Conflict, match="container ID file found"), id_file(str(path)):
        pass
    assert os.path.exists(path)
    with pytest.raises(PybuildError, match="failed to create the container ID file"), id_file(str(tmp_path / "no/cid")):
        pass
