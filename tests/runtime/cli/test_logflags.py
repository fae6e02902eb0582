from __future__ import annotations

import pytest

from frozen import replace
from runtime.cli.logflags import details, read_log_config
from runtime.errors import UsageError
from tests.runtime.containers.rows import TEMPLATE


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("syslog", {}, "cannot be had"),
        ("json-file", {"foo": "1"}, "unknown log opt 'foo' for json-file log driver"),
        ("local", {"labels": "a"}, "unknown log opt 'labels' for local log driver"),
        ("none", {"max-size": "1k"}, "invalid logging opts for driver none"),
        ("json-file", {"max-size": "10x"}, "invalid size: '10x'"),
        ("json-file", {"max-size": "-1"}, "invalid size: '-1'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "0"}, "invalid value for max-file: 0"),
        ("json-file", {"mode": "non-blocking"}, "none is lost"),
        ("json-file", {"mode": "bad"}, "logging mode not supported: bad"),
        ("json-file", {"compress": "true"}, "stay as they are"),
        ("json-file", {"env-regex": "("}, "invalid regular expression for env-regex"),
    ],
)
def test_what_a_log_cannot_be_is_said(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        read_log_config(driver, options)


def test_what_a_log_can_be_is_kept_as_it_was_written() -> None:
    options = {"max-size": "10m", "max-file": "3", "mode": "blocking", "compress": "false"}
    assert read_log_config("local", options) == {"Type": "local", "Config": options}
    assert read_log_config("", {}) == {"Type": "json-file", "Config": {}}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, b" "),
        ({"labels": "tier,none", "env": "X"}, b"X=5,tier=web "),
        ({"labels-regex": "^ti", "env-regex": "[XY]"}, b"X=5,Y=a+b%2C,tier=web "),
        ({"tag": "{{.Name}}/{{.ID}}"}, b"tag=app%2Faaaaaaaaaaaa "),
    ],
)
def test_lines_say_what_was_asked_for(options: dict[str, str], told: bytes) -> None:
    container = replace(
        TEMPLATE,
        id="a" * 64,
        name="app",
        config={**TEMPLATE.config, "Env": ["X=5", "Y=a b,"]},
        host_config={"LogConfig": {"Type": "json-file", "Config": options}},
    )
    assert details(container) == told
