"""Links: names and variables on the default network, names on a network of the user's; as root and as a user."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.programs import Program, swept

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay]

SLEEP = ("sleep", "1000")


@pytest.fixture
def box(box: Program) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    yield from swept(box)


def _hosts(box: Program, container: str) -> dict[str, str]:
    lines = box.text("exec", container, "cat", "/etc/hosts").splitlines()
    return {names: address for address, _, names in (line.partition("\t") for line in lines)}


def test_a_link_gives_names_and_variables(box: Program) -> None:
    number = box.text("run", "-d", "--name", "one", "--expose", "80", "-e", "FOO=bar", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--link", "one:my-db", "--link", "one", "box", *SLEEP)
    address = box.text("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "one")
    hosts = _hosts(box, "two")
    assert hosts[f"my-db {number[:12]} one"] == hosts[f"one {number[:12]}"] == address
    told = box.text("exec", "two", "env").splitlines()
    assert "MY_DB_NAME=/two/my-db" in told
    assert f"MY_DB_PORT=tcp://{address}:80" in told
    assert "MY_DB_ENV_FOO=bar" in told
    assert json.loads(box.text("inspect", "-f", "{{json .HostConfig.Links}}", "two")) == [
        "/one:/two/my-db",
        "/one:/two/one",
    ]


def test_a_link_follows_a_restart_and_a_new_name(box: Program) -> None:
    number = box.text("run", "-d", "--name", "one", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--link", "one:db", "box", *SLEEP)
    box("rename", "one", "other")
    box("restart", "-t", "0", "other")
    address = box.text("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "other")
    assert _hosts(box, "two")[f"db {number[:12]} one"] == address
    assert box.text("inspect", "-f", "{{json .HostConfig.Links}}", "two") == '["/other:/two/db"]'


def test_a_link_is_removed_alone(box: Program) -> None:
    box("run", "-d", "--name", "one", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--link", "one:db", "--link", "one:kept", "box", *SLEEP)
    assert box.text("rm", "--link", "two/db") == "two/db"
    assert box.text("inspect", "-f", "{{json .HostConfig.Links}}", "two") == '["/one:/two/kept"]'
    assert [names.partition(" ")[0] for names in _hosts(box, "two") if names.endswith(" one")] == ["kept"]
    for word, fault in (
        ("two/db", "No such link: two/db"),
        ("nosuch/db", "No such container: nosuch/db"),
        ("two", "cannot remove the default link name of the container"),
    ):
        assert fault in box("rm", "--link", word, status=1).stderr.decode()
    assert sorted(box.text("ps", "--format", "{{.Names}}").split()) == ["one", "two"]


def test_a_container_is_not_started_before_those_that_it_is_linked_to(box: Program) -> None:
    box("create", "--name", "one", "box", *SLEEP)
    box("create", "--name", "two", "--link", "one:db", "box", *SLEEP)
    refused = box("start", "two", status=1)
    assert b"Cannot link to a non running container: /one AS /two/db" in refused.stderr
    box("start", "one", "two")
    box("rm", "-f", "one")
    box("restart", "-t", "0", "two")  # what was removed is no link


def test_on_a_network_of_the_users_a_link_is_a_name_for_one_container_alone(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "net", "--link", "one:db", "box", *SLEEP)
    assert box("exec", "two", "ping", "-c1", "-W60", "db").returncode == 0
    assert box("exec", "one", "nslookup", "db", "127.0.0.11", status=None).returncode != 0
    box("run", "-d", "--name", "late", "box", *SLEEP)
    box("network", "connect", "--link", "one:store", "net", "late")
    assert box("exec", "late", "ping", "-c1", "-W60", "store").returncode == 0


def test_wrong_links_are_refused_with_a_reason(box: Program) -> None:
    box("run", "-d", "--name", "one", "box", *SLEEP)
    for words, message in (
        (("--link", "one:db:x"), b"bad format for links"),
        (("--link", "nobody"), b"could not get container for nobody"),
        (("--network", "host", "--link", "one"), b"can't be used with links"),
        (("--network", "container:one", "--link", "one"), b"can't be used with links"),
    ):
        assert message in box("run", "--rm", *words, "box", "true", status=125).stderr
