"""Commands at the same time, in one root and in two: work is done once, nobody sees half of anything."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")


def together(program: Program, commands: Sequence[Sequence[str | Path]]) -> list[tuple[int, str, str]]:
    """Run commands at the same time; returns status, output and messages of each."""
    processes = [
        subprocess.Popen(
            program.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=program.home,
            text=True,
        )
        for words in commands
    ]
    results = []
    for process in processes:
        out, messages = process.communicate(timeout=100)
        results.append((process.returncode, out, messages))
    return results


def test_a_step_that_several_builds_want_is_done_once(box: Program) -> None:
    text = (
        "FROM box\n"
        "RUN --network=none --mount=type=cache,id=count,target=/c sleep 0.5; echo x >> /c/count; cp /c/count /n\n"
        "COPY file /file\n"
    )
    context = box.directory("once", {"Dockerfile": text, "file": "f"})
    results = together(box, [("build", "-q", "-t", f"once:{number}", context) for number in range(6)])
    assert [status for status, _, _ in results] == [0] * 6, results
    ids = {out.strip() for _, out, _ in results}
    assert box.text(*RUN, "once:0", "cat", "/n") == "x"
    again = {box.text("build", "-q", context) for _ in range(2)}
    assert len(again) == 1
    assert again <= ids


def test_stages_with_names_are_built_at_the_same_time_and_what_they_share_once(box: Program) -> None:
    run = "RUN --network=none --mount=type=cache,id=meeting,target=/m"
    text = f"FROM box AS base\n{run} echo x >> /m/count; cp /m/count /n\n" + "".join(
        f"FROM base AS {own}\n{run} touch /m/{own}; until [ -e /m/{other} ]; do sleep 0.01; done; cp /n /{own}\n"
        for own, other in (("left", "right"), ("right", "left"))
    )
    context = box.directory("meeting", {"Dockerfile": f"{text}FROM base\n"})
    words = ("-t", "left=meeting:l", "-t", "right=meeting:r", "-t", "meeting", context)
    first = box.text("build", "-q", "--jobs", "2", *words)
    assert [box.text(*RUN, f"meeting:{name[0]}", "cat", f"/{name}") for name in ("left", "right")] == ["x", "x"]
    assert box.text("build", "-q", "--jobs", "1", *words) == first


def test_what_platforms_share_runs_once_also_without_the_cache(box: Program) -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM box AS tools\nRUN --network=none cat /proc/sys/kernel/random/uuid > /id\n"
        "FROM --platform=$BUILDPLATFORM box AS made\nARG TARGETARCH\nRUN --network=none echo $TARGETARCH > /arch\n"
        "FROM scratch\nCOPY --from=tools /id /\nCOPY --from=made /arch /\n"
    )
    context = box.directory("platforms", {"Dockerfile": text})
    out = box.home / "platforms-out"
    words = (
        "--platform",
        "linux/amd64,linux/arm64",
        "--no-cache",
        "--progress",
        "plain",
        "-o",
        f"type=local,dest={out}",
    )
    shown = box("build", *words, context).stderr.decode()
    trees = [out / f"linux_{name}" for name in ("amd64", "arm64")]
    assert [(tree / "arch").read_text() for tree in trees] == ["amd64\n", "arm64\n"]
    assert len({(tree / "id").read_text() for tree in trees}) == 1
    assert "[linux/amd64->arm64 made 2/2] RUN --network=none echo" in shown
    assert "[linux/amd64 stage-2 2/2] COPY --from=made" in shown
    assert "[linux/arm64 stage-2 2/2] COPY --from=made" in shown


def test_different_builds_of_one_root_do_not_disturb_each_other(box: Program) -> None:
    contexts = [
        box.directory(
            f"c{number}",
            {"Dockerfile": f"FROM box\nRUN --network=none echo {number} > /n\nCOPY f /f\n", "f": str(number)},
        )
        for number in range(4)
    ]
    commands = [("build", "-q", "-t", f"app:{number}", context) for number, context in enumerate(contexts)]
    assert [status for status, _, _ in together(box, commands)] == [0] * 4
    shown = together(box, [(*RUN, f"app:{number}", "cat", "/n", "/f") for number in range(4)])
    assert [out for _, out, _ in shown] == [f"{number}\n{number}" for number in range(4)]
    box("system", "check")


def test_a_build_goes_on_where_another_of_the_same_step_was_killed(box: Program) -> None:
    text = "FROM box\nRUN --network=none sleep 0.7; echo done > /done\n"
    context = box.directory("both", {"Dockerfile": text})
    first = box.popen("build", "-q", context)
    time.sleep(0.5)
    second = box.popen("build", "-q", "-t", "both", context)
    time.sleep(0.3)
    first.kill()
    first.communicate()
    assert second.communicate(timeout=60)[1] == b""
    assert second.returncode == 0
    assert box.text(*RUN, "both", "cat", "/done") == "done"


def test_names_are_moved_and_images_removed_under_the_hands_of_others(box: Program) -> None:
    commands: list[Sequence[str | Path]] = []
    for number in range(4):
        commands += [("tag", "box", f"name:{number}"), ("images",), (*RUN, "box", "true")]
        commands += [("save", "box", "-o", box.home / f"{number}.tar")]
    assert [(words, result) for words, result in zip(commands, together(box, commands), strict=True) if result[0]] == []
    commands = [("rmi", f"name:{number}") for number in range(4)] + [(*RUN, "box", "true")] * 2
    assert [(words, result) for words, result in zip(commands, together(box, commands), strict=True) if result[0]] == []
    assert len({(box.home / f"{number}.tar").read_bytes() for number in range(4)}) == 1
    box("system", "check")
    results = together(box, [("rmi", "box"), ("rmi", "box"), ("rmi", "box")])
    assert 0 in [status for status, _, _ in results]
    assert not any("Traceback" in text for _, _, text in results)
    assert box.text("images", "-q") == ""


def test_an_archive_is_loaded_by_several_at_once(box: Program) -> None:
    archive = box.home / "box.tar"
    box("save", "box", "-o", archive)
    box("rmi", "box")
    results = together(box, [("load", "-i", archive) for _ in range(4)])
    assert [(status, out) for status, out, _ in results] == [(0, "Loaded image: box:latest\n")] * 4, results
    box(*RUN, "box", "true")
    box("system", "check")


def test_pruning_takes_nothing_from_a_build_that_runs(box: Program) -> None:
    text = "FROM box\n" + "".join(f"RUN --network=none sleep 0.15; echo {n} > /{n}\n" for n in range(6))
    context = box.directory("long", {"Dockerfile": text})
    build = box.popen("build", "-q", "-t", "long", context)
    while build.poll() is None:
        box("system", "prune", "-f")
        time.sleep(0.05)
    assert build.returncode == 0, build.communicate()
    build.communicate()
    box("system", "check")


def test_two_roots_do_not_know_of_each_other(box: Program) -> None:
    other = Program(home=box.home / "second", user=box.user)
    other.home.mkdir()
    other.own(other.home)
    assert other.text("images", "-q") == ""
    context = box.directory("c", {"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "f"})
    together(box, [("build", "-q", "-t", "mine", context)])
    other("build", "-q", "-t", "theirs", context)
    assert other.text("images", "--format", "{{.Repository}}") == "theirs"
    assert "theirs" not in box.text("images", "--format", "{{.Repository}}")
    box("run", "-d", "--name", "same", "--network", "none", "box", "sleep", "30")
    assert other.text("ps", "-a", "-q") == ""
    other("rm", "same", status=1)
    box("rm", "-f", "same")
