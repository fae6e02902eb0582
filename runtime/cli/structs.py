"""Print what the Engine API has a type for as Go prints that type: `{on-failure 3}`, `nofile=10:20`, `1m30s`.

Documents here are maps of JSON, which know nothing of their types; a type is told by the fields that it always has.
What it leaves out of a document where it is empty stands in its text all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Duration(int):
    """A span in nanoseconds, which prints as `1m30s` and counts as the number."""

    __slots__ = ()

    def __str__(self) -> str:
        from runtime.oci.times import go_duration  # lazy: hardly ever

        return go_duration(int(self))


class Line(dict[str, object]):
    """A line of a list: in JSON its fields are in the order of their names and `<>&` are escapes, as Docker has it."""

    __slots__ = ()


_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")
_NOTHING: dict[str, object] = {}
_SHAPES: tuple[tuple[frozenset[str], tuple[str, ...], tuple[tuple[str, object], ...]], ...] = tuple(
    (frozenset(always.split()), tuple(order.split()), tuple(zeros.items()))
    for always, order, zeros in (
        ("HostIp HostPort", "HostIp HostPort", _NOTHING),
        (
            "Type Source Destination RW",
            "Type Name Source Destination Driver Mode RW Propagation",
            dict.fromkeys("Name Driver Mode Propagation".split(), ""),
        ),
        (
            "Type Target",
            "Type Source Target ReadOnly Consistency "
            "BindOptions VolumeOptions ImageOptions TmpfsOptions ClusterOptions",
            {
                **dict.fromkeys(("Source", "Consistency"), ""),
                "ReadOnly": False,
                **dict.fromkeys("BindOptions VolumeOptions ImageOptions TmpfsOptions ClusterOptions".split()),
            },
        ),
        (
            "CreatedAt Mountpoint Name Scope",
            "ClusterVolume CreatedAt Driver Labels Mountpoint Name Options Scope Status UsageData",
            {**dict.fromkeys(("ClusterVolume", "UsageData")), "Status": _NOTHING},
        ),
        ("Name MaximumRetryCount", "Name MaximumRetryCount", _NOTHING),
        ("Type Config", "Type Config", _NOTHING),
        ("Type Layers", "Type Layers", _NOTHING),
        ("Data Name", "Data Name", _NOTHING),
        ("PathOnHost PathInContainer", "PathOnHost PathInContainer CgroupPermissions", {"CgroupPermissions": ""}),
        ("Test", f"Test {' '.join(_TIMES)} Retries", {**dict.fromkeys(_TIMES, Duration(0)), "Retries": 0}),
        (
            "Status Running Paused Pid",
            "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health",
            {"Health": None},
        ),
        ("Driver Options Config", "Driver Options Config", _NOTHING),
        (
            "Subnet Gateway",
            "Subnet IPRange Gateway AuxiliaryAddresses",
            {"IPRange": "", "AuxiliaryAddresses": _NOTHING},
        ),
        (
            "Name EndpointID MacAddress",
            "Name EndpointID MacAddress IPv4Address IPv6Address",
            dict.fromkeys(("IPv4Address", "IPv6Address"), ""),
        ),
    )
)
"""The fields that a type has always, all of its fields in their order, and what those are that may be left out."""


def typed(value: Mapping[str, object], name: str) -> object:
    """Return a field as its type has it: a time of a health check as a Duration."""
    if "Test" in value and name in (*_TIMES, "Retries"):
        number = value.get(name) or 0
        return Duration(number) if name in _TIMES and isinstance(number, int) else number
    return value.get(name)


def left_out(value: Mapping[str, object], name: str, default: object) -> object:
    """Return what a field is that the document of a known type does not have, as it is empty; else `default`."""
    for always, _, zeros in _SHAPES:
        for field, zero in zeros:
            if field == name and always <= value.keys():
                return zero
    return default


def structure(value: Mapping[str, object], show: Callable[[object], str]) -> str | None:
    """Print a map that is a value of a known type; None for every other. `show` prints its fields."""
    if "Name" in value and "Soft" in value and "Hard" in value:
        return f"{value['Name']}={value['Soft']}:{value['Hard']}"
    names = value.keys()
    for always, order, zeros in _SHAPES:
        if always <= names <= set(order):
            fields = {**dict(zeros), **{name: typed(value, name) for name in names}}
            for name in ("Labels", "Options"):
                if fields.get(name, ...) is None:  # a map
                    fields[name] = _NOTHING
            return "{" + " ".join(show(fields[name]) for name in order if name in fields) + "}"
    return None
