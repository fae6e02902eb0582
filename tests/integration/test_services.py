"""`build --service` and `build --network NAME`: what RUN reaches, when it waits, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import Program, settle

pytestmark = [pytest.mark.root, pytest.mark.overlay, pytest.mark.netadmin]

_WEB = """FROM box
RUN mkdir /www && echo from the service > /www/index.html
EXPOSE 80
CMD echo serving; sleep 0.3; exec httpd -f -p 80 -h /www
"""
_LONG = 1_000_000 + os.getpid()
"""Seconds that no other test sleeps, of those that run at the same time."""
_ASKS = "FROM box\nRUN wget -q -O /page http://web/ && cat /page\n"


@pytest.fixture
def web(box: Program) -> Program:
    """Return the program with an image `web` that serves a page on port 80, half a second after its start."""
    box("build", "-q", "-t", "web", box.directory("web", {"Dockerfile": _WEB}))
    return box


def _build(program: Program, text: str, *words: str | Path, status: int = 0) -> str:
    directory = program.directory("context", {"Dockerfile": text})
    result = program("build", "--progress", "plain", "-t", "made", *words, directory, status=status)
    return result.stderr.decode()


def _left(program: Program) -> tuple[str, list[str]]:
    """Return what is left of services: containers, and networks beside the predefined ones."""
    names = program.text("network", "ls", "--format", "{{.Name}}").split()
    return program.text("ps", "-aq"), [name for name in names if name not in ("bridge", "host", "none")]


def _starts(program: Program) -> int:
    words = ("events", "--since", "1h", "--until", "0s", "--filter", "type=container", "--filter", "event=start")
    return len(program.text(*words).splitlines())


def test_a_step_reaches_a_service_by_its_name_once_it_listens(web: Program) -> None:
    assert "from the service" in _build(web, _ASKS, "--service", "web=web")
    assert web.text("run", "--rm", "--network", "none", "made", "cat", "/page") == "from the service"
    assert _left(web) == ("", [])


def test_a_step_that_is_remembered_starts_no_service(web: Program) -> None:
    _build(web, _ASKS, "--service", "web=web")
    before = _starts(web)
    assert "CACHED" in _build(web, _ASKS, "--service", "web=web")
    assert _starts(web) == before


def test_another_image_or_setting_of_a_service_runs_the_step_again(web: Program) -> None:
    _build(web, _ASKS, "--service", "web=web")
    before = _starts(web)
    _build(web, _ASKS, "--service", "web=web,env=A=1")
    assert _starts(web) == before + 1
    web("build", "-q", "-t", "web", web.directory("web", {"Dockerfile": _WEB.replace("service >", "new one >")}))
    assert "from the new one" in _build(web, _ASKS, "--service", "web=web")


def test_several_services_meet_each_other_and_all_steps_of_the_build(web: Program) -> None:
    text = (
        "FROM box AS a\nRUN wget -q -O /a http://one:80/\nFROM box AS b\nRUN wget -q -O /b http://two:81/\n"
        "FROM box\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    relay = "two=web,port=81,\"command=sh -c 'wget -q -O /www/index.html http://one/ && exec httpd -f -p 81 -h /www'\""
    _build(web, text, "--service", "one=web", "--service", relay)
    words = ("run", "--rm", "--network", "none", "made", "cat", "/a", "/b")
    assert web.text(*words) == "from the service\nfrom the service"


def test_a_step_without_a_network_meets_no_service(web: Program) -> None:
    text = "FROM box\nRUN --network=none ! timeout 5 wget -q -O /page http://web/\n"
    before = _starts(web)
    _build(web, text, "--service", "web=web")
    assert _starts(web) == before


def test_a_service_that_ends_ends_the_build_with_its_last_words(web: Program) -> None:
    said = _build(web, _ASKS, "--service", "web=box,command=sh -c 'echo no data; sleep 0.2; exit 7',port=80", status=1)
    assert "service web (box) ended with status 7" in said
    assert "no data" in said
    assert _left(web) == ("", [])


def test_a_service_that_does_not_listen_in_time_ends_the_build(web: Program) -> None:
    said = _build(web, _ASKS, "--service", "web=web,port=81,timeout=1s", status=1)
    assert "service web (web) does not listen on port 81 after 1 seconds" in said
    assert _left(web) == ("", [])


def test_a_health_check_decides_when_a_service_is_ready(web: Program) -> None:
    checked = "FROM web\nHEALTHCHECK --interval=100ms --retries={} CMD {}\n"
    for name, tries, check in (("good", 99, "wget -q -O /dev/null http://localhost/"), ("bad", 2, "false")):
        web("build", "-q", "-t", name, web.directory(name, {"Dockerfile": checked.format(tries, check)}))
    assert "from the service" in _build(web, _ASKS, "--service", "web=good")
    assert "service web (bad) is unhealthy" in _build(web, _ASKS, "--service", "web=bad", status=1)


def test_a_failing_step_shows_what_the_services_said_last(web: Program) -> None:
    said = _build(web, "FROM box\nRUN wget -q http://web/nothing\n", "--service", "web=web", status=1)
    assert "the last lines of service web" in said
    assert "serving" in said


def test_a_service_that_cannot_be_had_is_named(web: Program) -> None:
    said = _build(web, _ASKS, "--offline", "--service", "web=localhost/nowhere", status=1)
    assert "localhost/nowhere" in said
    said = _build(web, _ASKS, "--service", "web=box,command=/nowhere", status=1)
    assert "service web (box): " in said
    assert "/nowhere" in said
    assert _left(web) == ("", [])


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_is_left_of_services_when_the_build_is_ended(web: Program, number: int, status: int) -> None:
    text = f"FROM box\nRUN wget -q -O /page http://web/ && sleep {_LONG}\n"
    directory = web.directory("context", {"Dockerfile": text})
    process = web.popen("build", "-q", "--service", "web=web", directory)
    try:
        _until(lambda: "web" in web.text("ps", "--format", "{{.Image}}") and _sleeps(web))
        process.send_signal(number)
        assert process.wait(60) == status
    finally:
        process.kill()
        process.communicate()
    assert _left(web) == ("", [])
    assert not settle(web)


def _sleeps(program: Program) -> bool:
    """Tell whether the step has come to its `sleep`."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x00%d\x00" % _LONG:
                return True
        except OSError:
            continue
    return False


