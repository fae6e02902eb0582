"""A context may come from standard input, a URL or a repository, and further ones by name."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from builder.cli import build, lock
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import DocumentError, NotFound, PybuildError, UsageError
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.archive import save
from tests.remotes import Git, Web, git_server, make_repository, web_server

pytestmark = pytest.mark.root


class Command:
    """The verb; `tree` says what the last image that was built holds."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = context
        self.monkeypatch = monkeypatch
        self.id = ""

    def __call__(self, *words: str, stdin: bytes = b"") -> None:
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        out = io.StringIO()
        context = replace(self.context, stdout=out, stderr=io.StringIO(), environ={"PATH": os.environ["PATH"]})
        assert build.run(read_arguments(build.VERB, ("-q", *words)), context) == 0
        self.id = out.getvalue().strip()

    @property
    def tree(self) -> list[str]:
        with Store.open(self.context) as store:
            image = store.images.require(self.id)
            with store.snapshots.view(store.images.unpacked(image)) as view:
                return [f"{path.decode()} {found.uid}" for path, found, _ in view.walk(b"") if path]


@pytest.fixture
def command(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Command(context, monkeypatch)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path) -> Iterator[Git]:
    repository = make_repository(tmp_path / "git")
    with git_server(repository.bare.parent) as address:
        repository.address = address
        yield repository


def archive(files: Mapping[str, str], times: Mapping[str, int] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mtime = len(content), 7, (times or {}).get(name, 0)
            tar.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


COPY_ALL = "FROM scratch\nCOPY . /\n"
FILES = {"Dockerfile": COPY_ALL, "a": "a", "sub/Other": "FROM scratch\nCOPY a /b\n", ".dockerignore": "a\n"}
WHOLE = [".dockerignore 7", "Dockerfile 7", "a 7", "sub 0", "sub/Other 7"]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_on_standard_input_is_the_context_as_it_is(
    command: Command, compress: Callable[[bytes], bytes]
) -> None:
    command("-", stdin=compress(archive(FILES)))
    assert command.tree == WHOLE


def test_a_file_inside_of_an_archive_is_named_by_its_path_there(command: Command) -> None:
    command("-f", "sub/Other", "-", stdin=archive(FILES))
    assert command.tree == ["b 7"]


def test_a_dockerfile_on_standard_input_has_an_empty_context(command: Command) -> None:
    command("-", stdin=b"FROM scratch\nCOPY <<E /f\nE\n")
    assert command.tree == ["f 0"]
    with pytest.raises(UsageError, match="ambiguous Dockerfile source"):
        command("-f", "x", "-", stdin=b"FROM scratch\n")


def test_a_url_is_an_archive_or_a_dockerfile(command: Command, web: Web) -> None:
    command(web.put("/context.tgz", gzip.compress(archive(FILES))))
    assert command.tree == WHOLE
    command("-f", "sub/Other", web.url("/context.tgz"))
    assert command.tree == ["b 7"]
    command("-f", "-", web.url("/context.tgz"), stdin=b"FROM scratch\nCOPY a /c\n")
    assert command.tree == ["c 7"]
    command(web.put("/any.Dockerfile", COPY_ALL))
    assert command.tree == ["context 0"]


def test_a_repository_is_a_context_with_a_ref_and_a_directory(command: Command, git: Git) -> None:
    git.commit({"Dockerfile": COPY_ALL, "a": "a", "d/Dockerfile": COPY_ALL, "d/b": "b"})
    command(git.url)
    assert command.tree == ["Dockerfile 0", "a 0", "d 0", "d/Dockerfile 0", "d/b 0"]
    command(f"{git.url}#main:d")
    assert command.tree == ["Dockerfile 0", "b 0"]
    command("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", git.url)
    assert ".git/HEAD 0" in command.tree


def test_the_dockerfile_alone_may_come_from_a_url(command: Command, web: Web) -> None:
    Path("src").mkdir()
    Path("src/x").touch()
    command("-f", web.put("/D", COPY_ALL), "src")
    assert command.tree == ["x 0"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["URL/none.tar"], PybuildError, "status 404"),
        (["URL/empty.tar"], NotFound, "failed to read dockerfile: Dockerfile: no such file"),
        (["-f", "sub/Nope", "URL/context.tar"], NotFound, "sub/Nope: no such file in the context"),
        (["-f", "sub", "URL/context.tar"], PybuildError, "is no file"),
        (["GIT#nope"], NotFound, "does not contain ref nope"),
        (["--build-context", "x=oci-layout://nothere", "-f", "F", "."], NotFound, "is no OCI layout"),
        (["--build-context", "x=URL/plain", "-f", "F", "."], PybuildError, "is no archive"),
    ],
)
def test_a_context_that_cannot_be_had_is_an_error_with_a_way_out(
    command: Command, web: Web, git: Git, words: list[str], error: type[PybuildError], said: str
) -> None:
    web.put("/context.tar", archive(FILES))
    web.put("/empty.tar", archive({"app.Dockerfile": ""}))
    web.put("/plain", "text")
    git.commit({"f": ""})
    Path("F").write_text("FROM x\n")
    with pytest.raises(PybuildError) as caught:
        command(*(word.replace("URL", web.url("")).replace("GIT", git.url) for word in words))
    assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, PybuildError)
    assert said in caught.value.message
    assert caught.value.hint or said == "is no file"


