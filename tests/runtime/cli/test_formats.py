from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen import replace
from runtime.cli.formats import align, natural, write_list, write_objects
from runtime.cli.human import calendar_time, human_duration, human_size, since
from runtime.context import Context

ROWS = [{"ID": "1", "Name": "a\x1b\n\tb"}, {"ID": "22", "Name": "ünï"}]
HEADERS = {"ID": "ID", "Name": "NAME"}


def listed(context: Context, form: str | None) -> str:
    output = io.StringIO()
    write_list(replace(context, stdout=output), ROWS, form=form, table="{{.ID}}\t{{.Name}}", headers=HEADERS)
    return output.getvalue()


@pytest.mark.parametrize("form", [None, "", "table", " table "])
def test_a_table_has_dockers_columns(context: Context, form: str | None) -> None:
    assert listed(context, form) == "ID        NAME\n1         a\\x1b\\n\\tb\n22        ünï\n"


def test_a_template_gets_a_line_for_each_row(context: Context) -> None:
    assert listed(context, "{{.ID}}\\t{{upper .Name}}") == "1\tA\\X1B\\N\\TB\n22\tÜNÏ\n"


def test_other_columns_can_be_asked_for(context: Context) -> None:
    assert listed(context, "table {{.Name}}\t{{.ID}}") == "NAME         ID\na\\x1b\\n\\tb   1\nünï          22\n"


def test_titles_stay_as_they_are_whatever_is_made_of_the_fields(context: Context) -> None:
    assert listed(context, "table {{.Name | lower | len}}\t{{json .ID}} {{truncate .ID 1}}").startswith(
        "4         ID ID\n"
    )


def test_json_is_an_object_a_line(context: Context) -> None:
    assert listed(context, "json") == '{"ID":"1","Name":"a\\u001b\\n\\tb"}\n{"ID":"22","Name":"ünï"}\n'


def test_objects_are_an_array(context: Context) -> None:
    output = io.StringIO()
    write_objects(replace(context, stdout=output), [], form=None)
    write_objects(replace(context, stdout=output), [{"a": 1}], form=None)
    write_objects(replace(context, stdout=output), [{"a": 1}], form="json")
    assert output.getvalue() == '[]\n[\n    {\n        "a": 1\n    }\n]\n[{"a":1}]\n'


def test_an_image_is_shown_with_what_it_says_nothing_of(context: Context) -> None:
    output = io.StringIO()
    image = {"RootFS": {"Type": "layers", "Layers": []}, "Config": {"Cmd": ["a < b"]}}
    write_objects(replace(context, stdout=output), [image], form="json")
    assert output.getvalue() == (
        '[{"RootFS":{"Type":"layers","Layers":[]},"Config":{"Cmd":["a \\u003c b"],"Entrypoint":null,"Env":null,'
        '"Labels":null,"OnBuild":null,"User":"","Volumes":null,"WorkingDir":""}}]\n'
    )
    output = io.StringIO()
    write_objects(replace(context, stdout=output), [image], form="{{json .Config}}")
    assert output.getvalue() == '{"Cmd":["a < b"]}\n'


def test_wide_characters_take_two_columns() -> None:
    assert align(["漢字\tx", "abcdefgh\ty"]) == ["漢字       x", "abcdefgh   y"]


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs", "Mn", "Me", "Mc")), max_size=20), min_size=1))
def test_aligned_lines_keep_their_cells(cells: list[str]) -> None:
    line = "\t".join(cells)
    assert [part for cell in cells for part in cell.split()] == align([line])[0].split()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (4050, "4.05kB"), (119_801_310, "120MB"), (1_230_000_000, "1.23GB")],
)
def test_sizes_are_written_as_docker_does(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (600, "10 minutes"),
        (3700, "About an hour"),
        (86400, "24 hours"),
        (3 * 86400, "3 days"),
        (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_lengths_of_time_are_rough(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize("created", [None, "never", "0001-01-01T00:00:00Z"])
def test_no_time_is_not_available(created: str | None) -> None:
    assert since(created, 0) == "N/A"
    assert calendar_time(created) == "N/A"


def test_names_are_ordered_as_people_count() -> None:
    ordered = ["1", "01-a", "2", "10", "a", "a-b", "a1", "a1b", "a2", "a10", "a10-2", "a10-10", "b"]
    mixed = ordered[::-1]
    assert sorted(mixed, key=natural) == ordered
    assert natural("a007") == natural("a7")
