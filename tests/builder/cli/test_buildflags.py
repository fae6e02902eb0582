"""The flags of `build` mean what buildx' flags mean; what cannot be honoured is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from builder.cli.build import VERB
from builder.cli.buildflags import BuildRequest, read_request
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import UsageError


def read(context: Context, *words: str, environ: dict[str, str] | None = None) -> BuildRequest:
    return read_request(read_arguments(VERB, words), replace(context, environ=environ or {}))


def test_names_are_normalised(context: Context) -> None:
    request = read(context, "-t", "app", "-tlocalhost:5000/x:1", ".")
    assert [str(name.tagged()) for name in request.names] == ["docker.io/library/app:latest", "localhost:5000/x:1"]


def test_arguments_without_a_value_come_from_the_environment(context: Context) -> None:
    request = read(
        context, "--build-arg", "A=1=2", "--build-arg", "B", "--build-arg=C", ".", environ={"B": "b", "X": "x"}
    )
    assert request.build_args == {"A": "1=2", "B": "b"}


def test_source_date_epoch_of_the_environment_is_an_argument(context: Context) -> None:
    request = read(context, ".", environ={"SOURCE_DATE_EPOCH": "5"})
    assert request.build_args == {"SOURCE_DATE_EPOCH": "5"}
    assert request.options.epoch == 5
    assert (
        read(context, "--build-arg", "SOURCE_DATE_EPOCH=7", ".", environ={"SOURCE_DATE_EPOCH": "5"}).options.epoch == 7
    )


def test_the_host_network_of_the_command_line_is_consent(context: Context) -> None:
    assert read(context, "--network", "host", ".").options.allow == {"network.host"}
    assert read(context, "--network", "bridge", ".").options.network == "default"


@pytest.mark.parametrize(("text", "size"), [("64m", 64 << 20), ("1g", 1 << 30), ("5", 5), ("2kb", 2048), ("7b", 7)])
def test_sizes_have_units(context: Context, text: str, size: int) -> None:
    assert read(context, "--shm-size", text, ".").options.shm_size == size


def test_limits_have_a_soft_and_a_hard_value(context: Context) -> None:
    request = read(context, "--ulimit", "nofile=10:20", "--ulimit", "core=0", ".")
    assert request.options.ulimits == (("nofile", 10, 20), ("core", 0, 0))


def test_files_to_write_are_paths(context: Context) -> None:
    request = read(context, "--iidfile", "id", "--metadata-file", "m", ".")
    assert (request.iidfile, request.metadata_file) == (Path("id"), Path("m"))


def test_what_is_done_anyway_is_accepted(context: Context) -> None:
    read(
        context, "--load", "--rm", "--force-rm", "--compress", "--provenance=false", "--sbom=false", "--pull=never", "."
    )


def test_an_empty_value_asks_for_nothing(context: Context) -> None:
    flags = (
        *("target", "file", "call", "output", "secret", "ssh", "allow", "annotation", "add-host", "build-context"),
        *("cache-from", "cache-to", "no-cache-filter", "memory", "memory-swap", "shm-size", "iidfile", "network"),
    )
    words = [word for flag in flags for word in (f"--{flag}", "")]
    assert replace(read(context, *words, "."), words=()) == replace(read(context, "."), words=())
    assert read(context, "--shm-size", "0", ".").options.shm_size == 64 << 20


def test_what_the_classic_builder_knew_is_ignored_with_a_warning(context: Context) -> None:
    stderr = io.StringIO()
    words = ("--isolation", "process", "--security-opt", "seccomp=unconfined", ".")
    read(replace(context, stderr=stderr), *words)
    said = stderr.getvalue()
    assert "--isolation has no effect" in said
    assert "--security-opt has no effect" in said


@pytest.mark.parametrize(
    "words",
    [
        ("--cache-to", "type=local"),
        ("--build-context", "a=b"),
        ("--ssh", "=x"),
        ("--memory", "much"),
        ("--resource", "gpu=1"),
        ("--cgroup-parent", "../x"),
        ("--add-host", "nothing"),
        ("--build-context", "x"),
        ("--build-context", "x::no platform=."),
        ("--build-context", "::linux/amd64=."),
        ("--provenance",),
        ("--sbom=true",),
        ("--pull=maybe",),
        ("--network", "container:mine"),
        ("--allow", "everything"),
        ("--annotation", "nothing"),
        ("--cache-to", "type=gha"),
        ("--jobs", "0"),
        ("--shm-size", "much"),
        ("--ulimit", "nofile"),
        ("--label", "=x"),
        ("--build-arg", "=x"),
        ("-t", "UPPER"),
        ("-t", "a@sha256:" + "0" * 64),
        ("-q", "--progress", "plain"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_honoured_is_refused_with_a_reason(context: Context, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        read(context, *words, ".")
    assert caught.value.hint or len(caught.value.message) > 20


def test_files_are_deleted_below_the_working_directory_or_with_consent(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "link").symlink_to(tmp_path)
    assert read(context, "-o", "type=local,dest=out,mode=delete", ".").outputs[0].delete
    for place in (".", "..", "../other", "link/x", str(tmp_path)):
        words = ("-o", f"type=local,dest={place},mode=delete")
        with pytest.raises(UsageError, match="requires --allow=buildx"):
            read(context, *words, ".")
        assert read(context, "--allow", "buildx.local.delete", *words, ".").outputs[0].delete


def test_at_least_four_steps_work_at_once(context: Context) -> None:
    assert read(context, ".").options.jobs >= 4
    assert read(context, "--jobs", "1", ".").options.jobs == 1