class Dated:
    """Builds with SOURCE_DATE_EPOCH; gives the seconds that the image was created at, None where it was now."""

    def __init__(self, command: Command) -> None:
        self.command = command

    def __call__(self, *words: str, stdin: bytes = b"") -> int | None:
        self.command("--no-cache", *words, stdin=stdin)
        with Store.open(self.command.context) as store:
            created = store.images.require(self.command.id).config.created or ""
        seconds = int(datetime.fromisoformat(created).timestamp())
        return None if seconds == self.command.context.now() // 10**9 else seconds  # by a clock that stands still


@pytest.fixture
def dated(command: Command) -> Dated:
    command.context = replace(command.context, now=lambda: 10**18)
    return Dated(command)


def test_the_epoch_is_that_of_a_remote_context(dated: Dated, web: Web, git: Git) -> None:
    git.commit({"Dockerfile": COPY_ALL}, seconds=1_500_000_000)
    arg = ("--build-arg", "SOURCE_DATE_EPOCH=context")
    assert dated(*arg, git.url) == 1_500_000_000
    data = archive({"Dockerfile": COPY_ALL, "x": "1"}, times={"x": 1_400_000_000, "Dockerfile": 1_300_000_000})
    assert dated(*arg, "-", stdin=data) == 1_400_000_000
    assert dated(*arg, web.put("/plain.tar", data)) == 1_400_000_000
    modified = 1_700_000_000
    assert dated("--source-date-epoch", "context", web.put("/c.tar", data, modified=modified)) == 1_700_000_000
    assert dated(*arg, web.put("/D", COPY_ALL, modified=modified)) == 1_700_000_000
    assert dated(*arg, web.put("/D2", COPY_ALL)) is None
    assert dated(*arg, "-", stdin=COPY_ALL.encode()) is None


def test_the_epoch_is_that_of_a_further_context_or_a_stage(dated: Dated, web: Web, git: Git) -> None:
    git.commit({"f": ""}, seconds=1_500_000_000)
    Path("ctx").mkdir()
    text = f"""\
ARG SOURCE_DATE_EPOCH=source
FROM scratch AS source
ARG REF=main
ADD {git.url}#$REF /
FROM scratch
ARG SOURCE_DATE_EPOCH
ENV E=$SOURCE_DATE_EPOCH
COPY --from=source f /
"""
    assert dated("-", stdin=text.encode()) == 1_500_000_000
    with Store.open(dated.command.context) as store:
        assert store.images.require(dated.command.id).config.config.env[-1] == "E=1500000000"
    stdin = b"FROM scratch\nENV A=1\n"
    url = web.put("/f.tar", archive({"f": ""}, times={"f": 1_400_000_000}))
    for where, seconds in ((git.url, 1_500_000_000), (url, 1_400_000_000), ("ctx", None)):
        words = ("--build-context", f"other={where}", "--source-date-epoch", "Other")
        assert dated(*words, "-", stdin=stdin) == seconds


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("FROM x", "must use FROM scratch"),
        ("FROM scratch", "must contain exactly one remote ADD"),
        ("FROM scratch\nADD a /", "must contain exactly one remote ADD source"),
        ("FROM scratch\nADD https://a/b /\nADD https://a/c /", "must contain exactly one remote ADD"),
        ("FROM scratch\nENV A=1", "must hold ARG and ADD alone, no ENV"),
        ("FROM scratch", "invalid SOURCE_DATE_EPOCH: nothing"),
    ],
)
def test_a_word_that_gives_no_epoch_is_refused(command: Command, stage: str, said: str) -> None:
    word = "nothing" if "nothing" in said else "source"
    text = f"{stage.replace('FROM scratch', 'FROM scratch AS source', 1).replace('FROM x', 'FROM x AS source')}\n"
    with pytest.raises((PybuildError, UsageError), match=said):
        command("--timestamp", word, "-", stdin=f"{text}FROM scratch\nLABEL a=1\n".encode())
    with pytest.raises(PybuildError, match=said) as caught:
        command("-", stdin=f"ARG SOURCE_DATE_EPOCH={word}\n{text}FROM scratch\nLABEL a=1\n".encode())
    assert "Dockerfile:" in caught.value.message


