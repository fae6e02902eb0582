"""`pybuild build` from outside, as root and as an ordinary user: cache, flags, outputs, odd places of files."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.steps import build, read_steps, rebuilt

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")
CHANCE = "/proc/sys/kernel/random/uuid"
"""What gives another text each time it is read."""
PLAIN = (
    "FROM box\nRUN --network=none echo hello > /greeting\nCOPY page /srv/page\n"
    "RUN --network=none cat /srv/page > /seen\n"
)


def config_of(program: Program, name: str) -> dict[str, object]:
    """Return an image's Config as `inspect` shows it."""
    config: dict[str, object] = json.loads(program.text("inspect", name))[0]["Config"]
    return config


def names_in(data: bytes) -> list[str]:
    """Return the names in a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


@pytest.fixture
def site(box: Program) -> Path:
    return box.directory("site", {"Dockerfile": PLAIN, "page": "one\n"})


def test_a_second_build_does_nothing_and_gives_the_same_image(box: Program, site: Path) -> None:
    first = box.text("build", "-q", "-t", "web", site)
    assert box.text(*RUN, "web", "cat", "/greeting", "/seen") == "hello\none"
    ends = build(box, site, "-t", "web")
    assert len(ends) == 4
    assert rebuilt(ends) == []
    assert box.text("build", "-q", site) == first == box.text("images", "-q", "--no-trunc", "web")


def test_a_changed_file_is_built_anew_from_its_copy_on(box: Program, site: Path) -> None:
    build(box, site, "-t", "web")
    (site / "page").write_text("two\n")
    assert rebuilt(build(box, site, "-t", "web")) == ["COPY", "RUN"]
    assert box.text(*RUN, "web", "cat", "/seen") == "two"
    (site / "page").write_text("one\n")
    assert rebuilt(build(box, site)) == []


def test_a_new_time_alone_changes_nothing(box: Program, site: Path) -> None:
    first = box.text("build", "-q", site)
    os.utime(site / "page", (1, 1))
    assert box.text("build", "-q", site) == first


def test_a_layer_that_shares_files_with_an_earlier_one_shows_nothing_of_it(box: Program) -> None:
    text = (
        "FROM box\nRUN --network=none mkdir -p /t/d && echo base > /t/gone && echo base > /t/a\nCOPY tree /t/\n"
        'RUN --network=none stat -c "%h %n" /t/b /t/d/c > /names && echo written >> /t/b\n'
    )
    files = {"Dockerfile": text, "tree/a": "1\n", "tree/b": "b\n", "tree/d/c": "c\n", "tree/gone": "here\n"}
    context = box.directory("sharing", files)
    look = (*RUN, "s", "sh", "-c", "cat /names /t/a /t/b /t/d/c /t/gone")
    box("build", "-q", "-t", "first", context)
    for number in (2, 3):
        (context / "tree/a").write_text(f"{number}\n")
        box("build", "-q", "-t", "s", context)
        assert box.text(*look).splitlines() == ["1 /t/b", "1 /t/d/c", str(number), "b", "written", "c", "here"]
    box("rmi", "first")
    box("system", "prune", "-f")
    box("builder", "prune", "-af")
    assert box.text(*look).splitlines()[2:4] == ["3", "b"]
    assert "are sound" in box.text("system", "check")
    archive = box.home / "s.tar"
    box("save", "-o", archive, "s")
    box("rmi", "s")
    box("load", "-i", archive)
    assert box.text(*look).splitlines()[2:4] == ["3", "b"]
    (context / "tree/gone").unlink()
    box("build", "-q", "-t", "s", context)
    assert box.text(*look).splitlines()[-1] == "base", "what the image has below shows again"


def test_an_ignored_file_is_neither_sent_nor_part_of_the_key(box: Program) -> None:
    files = {"Dockerfile": "FROM box\nCOPY . /c\n", "a": "1", "log/x": "1", ".dockerignore": "log\nDockerfile\n.d*\n"}
    context = box.directory("ignoring", files)
    first = box.text("build", "-q", "-t", "i", context)
    (context / "log/x").write_text("2")
    (context / "log/y").write_text("2")
    assert box.text("build", "-q", context) == first
    assert box.text(*RUN, "i", "ls", "-A", "/c") == "a"


def test_a_step_that_makes_the_same_again_ends_the_work(box: Program) -> None:
    """The second stage is made of content that did not change, though the step that made it ran anew."""
    text = (
        "FROM box AS one\nCOPY source /s\nRUN --network=none tr a-z A-Z < /s | head -c 1 > /out\n"
        f"FROM box\nCOPY --from=one /out /out\nRUN --network=none cat {CHANCE} /out > /stamp\n"
    )
    context = box.directory("early", {"Dockerfile": text, "source": "abc"})
    build(box, context, "-t", "first")
    (context / "source").write_text("axx")
    ends = build(box, context, "-t", "second")
    assert rebuilt(ends) == ["COPY", "RUN"]
    assert box.text(*RUN, "first", "cat", "/stamp") == box.text(*RUN, "second", "cat", "/stamp")


def test_only_the_stages_that_are_needed_are_built(box: Program) -> None:
    text = (
        "FROM box AS base\nRUN --network=none echo base > /base\n"
        "FROM base AS broken\nRUN --network=none false\n"
        "FROM base AS good\nRUN --network=none echo good > /good\n"
        "FROM scratch\nCOPY --from=good /good /base /\n"
    )
    context = box.directory("stages", {"Dockerfile": text})
    ends = build(box, context, "-t", "last")
    assert not any("false" in name for name in ends)
    assert sorted(names_in(box("build", "-o", "-", context).stdout)) == ["base", "good"]
    box("build", "--target", "broken", context, status=1)
    box("build", "-q", "--target", "GOOD", "-t", "good", context)
    assert box.text(*RUN, "good", "cat", "/good", "/base") == "good\nbase"


def test_build_arguments_are_values_and_part_of_the_key(box: Program) -> None:
    context = box.directory(
        "args", {"Dockerfile": "ARG NAME=box\nFROM $NAME\nARG A=1\nARG B\nRUN --network=none echo $A-$B > /ab\n"}
    )
    assert rebuilt(build(box, context, "--build-arg", "A=2", "-t", "x")) == ["RUN"]
    assert rebuilt(build(box, context, "--build-arg", "A=2")) == []
    assert rebuilt(build(box, context, "--build-arg", "A=2", "--build-arg", "B", env={"B": "env"})) == ["RUN"]
    assert box.text(*RUN, "x", "cat", "/ab") == "2-"
    result = box("build", "--build-arg", "UNKNOWN=1", "--progress", "plain", context)
    assert b"UNKNOWN" in result.stderr


def test_flags_name_label_and_tell_of_the_image(box: Program, site: Path) -> None:
    out = box.directory("out", {})
    words = ("--label", "a=b", "--label", "empty=", "-t", "one:1", "-t", "registry.example:5000/two", "--iidfile")
    shown = box("build", "-q", *words, out / "id", "--metadata-file", out / "meta", site)
    identity = shown.stdout.decode().strip()
    assert shown.stderr == b""
    assert (out / "id").read_text() == identity
    assert json.loads((out / "meta").read_text())["containerimage.config.digest"] == identity
    assert config_of(box, "registry.example:5000/two:latest")["Labels"] == {"a": "b", "empty": ""}
    assert box.text("images", "-q", "--no-trunc", "one:1") == identity


def test_no_cache_runs_everything_anew(box: Program) -> None:
    context = box.directory("anew", {"Dockerfile": f"FROM box\nRUN --network=none cat {CHANCE} > /now\n"})
    build(box, context, "-t", "a")
    assert rebuilt(build(box, context, "--no-cache", "-t", "b")) == ["RUN"]
    assert box.text(*RUN, "a", "cat", "/now") != box.text(*RUN, "b", "cat", "/now")
    build(box, context, "-t", "c")
    assert box.text("images", "-q", "c") == box.text("images", "-q", "b")


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_archive_is_written_to_a_file_or_standard_output_and_can_be_loaded(
    box: Program, site: Path, kind: str
) -> None:
    out = box.directory("out", {})
    box("build", "-q", "-t", "web", "-o", f"type={kind},dest={out}/web.tar", site)
    piped = box("build", "-t", "web", "-o", f"type={kind},dest=-", site)
    with tarfile.open(out / "web.tar") as tar:
        names = tar.getnames()
    assert ("manifest.json" if kind == "docker" else "oci-layout") in names
    assert names_in(piped.stdout) == names
    assert "web" not in box.text("images", "--format", "{{.Repository}}")  # an export alone names nothing in the store
    assert box.text("load", "-i", out / "web.tar") == "Loaded image: web:latest"
    assert box.text(*RUN, "web", "cat", "/seen") == "one"


def test_a_tree_is_written_as_tar_or_into_a_directory(box: Program, site: Path) -> None:
    out = box.directory("out", {})
    box("build", "-q", "-o", f"type=tar,dest={out}/tree.tar", site)
    box("build", "-q", "-o", f"{out}/tree", site)
    with tarfile.open(out / "tree.tar") as tar:
        assert {"srv/page", "bin/busybox", "greeting"} <= set(tar.getnames())
    assert (out / "tree/srv/page").read_text() == "one\n"
    assert (out / "tree/bin/sh").readlink() == Path("busybox")


def test_the_dockerfile_may_lie_anywhere(box: Program) -> None:
    context = box.directory("ctx", {"page": "one\n", "sub/Containerfile": "FROM box\nCOPY page /1\n"})
    elsewhere = box.directory("elsewhere", {"My.Dockerfile": "FROM box\nCOPY page /2\n"})
    box("build", "-q", "-t", "one", "-f", context / "sub/Containerfile", context)
    box("build", "-q", "-t", "two", "-f", "../elsewhere/My.Dockerfile", ".", cwd=context)
    box("build", "-q", "-t", "three", "-f", "-", ".", cwd=context, input=b"FROM box\nCOPY page /3\n")
    box("build", "-q", "-t", "four", "-", input=b"FROM box\nCOPY <<E /4\none\nE\n")
    assert elsewhere.exists()
    for number, name in enumerate(("one", "two", "three", "four"), 1):
        assert box.text(*RUN, name, "cat", f"/{number}") == "one"


def test_triggers_of_a_base_run_in_the_image_on_it(box: Program) -> None:
    base = box.directory("base", {"Dockerfile": "FROM box\nONBUILD COPY page /page\nONBUILD ENV made=here\n"})
    context = box.directory("child", {"Dockerfile": "FROM base\nRUN --network=none cat /page > /seen\n", "page": "p\n"})
    box("build", "-q", "-t", "base", base)
    box("build", "-q", "-t", "child", context)
    assert box.text(*RUN, "child", "sh", "-c", "cat /seen; echo $made") == "p\nhere"
    assert "OnBuild" not in {key for key, value in config_of(box, "child").items() if value}


def test_the_epoch_gives_the_same_image_whatever_was_built_before_it(box: Program) -> None:
    text = (
        "FROM box\nCOPY <<E /h/text\nx\nE\nWORKDIR /w/v\nCOPY page /new/page\n"
        "RUN --network=none echo a > /made; touch -d @1000000000 /old\n"
    )
    context = box.directory("epoch", {"Dockerfile": text, "page": "one\n"})
    output = ("-o", "type=image,rewrite-timestamp=true")
    later = {"SOURCE_DATE_EPOCH": str(int(time.time()) + 3600)}  # later than what is remembered of the first build
    box("build", "-q", context)
    box("build", "-q", *output, context, env={"SOURCE_DATE_EPOCH": "1500000000"})
    remembered = box.text("build", "-q", "-t", "e", *output, context, env=later)
    assert box.text(*RUN, "e", "stat", "-c", "%Y", "/made", "/old", "/w/v").split() == [
        later["SOURCE_DATE_EPOCH"],
        "1000000000",
        later["SOURCE_DATE_EPOCH"],
    ]
    other = Program(home=box.home / "other", user=box.user)
    other.home.mkdir()
    other.own(other.home)
    other("load", "-q", input=box("save", "box").stdout)
    assert other.text("build", "-q", "-t", "e", *output, context, env=later) == remembered


def test_the_same_epoch_gives_the_same_image_in_another_store(box: Program) -> None:
    text = "FROM scratch\nCOPY page /srv/page\nWORKDIR /made\nCOPY <<E /here\nhi\nE\n"
    context = box.directory("epoch", {"Dockerfile": text, "page": "one\n"})
    epoch = {"SOURCE_DATE_EPOCH": "1000000000"}
    output = ("-o", "type=image,rewrite-timestamp=true")
    first = box.text("build", "-q", "-t", "e", *output, context, env=epoch)
    (context / "page").touch()
    other = Program(home=box.home / "other", user=box.user)
    other.home.mkdir()
    other.own(other.home)
    assert other.text("build", "-q", "-t", "e", *output, context, env=epoch) == first
    assert json.loads(box.text("inspect", "e"))[0]["Created"] == "2001-09-09T01:46:40Z"


def test_what_was_committed_before_a_failure_is_kept_for_the_next_build(box: Program) -> None:
    text = "FROM box\nRUN --network=none echo a > /a\nRUN --network=none test -e /ok\n"
    context = box.directory("half", {"Dockerfile": text})
    result = box("build", "--progress", "plain", "-t", "half", context, status=1)
    assert read_steps(result.stderr.decode())["RUN --network=none test -e /ok"] == "ERROR"
    assert "half" not in box.text("images", "--format", "{{.Repository}}")
    (context / "Dockerfile").write_text(text + "# again\n")
    result = box("build", "--progress", "plain", context, status=1)
    ends = read_steps(result.stderr.decode())
    assert ends["RUN --network=none echo a > /a"] == "CACHED"
    assert ends["RUN --network=none test -e /ok"] == "ERROR"


def test_a_host_network_needs_consent(box: Program) -> None:
    context = box.directory("host", {"Dockerfile": "FROM box\nRUN --network=host true\n"})
    result = box("build", "-q", context, status=1)
    assert b"network.host" in result.stderr
    box("build", "-q", "--allow", "network.host", context)


def test_rawjson_and_quiet_and_plain_leave_standard_output_to_the_result(box: Program, site: Path) -> None:
    for kind in ("rawjson", "plain", "tty", "auto"):
        assert box("build", "--progress", kind, site).stdout == b""
    lines = box("build", "--progress", "rawjson", "--no-cache", site).stderr.decode().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert box("build", "-q", site).stdout.startswith(b"sha256:")
