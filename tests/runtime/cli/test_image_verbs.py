from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from frozen import replace
from runtime.cli import diskusage, history, images, importimage, inspect, load, prune, rmi, save, system, tag
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import DocumentError, NotFound, StoreError, UsageError

NOW = 1_717_200_000 * 10**9


class Shell:
    """Calls verbs with words and keeps what they print."""

    def __init__(self, context: Context) -> None:
        self.context = replace(context, stdout=io.StringIO(), stderr=io.StringIO(), now=lambda: NOW)

    def __call__(self, module: ModuleType, *words: str, part: str = "") -> tuple[int, str, str]:
        verb = getattr(module, f"VERB_{part.upper()}" if part else "VERB")
        run: Callable[..., int] = getattr(module, f"run_{part}" if part else "run")
        context = replace(self.context, stdout=io.StringIO(), stderr=io.StringIO())
        status = run(read_arguments(verb, words), context)
        return status, context.stdout.getvalue(), context.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def shell(context: Context) -> Shell:
    return Shell(context)


@pytest.fixture
def tarball(tmp_path: Path) -> str:
    path = tmp_path / "root.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("bin/sh")
        info.size = 1500
        tar.addfile(info, io.BytesIO(b"x" * 1500))
    return str(path)


@pytest.fixture
def app(shell: Shell, tarball: str) -> str:
    """An image `app:1`; its id."""
    words = ("-c", "CMD sh", "-c", "LABEL evil=\x1b[31m", "-m", "by hand", tarball, "app:1")
    return shell(importimage, *words)[1].strip()


def test_images_prints_dockers_table(shell: Shell, app: str) -> None:
    _, output, _ = shell(images)
    assert output.splitlines() == [
        "REPOSITORY   TAG       IMAGE ID       CREATED                  SIZE",
        f"app          1         {app[7:19]}   Less than a second ago   1.5kB",
    ]


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("-q",), "{short}\n"),
        (("-q", "--no-trunc"), "{id}\n"),
        (("app",), "REPOSITORY   TAG       IMAGE ID       CREATED                  SIZE\n"
                   "app          1         {short}   Less than a second ago   1.5kB\n"),
        (("other",), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"),
        (("--format", "{{{{.Repository}}}}:{{{{.Tag}}}}\\t{{{{.Size}}}}"), "app:1\t1.5kB\n"),
        (("--format", "table {{{{.ID}}}}\\t{{{{.Tag}}}}"), "IMAGE ID       TAG\n{short}   1\n"),
        (("-f", "dangling=true", "-q"), ""),
        (("--digests", "--format", "{{{{.Digest}}}}"), "<none>\n"),
        (("--filter", "reference=a*", "-q"), "{short}\n"),
    ],
)  # fmt: skip
def test_images_has_dockers_flags(shell: Shell, app: str, words: tuple[str, ...], output: str) -> None:
    filled = [word.format() for word in words]
    assert shell(images, *filled)[1] == output.format(id=app, short=app[7:19])


def test_images_prints_an_object_a_line(shell: Shell, app: str) -> None:
    shell(tag, "app:1", "b:2")
    rows = [json.loads(line) for line in shell(images, "--format", "json")[1].splitlines()]
    assert [(row["Repository"], row["Tag"], row["Size"]) for row in rows] == [
        ("app", "1", "1.5kB"),
        ("b", "2", "1.5kB"),
    ]
    assert rows[0]["CreatedAt"] == "2024-06-01 00:00:00 +0000 UTC"


def test_a_tag_with_a_digest_is_refused(shell: Shell, app: str) -> None:
    with pytest.raises(UsageError, match="refusing to create a tag with a digest"):
        shell(tag, "app:1", "x@sha256:" + "a" * 64)
    with pytest.raises(NotFound, match="No such image: nothing:latest"):
        shell(tag, "nothing", "x")


def test_rmi_prints_what_it_did(shell: Shell, app: str) -> None:
    shell(tag, "app:1", "b:2")
    assert shell(rmi, "b:2") == (0, "Untagged: b:2\n", "")
    status, output, _ = shell(rmi, app)
    assert status == 0
    assert output.splitlines()[:2] == ["Untagged: app:1", f"Deleted: {app}"]
    assert output.splitlines()[2].startswith("Deleted: sha256:")


def test_rmi_goes_on_after_a_missing_image(shell: Shell, app: str) -> None:
    status, output, errors = shell(rmi, "nothing", "app:1")
    assert status == 1
    assert "Untagged: app:1" in output
    assert "No such image: nothing:latest" in errors
    assert shell(rmi, "-f", "nothing")[0] == 0


def test_inspect_prints_the_engines_shape(shell: Shell, app: str) -> None:
    status, output, _ = shell(inspect, "app:1")
    assert status == 0
    (document,) = json.loads(output)
    assert list(document) == [
        "Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Architecture",
        "Os", "Size", "GraphDriver", "RootFS", "Metadata", "Config",
    ]  # fmt: skip
    assert document["Id"] == app
    assert document["RepoTags"] == ["app:1"]
    assert document["Comment"] == "by hand"
    assert document["Config"]["Cmd"] == ["/bin/sh", "-c", "sh"]
    assert document["Size"] == 1500