def test_a_lock_file_inside_of_any_context_counts(command: Command, web: Web, git: Git, tmp_path: Path) -> None:
    wanted, moved = web.put("/file", "1"), git.commit({"f": "1"})
    context: dict[str, str] = {
        "Dockerfile": f"FROM scratch\nADD {wanted} /file\nCOPY --from=tree f /f\n",
        "pybuild.lock": json.dumps(
            {
                "version": 1,
                "images": {},
                "urls": {wanted: {"digest": "sha256:" + hashlib.sha256(b"1").hexdigest()}},
                "git": {f"{git.url}#": {"commit": moved}},
            }
        ),
    }
    data = archive(context)
    words = ("--build-context", f"tree={git.url}", "--no-cache")
    command("--locked", *words, "-", stdin=data)
    git.commit({"f": "2"})
    command("--locked", *words, web.put("/context.tar", data))
    locked = command.id
    command(*words, "-", stdin=data)
    assert command.id != locked
    with pytest.raises(PybuildError, match=r"is not in pybuild\.lock"):
        command("--locked", *words, "-", stdin=archive({"Dockerfile": context["Dockerfile"]}))
    with pytest.raises(DocumentError, match=r"pybuild\.lock in the context on standard input"):
        command("--locked", "-", stdin=archive({"Dockerfile": "FROM scratch\n", "pybuild.lock": "{"}))
    for place in ("-", git.url):
        with pytest.raises(UsageError, match="a lock file is written into the directory of a build"):
            lock.run(read_arguments(lock.VERB, (place,)), command.context)


NAMED = """\
FROM other AS hidden
FROM scratch
COPY --from=other /d/f /from-context
COPY --from=hidden /d/f /from-stage
"""


def test_named_contexts_are_directories_archives_and_repositories(command: Command, web: Web, git: Git) -> None:
    Path("ctx/d").mkdir(parents=True)
    Path("ctx/d/f").touch()
    Path("F").write_text(NAMED)
    git.commit({"d/f": "x"})
    for where in ("ctx", web.put("/c.tar", archive({"d/f": "x"})), git.url):
        command("-f", "F", "--build-context", f"other={where}", ".")
        assert [line.split()[0] for line in command.tree] == ["from-context", "from-stage"]


def test_a_named_directory_has_an_ignore_file_of_its_own(command: Command) -> None:
    Path("ctx").mkdir()
    for name in ("a", "b"):
        Path("ctx", name).touch()
    Path("ctx/.dockerignore").write_text("b\n")
    command("--build-context", "Other=ctx", "-", stdin=b"FROM scratch\nCOPY --from=other . /\n")
    assert command.tree == [".dockerignore 0", "a 0"]


def test_a_name_hides_a_stage_and_an_image(command: Command) -> None:
    Path("ctx").mkdir()
    Path("ctx/f").touch()
    text = b"FROM scratch AS other\nCOPY <<E /g\nE\nFROM other\n"
    command("-", stdin=text)
    assert command.tree == ["g 0"]
    command("--build-context", "other=ctx", "-", stdin=text)
    assert command.tree == ["f 0"]


def test_an_image_is_named_by_docker_image(command: Command) -> None:
    command("-t", "real:1", "-", stdin=b"FROM scratch\nENV A=real\nCOPY <<E /real\nE\n")
    command("--build-context", "alpine=docker-image://real:1", "-", stdin=b"FROM alpine\nCOPY --from=alpine /real /x\n")
    assert command.tree == ["real 0", "x 0"]
    with Store.open(command.context) as store:
        assert "A=real" in store.images.require(command.id).config.config.env