def test_steps_join_a_network_of_the_users_and_find_its_containers(web: Program) -> None:
    web("network", "create", "lan")
    web("run", "-d", "--name", "there", "--network", "lan", "--network-alias", "other", "web")
    try:
        _until(lambda: web("exec", "there", "wget", "-q", "-O", "-", "http://localhost/", status=None).returncode == 0)
        text = "FROM box\nRUN wget -q -O /a http://there/ && wget -q -O /b http://other/\n"
        _build(web, text, "--network", "lan")
        both = "FROM box\nRUN wget -q -O /c http://there/ && wget -q -O /d http://web/\n"
        _build(web, both, "--network", "lan", "--service", "web=web")
    finally:
        web("rm", "-f", "there")
        web("network", "rm", "lan")
    assert _left(web) == ("", [])


def test_a_network_that_is_not_there_is_named(box: Program) -> None:
    said = _build(box, "FROM box\nRUN true\n", "--network", "nowhere", status=1)
    assert "network nowhere not found" in said
    said = _build(box, "FROM box\nRUN true\n", "--network", "container:x", status=2)
    assert "container:x" in said


def test_a_kept_step_is_opened_with_the_services_that_it_had(web: Program) -> None:
    _build(web, "FROM box\nRUN wget -q http://web/no\n", "--on-failure", "keep", "--service", "web=web", status=1)
    assert web.text("debug", input=b"wget -q -O - http://web/\n") == "from the service"
    assert _left(web) == ("", [])
    web("debug", "rm", "-f", "--all")


def test_services_of_a_locked_build_are_named_by_digest(web: Program) -> None:
    said = _build(web, _ASKS, "--locked", "--service", "web=web", status=2)
    assert "service web, web, is not pinned" in said