@pytest.mark.parametrize("words", [("app:1", "-f", "{{.Id}}"), ("app:1", "--type", "image", "--format", "{{.Id}}")])
def test_inspect_fills_in_a_template(shell: Shell, app: str, words: tuple[str, ...]) -> None:
    assert shell(inspect, *words)[1] == f"{app}\n"


def test_inspect_shows_what_it_finds_and_says_what_not(shell: Shell, app: str) -> None:
    assert shell(inspect, "nothing") == (1, "[]\n", "pybuild: No such object: nothing\n")
    assert shell(inspect, "nothing", part="image") == (1, "[]\n", "pybuild: No such image: nothing:latest\n")
    status, output, errors = shell(inspect, "nothing", "app:1")
    assert (status, len(json.loads(output)), errors) == (1, 1, "pybuild: No such object: nothing\n")
    assert shell(inspect, "nothing", "-f", "{{.Id}}") == (1, "", "pybuild: No such object: nothing\n")
    with pytest.raises(UsageError, match="--type"):
        shell(inspect, "x", "--type", "thing")


def test_history_prints_dockers_table(shell: Shell, app: str) -> None:
    assert shell(history, "app:1")[1].splitlines() == [
        "IMAGE          CREATED                  CREATED BY   SIZE      COMMENT",
        f"{app[7:19]}   Less than a second ago                1.5kB     by hand",
    ]
    assert shell(history, "-q", "--no-trunc", "app:1")[1] == f"{app}\n"
    assert shell(history, "--human=false", "--format", "{{.Size}} {{.CreatedAt}}", "app:1")[1] == (
        "1500 2024-06-01T00:00:00Z\n"
    )


def test_what_was_saved_to_a_file_is_loaded_from_it(shell: Shell, app: str, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    assert shell(save, "app:1", "-o", str(path)) == (0, "", "")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    shell(rmi, "app:1")
    assert shell(load, "-i", str(path)) == (0, "Loaded image: app:1\n", "")
    assert shell(images, "-q", "--no-trunc")[1] == f"{app}\n"
    shell(save, app, "-o", str(path))
    assert shell(load, "-i", str(path))[1] == f"Loaded image ID: {app}\n"


def test_a_save_that_fails_leaves_no_file(shell: Shell, app: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        shell(save, "app:1", "nothing", "-o", str(tmp_path / "x.tar"))
    with pytest.raises(Exception, match="cannot be written"):
        shell(save, "app:1", "-o", str(tmp_path / "no/x.tar"))
    assert not (tmp_path / "x.tar").exists()


def test_what_cannot_be_written_to_is_named(shell: Shell, app: str) -> None:
    with pytest.raises(StoreError, match=r"^/dev/full cannot be written: No space left"):
        shell(save, "-o", "/dev/full", "app:1")


def test_an_archive_with_a_wrong_document_is_named(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "wrong.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (
            ("manifest.json", b'[{"Config": "c.json", "RepoTags": ["a:1"], "Layers": []}]'),
            ("c.json", b'{"architecture": "amd64", "os": "linux"}'),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(DocumentError) as caught:
        shell(load, "-i", str(path))
    assert caught.value.message == f"{path}: rootfs: is missing"


def test_nothing_is_saved_to_a_terminal(shell: Shell, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="refusing to save to a terminal"):
        shell(save, "app:1")
    with pytest.raises(UsageError, match="terminal"):
        shell(load)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_control_characters_reach_no_terminal(shell: Shell, app: str) -> None:
    output = Terminal()
    shell.context = replace(shell.context, stdout=output)
    args = read_arguments(inspect.VERB, ("app:1", "-f", "{{.Config.Labels}}"))
    assert inspect.run(args, shell.context) == 0
    assert output.getvalue() == "map[evil:\\x1b[31m]\n"
    assert "\x1b" not in shell(inspect, "app:1")[1]


def test_prune_asks_before_it_deletes(shell: Shell, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(UsageError, match="nobody can be asked") as caught:
        shell(prune)
    assert "-f" in str(caught.value.hint)
    terminal = Terminal("n\n")
    monkeypatch.setattr(sys, "stdin", terminal)
    assert shell(prune, "-a")[1] == ""
    assert shell(prune, "-f")[1] == "Total reclaimed space: 0B\n"
    output = shell(prune, "-a", "-f")[1]
    assert output.startswith(f"Deleted Images:\nuntagged: app:1\ndeleted: {app}\n")


def test_check_counts_what_is_sound_and_names_what_is_not(shell: Shell, app: str) -> None:
    status, output, _ = shell(system, part="check")
    assert (status, output.endswith("1 images, 1 layers and 1 blobs are sound\n")) == (0, True)
    blob = shell.context.layout.images / "blobs/sha256" / app[7:]
    blob.write_bytes(b"{}")
    status, output, errors = shell(system, part="check")
    assert status == 1
    assert f"blob {app} is damaged" in output
    assert "problems found" in errors
    document: dict[str, Any] = json.loads(shell(system, "--format", "json", part="check")[1])
    assert document["version"] == 1
    assert document["problems"]


def test_df_has_a_line_for_each_kind(shell: Shell, app: str) -> None:
    lines = shell(diskusage)[1].splitlines()
    assert [line.split("  ")[0] for line in lines] == ["TYPE", "Images", "Containers", "Local Volumes", "Build Cache"]