def test_a_name_may_mean_something_else_for_each_platform(command: Command) -> None:
    for name in ("one", "two", "three"):
        Path(name).mkdir()
        Path(name, name).touch()
    words = ("--build-context", "Other::linux/arm64/v8=one", "--build-context", "other::linux/x86_64=two")
    text = b"FROM --platform=$TARGETPLATFORM other\nCOPY --from=other . /x/\n"
    for platform, name in (("linux/arm64", "one"), ("linux/amd64", "two"), ("linux/riscv64", "three")):
        command(*words, "--build-context", "other=three", "--platform", platform, "-", stdin=text)
        assert command.tree == [f"{name} 0", "x 0", f"x/{name} 0"]
    with pytest.raises(PybuildError, match=r"No such image|could not be fetched|connect"):
        command(*words, "--platform", "linux/riscv64", "--pull=never", "-", stdin=text)


def test_a_stage_may_be_another_one_for_one_platform(command: Command) -> None:
    text = b"FROM scratch AS a\nCOPY <<E /a\nE\nFROM scratch AS b\nCOPY <<E /b\nE\nFROM scratch\nCOPY --from=dep . /\n"
    words = ("--build-context", "dep=target:a", "--build-context", "dep::linux/arm64=target:b")
    for platform, name in (("linux/amd64", "a"), ("linux/arm64", "b")):
        command(*words, "--platform", platform, "-", stdin=text)
        assert command.tree == [f"{name} 0"]


def test_scratch_may_stand_for_an_image(command: Command) -> None:
    text = b"FROM alpine\nCOPY <<E /f\nE\nCOPY --from=other . /d/\n"
    words = ("--build-context", "alpine=docker-image://scratch", "--build-context", "other=docker-image://scratch")
    command(*words, "-", stdin=text)
    assert command.tree == ["d 0", "f 0"]
    with Store.open(command.context) as store:
        assert len(store.images.require(command.id).config.diff_ids) == 2


def test_an_image_is_taken_out_of_a_layout(command: Command, tmp_path: Path) -> None:
    command("-t", "app:1", "-t", "app:2", "-", stdin=b"FROM scratch\nCOPY <<E /one\nE\n")
    with Store.open(command.context) as store, (tmp_path / "app.tar").open("wb") as file:
        save(store, ["app:1"], file)
    with tarfile.open(tmp_path / "app.tar") as tar:
        tar.extraction_filter = lambda member, _place: member  # Python 3.12 warns of none; 3.11.2 knows no filter
        tar.extractall(tmp_path / "layout")
    digest = json.loads((tmp_path / "layout/index.json").read_text())["manifests"][0]["digest"]
    command.context = replace(
        command.context, layout=replace(command.context.layout, root=tmp_path / "root2", run=tmp_path / "run2")
    )
    text = b"FROM base\nCOPY --from=base /one /two\n"
    for suffix in ("", ":1", f"@{digest}"):
        command("--build-context", f"base=oci-layout://{tmp_path}/layout{suffix}", "-", stdin=text)
        assert command.tree == ["one 0", "two 0"]
    with pytest.raises(PybuildError, match="has no image 3"):
        command("--build-context", f"base=oci-layout://{tmp_path}/layout:3", "-", stdin=text)
    with Store.open(command.context) as store:
        assert store.images.resolve(str(parse_reference("app:1"))) is None


def test_a_name_may_stand_for_a_stage(command: Command) -> None:
    text = b"FROM scratch AS a\nCOPY <<E /f\nE\nFROM scratch\nCOPY --from=dep /f /g\n"
    command("--build-context", "dep=target:a", "-", stdin=text)
    assert command.tree == ["g 0"]
    with pytest.raises(PybuildError, match='no stage "b" comes before') as caught:
        command("--build-context", "dep=target:b", "-", stdin=text)
    assert "Dockerfile:5" in caught.value.message


def test_a_step_over_a_named_context_is_remembered_until_that_changes(command: Command) -> None:
    Path("ctx").mkdir()
    Path("ctx/f").write_text("1")
    text = b"FROM scratch\nCOPY --from=other f /\n"
    ids = []
    for content in ("1", "1", "2"):
        Path("ctx/f").write_text(content)
        command("--build-context", "other=ctx", "-", stdin=text)
        ids.append(command.id)
    assert ids[0] == ids[1] != ids[2]


def test_a_name_that_is_nearly_a_context_is_told(command: Command) -> None:
    Path("ctx").mkdir()
    command.context = replace(command.context, offline=True)
    with pytest.raises(PybuildError, match="No such image: othre") as caught:
        command("--build-context", "other=ctx", "-", stdin=b"FROM scratch\nCOPY --from=othre f /\n")
    assert (caught.value.hint or "").startswith("did you mean the context other?")
