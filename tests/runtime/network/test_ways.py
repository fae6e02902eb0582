"""The way out of a container that is on several networks."""

from __future__ import annotations

from runtime.network.ways import way_out


def test_the_first_network_by_name_that_has_a_gateway_is_the_way_out_unless_another_has_priority() -> None:
    inner, one, two = {"gateway": ""}, {"gateway": "10.1.0.1"}, {"gateway": "10.2.0.1", "priority": 0}
    assert way_out({}) == ""
    assert way_out({"inner": inner}) == ""
    assert way_out({"inner": inner, "six": {"gateway": "", "gateway6": "fd00::1"}}) == "six"
    assert way_out({"inner": inner, "one": one, "two": two}) == "one"
    assert way_out({"two": two, "one": one}) == "one"
    both = {**two, "gateway6": "fd00::1"}
    assert way_out({"one": one, "two": both}) == "two"
    assert way_out({"one": {**one, "priority": 1}, "two": both}) == "one"
    assert way_out({"one": one, "two": {**two, "priority": 1}}) == "two"
    assert way_out({"one": {**one, "priority": -1}, "two": two}) == "two"
