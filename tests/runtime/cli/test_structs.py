from __future__ import annotations

from typing import Any

import pytest

from runtime.cli.structs import Line
from runtime.cli.templates import render, to_json

DOCUMENT: dict[str, Any] = {
    "Config": {
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000},
        "Volumes": {"/a": {}, "/b": {}},
        "Labels": {"Name": "x", "Soft": "y"},
    },
    "HostConfig": {
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "LogConfig": {"Type": "json-file", "Config": {}},
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rwm"}],
        "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}],
    },
    "Mounts": [
        {"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "ro", "RW": False, "Propagation": "rprivate"}
    ],
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "8080"}], "99/tcp": None}},
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.0.0.0/8", "Gateway": "10.0.0.1"}]},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Config.Healthcheck}}", "{[CMD-SHELL true] 1m30s 0s 0s 0s 0}"),
        (
            "{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Timeout}} {{.Config.Healthcheck.Retries}}",
            "1m30s 0s 0",
        ),
        ("{{json .Config.Healthcheck.Interval}} {{eq .Config.Healthcheck.Interval 90000000000}}", "90000000000 true"),
        ("{{.Config.Volumes}}", "map[/a:{} /b:{}]"),
        ("{{.Config.Labels}}", "map[Name:x Soft:y]"),
        ("{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}}", "{on-failure 3} {json-file map[]}"),
        ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{127.0.0.1 8080}]]"),
        ("{{.HostConfig.Devices}} {{.HostConfig.Ulimits}}", "[{/dev/a /dev/b rwm}] [nofile=10:20]"),
        ("{{.Mounts}}", "[{bind  /s /d  ro false rprivate}]"),
        ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{:: 8080}] 99/tcp:[]]"),
        (
            "{{range $port, $places := .NetworkSettings.Ports}}{{$port}}{{$places}} {{end}}",
            "80/tcp[{:: 8080}] 99/tcp[] ",
        ),
        ("{{.IPAM}}", "{default map[] [{10.0.0.0/8  10.0.0.1 map[]}]}"),
    ],
)
def test_values_of_the_engines_types_print_as_go_prints_them(template: str, text: str) -> None:
    assert render(template, DOCUMENT) == text


def test_a_line_in_json_has_its_fields_in_order_and_is_fit_for_html() -> None:
    assert to_json(Line(Name="<&>", ID="1")) == '{"ID":"1","Name":"\\u003c\\u0026\\u003e"}'
    assert to_json({"Name": "<&>"}) == '{"Name":"<&>"}'
