"""Values are made from keywords, do not change, and are equal by content."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping

import pytest

from frozen import Frozen, NamedTuple, TypedDict, asdict, field, replace


class Point(Frozen):
    """A value with a default."""

    x: int
    y: int = 0

    @property
    def sum(self) -> int:
        return self.x + self.y


class Named(Point):
    """A value that adds fields to another's."""

    name: str = ""
    notes: list[str] = field(default_factory=list)
    secret: str = field(default="", repr=False, compare=False)


class Pair(Frozen):
    """A value that holds others."""

    points: tuple[Point, ...]
    extra: Mapping[str, int]


def test_fields_come_from_keywords_and_defaults() -> None:
    point = Point(x=1)
    assert (point.x, point.y, point.sum) == (1, 0, 1)
    named = Named(x=1, name="n")
    assert (named.x, named.y, named.name, named.notes) == (1, 0, "n", [])


class Ordered(Frozen, kw_only=False):
    """A value made without names."""

    first: int
    second: int = 2


def test_a_class_may_take_its_fields_in_order() -> None:
    assert Ordered(1) == Ordered(first=1, second=2)
    assert Ordered(1, 3).second == 3
    with pytest.raises(TypeError, match="'first' twice"):
        Ordered(1, first=2)  # type: ignore[misc]
    with pytest.raises(TypeError, match="takes 2 arguments"):
        Ordered(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 0 arguments"):
        Point(1)  # type: ignore[call-arg]


def test_each_object_has_a_default_of_its_own_where_it_is_made() -> None:
    assert Named(x=1).notes is not Named(x=1).notes


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "missing the argument 'x'"), ({"x": 1, "z": 2}, "unexpected argument 'z'")],
)
def test_wrong_arguments_are_named(values: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Point(**values)


def test_nothing_changes() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.other = 2  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del point.x


def test_values_are_equal_by_class_and_content() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert hash(Point(x=1)) == hash(Point(x=1))
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1)
    assert Named(x=1, secret="a") == Named(x=1, secret="b")
    assert {Point(x=1), Point(x=1)} == {Point(x=1)}


def test_a_value_shows_its_fields_but_those_that_are_not_to_be_seen() -> None:
    assert repr(Named(x=1, secret="s")) == "Named(x=1, y=0, name='', notes=[])"


def test_a_copy_differs_in_what_was_said() -> None:
    assert replace(Point(x=1, y=2), x=3) == Point(x=3, y=2)
    with pytest.raises(TypeError, match="unexpected argument 'z'"):
        replace(Point(x=1), z=2)


def test_a_value_survives_pickling() -> None:
    value = Pair(points=(Point(x=1), Named(x=2)), extra={"a": 1})
    assert pickle.loads(pickle.dumps(value)) == value


def test_a_value_as_a_dict_holds_no_values() -> None:
    value = Pair(points=(Point(x=1),), extra={"a": 1})
    assert asdict(value) == {"points": ({"x": 1, "y": 0},), "extra": {"a": 1}}


def test_the_package_loads_nothing() -> None:
    program = "import sys; before = set(sys.modules); import frozen; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, cwd=".")
    assert set(loaded.stdout.split()) - {"__future__"} == {"frozen"}


class Document(TypedDict, total=False):
    Name: str
    Size: int


def test_a_typed_dict_is_a_dict_and_knows_its_fields() -> None:
    made = Document(Name="a")
    assert type(made) is dict
    assert made == {"Name": "a"}
    assert list(Document.__annotations__) == ["Name", "Size"]


class Place(NamedTuple):
    """Where."""

    line: int
    column: int = 1

    @property
    def shown(self) -> str:
        return f"{self.line}:{self.column}"


def test_a_named_tuple_has_fields_defaults_and_methods() -> None:
    place = Place(3)
    assert place == (3, 1)
    assert place._replace(column=2).shown == "3:2"
    assert (Place.__name__, Place.__module__, Place.__doc__) == ("Place", __name__, "Where.")
    line, column = place
    assert (line, column) == (3, 1)
    assert pickle.loads(pickle.dumps(place)) == place
