"""An image's configuration after each instruction is what BuildKit writes."""

from __future__ import annotations

from typing import Any

import pytest

from builder import imagestate
from builder.imagestate import ImageState
from grammar import instructions as typed
from grammar.parser import parse
from grammar.scope import Scope

SECOND = 1_000_000_000


def after(state: ImageState, *instructions: typed.ResolvedInstruction, created: int | None = None) -> ImageState:
    for instruction in instructions:
        state = imagestate.apply(state, instruction, Scope.open(), created=created, layer=created is not None)
    return state


def begun() -> ImageState:
    return imagestate.begin(imagestate.scratch({"architecture": "amd64", "os": "linux"}), Scope.open())


def test_an_image_from_scratch_has_a_path_and_the_root_as_directory() -> None:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert begun().config == {"Env": [path], "WorkingDir": "/"}


def test_entrypoint_resets_an_inherited_command_and_keeps_an_own_one() -> None:
    base = after(begun(), typed.Cmd(command=("a",), form="exec"))
    entry = typed.Entrypoint(command=("e",), form="exec")
    assert after(base, entry).config["Cmd"] == ["a"]
    assert "Cmd" not in after(imagestate.child_of(base), entry).config


def test_a_shell_form_uses_the_shell_in_effect() -> None:
    state = after(begun(), typed.Shell(command=("bash", "-e")), typed.Cmd(command="x y", form="shell"))
    assert state.config["Cmd"] == ["bash", "-e", "x y"]
    assert state.config["ArgsEscaped"] is True


def test_triggers_of_a_base_are_gone_once_a_stage_begins() -> None:
    state = after(begun(), typed.Onbuild(trigger="RUN x"))
    assert state.triggers == ("RUN x",)
    assert imagestate.begin(imagestate.child_of(state), Scope.open()).triggers == ()


def test_ports_volumes_and_labels_add_up() -> None:
    state = after(
        begun(),
        typed.Expose(ports=("80/tcp",)),
        typed.Expose(ports=("81/udp",)),
        typed.Volume(paths=("/a",)),
        typed.Label(labels=(("x", "1"),)),
        typed.Label(labels=(("x", "2"), ("y", "3"))),
    )
    assert state.config["ExposedPorts"] == {"80/tcp": {}, "81/udp": {}}
    assert state.config["Volumes"] == {"/a": {}}
    assert state.config["Labels"] == {"x": "2", "y": "3"}


def test_the_environment_is_that_of_the_scope_after_each_line() -> None:
    scope, state = Scope.open(["A=1", "A=2", "X="]), imagestate.scratch({"architecture": "amd64", "os": "linux"})
    state = imagestate.begin(state, scope)
    for text in ("ENV B=1 C=2 B=3", "ENV A=9", "ENV C=4 D=5", "ENV PATH=/p", "ENV E $D"):
        scope, resolved = scope.apply(parse(text).instructions[0])
        state = imagestate.apply(state, resolved, scope, created=None, layer=False)
        assert state.config["Env"] == [f"{name}={value}" for name, value in scope.environment.items()]
    assert state.config["Env"] == ["A=9", "X=", "PATH=/p", "B=3", "C=4", "D=5", "E=5"]


def test_a_healthcheck_keeps_only_what_was_given() -> None:
    state = after(begun(), typed.Healthcheck(test=("CMD", "x"), retries=2, interval=SECOND))
    assert state.config["Healthcheck"] == {"Test": ["CMD", "x"], "Interval": SECOND, "Retries": 2}


def test_fields_that_nobody_knows_survive_and_the_classic_builders_go() -> None:
    document: dict[str, Any] = {
        "os": "linux",
        "os.features": ["x"],
        "container_config": {},
        "config": {"Hostname": "h", "User": "u", "Odd": 1},
        "history": [{"created_by": "base", "odd": 2}],
        "created": "2020-01-01T00:00:00Z",
    }
    state = imagestate.from_document(document)
    written = imagestate.document_of(state, ["sha256:x"], fallback=0, epoch=None)
    assert written["os.features"] == ["x"]
    assert written["config"] == {"User": "u", "Odd": 1}
    assert written["history"] == [{"created_by": "base", "odd": 2}]
    assert "container_config" not in written


def test_an_entry_without_a_layer_takes_the_time_of_the_layer_before_it_else_after_it() -> None:
    state = after(begun(), typed.User(user="a"))
    state = after(state, typed.Workdir(path="/x"), created=2 * SECOND)
    state = after(state, typed.User(user="b"))
    document = imagestate.document_of(state, [], fallback=9 * SECOND, epoch=None)
    assert [entry["created"][-3:-1] for entry in document["history"]] == ["02", "02", "02"]
    assert document["created"] == "1970-01-01T00:00:02Z"


def test_an_image_without_layers_takes_the_fallback() -> None:
    state = after(begun(), typed.User(user="a"))
    assert imagestate.document_of(state, [], fallback=SECOND, epoch=None)["created"] == "1970-01-01T00:00:01Z"


def test_source_date_epoch_replaces_the_times_of_what_the_build_made() -> None:
    inherited = imagestate.from_document({"history": [{"created": "2020-01-01T00:00:00Z"}]})
    state = after(inherited, typed.Workdir(path="/x"), created=99 * SECOND)
    document = imagestate.document_of(state, [], fallback=5, epoch=7)
    assert [entry["created"] for entry in document["history"]] == ["2020-01-01T00:00:00Z", "1970-01-01T00:00:07Z"]
    assert document["created"] == "1970-01-01T00:00:07Z"


@pytest.mark.parametrize(
    ("current", "path", "result"),
    [("/", "a", "/a"), ("/a", "b", "/a/b"), ("/a", "/b/", "/b"), ("/a", "../..", "/"), ("/", "./x//y/.", "/x/y")],
)
def test_a_working_directory_is_joined_and_cleaned(current: str, path: str, result: str) -> None:
    assert imagestate.absolute(current, path) == result


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_500_000_000, "1970-01-01T00:00:01.5Z"), (1, "1970-01-01T00:00:00.000000001Z")],
)
def test_a_time_has_no_trailing_zeros(nanoseconds: int, text: str) -> None:
    assert imagestate.timestamp(nanoseconds) == text
