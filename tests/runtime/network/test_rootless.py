"""Which helper connects an unprivileged user's containers, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import NetworkError
from runtime.network import rootless


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that is all of PATH, on a machine whose /dev/net/tun opens."""
    monkeypatch.setattr(rootless, "_SYSTEM_PATH", ())
    monkeypatch.setattr(rootless, "_TUN", "/dev/null")
    return tmp_path


def install(directory: Path, *names: str) -> dict[str, str]:
    for name in names:
        (directory / name).touch(mode=0o755)
    return {"PATH": str(directory)}


def test_pasta_comes_first(programs: Path) -> None:
    assert rootless.find(install(programs, "pasta", "slirp4netns")).mode == "pasta"


def test_slirp4netns_is_used_where_there_is_no_pasta(programs: Path) -> None:
    assert rootless.find(install(programs, "slirp4netns")).mode == "slirp4netns"


def test_a_helper_can_be_asked_for_by_name(programs: Path) -> None:
    environment = install(programs, "pasta", "slirp4netns")
    assert rootless.find(environment, "slirp4netns").program == f"{programs}/slirp4netns"


def test_where_neither_is_installed_the_packages_are_named(programs: Path) -> None:
    with pytest.raises(NetworkError, match="pasta or slirp4netns") as caught:
        rootless.find(install(programs))
    assert caught.value.hint == "install the package passt or slirp4netns, or use --network none or --network host"


def test_a_relative_directory_of_path_is_never_searched(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(programs, "pasta")
    monkeypatch.chdir(programs)
    with pytest.raises(NetworkError):
        rootless.find({"PATH": ".:"})


def test_a_tun_device_that_does_not_open_is_told_of(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootless, "_TUN", f"{programs}/tun")
    with pytest.raises(NetworkError, match="tun cannot be opened: No such file") as caught:
        rootless.find(install(programs, "pasta"))
    assert caught.value.hint is not None
    assert "chmod" in caught.value.hint


def test_pasta_closes_the_hosts_loopback_and_forwards_no_port(programs: Path) -> None:
    command = rootless.find(install(programs, "pasta")).command("/run/netns", forward=False)
    assert "--no-map-gw" in command
    for flag in ("-t", "-u", "-T", "-U"):
        assert command[command.index(flag) + 1] == "none"
    assert command[-3:] == ["--netns-only", "--netns", "/run/netns"]
    assert "--dns-forward" not in command


def test_pasta_answers_for_names_only_where_it_is_asked(programs: Path) -> None:
    helper = rootless.find(install(programs, "pasta"))
    command = helper.command("/run/netns", forward=True)
    assert command[command.index("--dns-forward") + 1] == helper.dns == "169.254.1.1"


def test_slirp4netns_closes_the_hosts_loopback(programs: Path) -> None:
    command = rootless.find(install(programs, "slirp4netns")).command("/run/netns", forward=False)
    assert "--disable-host-loopback" in command
    assert command[-2:] == ["/run/netns", "tap0"]


def test_pasta_gives_an_address_of_its_own_where_the_host_is_to_be_asked_at_its(programs: Path) -> None:
    helper = rootless.find(install(programs, "pasta"))
    command = helper.command("/run/netns", forward=False, apart=True)
    assert command[command.index("--address") + 1].startswith("169.254.")
    assert "--address" not in helper.command("/run/netns", forward=False)
