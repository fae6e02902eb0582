"""Labels, streams, resolver, health checks and the time to stop.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.run_flags.helpers import ONE, SLEEP, started

pytestmark = [pytest.mark.root, pytest.mark.overlay]


def test_annotations_labels_and_variables_come_from_flags_and_files(box: Program) -> None:
    box.directory("given", {"env": "A=1\nB=from file\n# none\n", "labels": "one=1\ntwo=2\n"})
    words = "--env-file given/env -e B=flag --label-file given/labels -l two=flag --annotation a.b=c".split()
    box("create", "--name", "one", *words, "box", "env")
    assert {"A=1", "B=flag"} <= set(box.text("start", "-a", "one").splitlines())
    shown = json.loads(box.text("inspect", "-f", "{{json .Config.Labels}}", "one"))
    assert shown == {"one": "1", "two": "flag"}
    assert json.loads(box.text("inspect", "-f", "{{json .HostConfig.Annotations}}", "one")) == {"a.b": "c"}
    assert box.text("ps", "-aq", "-f", "label=two=flag") != ""


def test_proxies_of_docker_s_configuration_reach_containers_and_steps(box: Program) -> None:
    proxies = '{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a,b"}}}'
    configuration = box.directory("docker", {"config.json": proxies})
    box.directory("context", {"Dockerfile": "FROM box\nRUN --network=none echo $http_proxy $NO_PROXY > /seen\n"})
    env = {"DOCKER_CONFIG": str(configuration)}
    seen = box.text(*ONE, "-e", "http_proxy=mine", "box", "env", env=env).splitlines()
    assert {"HTTP_PROXY=http://p:1", "http_proxy=mine", "NO_PROXY=a,b", "no_proxy=a,b"} <= set(seen)
    box("build", "-q", "-t", "stepped", "context", env=env)
    assert box.text(*ONE, "stepped", "cat", "/seen") == "http://p:1 a,b"


def test_lists_have_the_form_of_docker_s_configuration(box: Program) -> None:
    forms = {"psFormat": "P {{.Names}}", "imagesFormat": "I {{.Repository}}", "networksFormat": "N {{.Name}}"}
    forms |= {"volumesFormat": "table {{.Name}}", "statsFormat": "S {{.Name}}", "detachKeys": "ctrl-x"}
    configuration = box.directory("docker", {"config.json": json.dumps(forms)})
    env = {"DOCKER_CONFIG": str(configuration)}
    box("create", "--name", "one", "-v", "data:/data", "box", "true")
    assert box.text("ps", "-a", env=env) == "P one"
    assert box.text("ps", "-a", "--format", "{{.Names}}", env=env) == "one"
    assert box.text("ps", "-aq", env=env) == box.text("ps", "-aq")
    assert box.text("images", env=env) == "I box"
    assert box.text("network", "ls", "-f", "driver=bridge", env=env) == "N bridge"
    assert box.text("volume", "ls", env=env).split() == ["VOLUME", "NAME", "data"]
    assert box.text("stats", "--no-stream", "-a", env=env) == "S one"
    wrong = box.directory("wrong", {"config.json": '{"detachKeys": "shift-x"}'})
    refused = box("start", "-a", "one", env={"DOCKER_CONFIG": str(wrong)}, status=2)
    assert b"invalid detach keys (shift-x)" in refused.stderr


def test_only_the_streams_asked_for_are_attached(box: Program) -> None:
    command = ("box", "sh", "-c", "cat; echo out; echo err >&2")
    out = box(*ONE, "-a", "stdout", *command, input=b"in\n")
    assert (out.stdout, out.stderr) == (b"out\n", b"")
    err = box(*ONE, "-i", "-a", "stderr", "-a", "stdin", *command, input=b"in\n")
    assert (err.stdout, err.stderr) == (b"", b"err\n")


def test_the_resolver_is_as_asked(box: Program) -> None:
    words = "--dns 192.0.2.1 --dns-search example.org --dns-option ndots:3".split()
    found = box.text("run", "--rm", *words, "box", "cat", "/etc/resolv.conf").splitlines()
    kept = [line for line in found if not line.startswith("#")]
    assert {"nameserver 192.0.2.1", "search example.org", "options ndots:3"} <= set(kept)


def test_the_images_health_check_can_be_left_out(box: Program, busybox: Path) -> None:
    change = 'HEALTHCHECK --interval=1s CMD ["false"]'
    box("import", "--change", change, "-", "checked", input=busybox.read_bytes())
    started(box, "with", "checked", *SLEEP)
    started(box, "without", "--no-healthcheck", "checked", *SLEEP)
    assert box.text("inspect", "-f", "{{.State.Health.Status}}", "with") != ""
    assert json.loads(box.text("inspect", "-f", "{{json .State.Health}}", "without") or "null") is None


def _health(box: Program, name: str, wanted: str) -> list[dict[str, object]]:
    """Wait until the health of a container is as wanted; returns the log of its checks."""
    deadline = time.monotonic() + 60
    while box.text("inspect", "-f", "{{.State.Health.Status}}", name) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: list[dict[str, object]] = json.loads(box.text("inspect", "-f", "{{json .State.Health.Log}}", name))
    return found


def test_a_check_has_its_times(box: Program) -> None:
    slow = "--health-cmd sleep~100 --health-timeout 200ms --health-interval 100ms --health-retries 1"
    started(box, "slow", *(word.replace("~", " ") for word in slow.split()), "box", *SLEEP)
    assert _health(box, "slow", "unhealthy")[-1]["ExitCode"] == -1
    early = "--health-cmd true --health-interval 1h --health-start-period 1h --health-start-interval 100ms"
    started(box, "early", *early.split(), "box", *SLEEP)
    assert _health(box, "early", "healthy")[-1]["ExitCode"] == 0
    patient = "--health-cmd false --health-interval 100ms --health-retries 1 --health-start-period 1h"
    patient += " --health-start-interval 100ms"
    started(box, "patient", *patient.split(), "box", *SLEEP)
    while len(_health(box, "patient", "starting")) < 3:
        time.sleep(0.05)
    assert box.text("inspect", "-f", "{{.State.Health.FailingStreak}}", "patient") == "0"


def test_the_time_to_stop_is_the_containers(box: Program) -> None:
    started(box, "one", "--stop-timeout", "0", "box", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    box("stop", "one")
    shown = box.text("inspect", "-f", "{{.State.ExitCode}} {{.Config.StopTimeout}}", "one")
    assert shown == "137 0"
