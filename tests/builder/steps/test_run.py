"""RUN: what a command sees, what it leaves, how it fails, and that it can be stopped."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.failures import InstructionFailed
from builder.options import BuildOptions
from builder.progress.events import StepFinished
from builder.secrets import Secret
from frozen import replace
from runtime.errors import Cancelled, StepFailed
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.importing import import_tar
from tests.builder.benches import Bench, Built

pytestmark = [pytest.mark.root, pytest.mark.overlay]

OFFLINE = BuildOptions(network="none")
MEETING = "RUN --mount=type=cache,target=/m"
"""Steps with a directory in common, where each sees how far the others are."""
_APPLETS = (
    "sh",
    "cat",
    "echo",
    "env",
    "hostname",
    "id",
    "ls",
    "md5sum",
    "mkdir",
    "pwd",
    "rm",
    "sleep",
    "touch",
    "true",
)


def _until(name: str) -> str:
    """Return a shell command that waits for a file of the common directory."""
    return f"until [ -e /m/{name} ]; do sleep 0.02; done"


def _when_begun(box: Bench, work: Callable[[Path], object]) -> threading.Thread:
    """Do something, on a thread, once a step has made the file `begun` in the common directory; it is given that.

    Where that cannot be done the build is cancelled, as its step would wait for ever.
    """

    def find() -> Path | None:
        # Not `glob`: it fails where a directory that it was about to read has gone.
        for directory, _, names in os.walk(box.context.layout.root):
            if "begun" in names:
                return Path(directory, "begun")
        return None

    def wait() -> None:
        try:
            while (found := find()) is None:
                time.sleep(0.02)
            work(found)
        except BaseException:
            box.context.cancel.set(2)
            raise

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def box(bench: Bench, missing: Callable[[str], None]) -> Bench:
    """Return a bench with an image `box`: a static busybox, /etc/passwd, the directories that an image has."""
    binary = shutil.which("busybox")
    if binary is None:
        missing("busybox (package busybox-static)")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(str(binary), "bin/busybox")
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (("passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/var/www:/bin/sh\n"), ("group", "")):
            entry = tarfile.TarInfo(f"etc/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    with Store.open(bench.context) as store:
        import_tar(store, io.BytesIO(data.getvalue()), names=[parse_reference("box")])
    return bench


def layer_files(bench: Bench, built: Built, index: int = -1) -> list[str]:
    """List what a layer of the image holds."""
    with Store.open(bench.context) as store:
        for snapshot in store.snapshots.list():
            if snapshot.diff_id == built.config["rootfs"]["diff_ids"][index]:
                return sorted(str(path.relative_to(snapshot.path)) for path in snapshot.path.rglob("*"))
    raise AssertionError


def test_a_command_runs_in_the_image_and_its_changes_are_the_layer(box: Bench) -> None:
    built = box.build("FROM box\nRUN echo hi > /tmp/f; rm /etc/group\n", options=OFFLINE)
    assert layer_files(box, built) == ["etc", "etc/group", "tmp", "tmp/f"]


def test_a_command_that_changes_nothing_leaves_an_empty_layer(box: Bench) -> None:
    built = box.build("FROM box\nRUN --mount=type=tmpfs,target=/a/b cat /etc/hosts /etc/resolv.conf\n", options=OFFLINE)
    assert "localhost buildkitsandbox" in built.output
    assert layer_files(box, built) == []


def test_an_image_without_the_usual_directories_gets_them_and_nothing_else(box: Bench) -> None:
    built = box.build("FROM scratch\nCOPY --from=box /bin /bin\nRUN true\n", options=OFFLINE)
    assert layer_files(box, built) == ["dev", "proc", "sys"]


def test_a_command_sees_environment_user_directory_and_no_input(box: Bench) -> None:
    built = box.build(
        "FROM box\nARG X=1\nENV Y=2\nWORKDIR /w\nUSER www\n"
        "RUN echo $X$Y $HOME; pwd; id; hostname; cat; ls /proc/self/fd\n",
        options=OFFLINE,
    )
    lines = built.output.splitlines()
    assert lines[:4] == ["12 /var/www", "/w", "uid=33(www) gid=34 groups=34", "buildkitsandbox"]
    assert lines[4:7] == ["0", "1", "2"]


def test_proxies_reach_the_command_and_not_the_key(box: Bench) -> None:
    text = "FROM box\nRUN env\n"
    first = box.build(text, build_args={"HTTP_PROXY": "http://one"}, options=OFFLINE)
    assert "http_proxy=http://one" in first.output
    assert box.build(text, build_args={"HTTP_PROXY": "http://two"}, options=OFFLINE).executed == 0


def test_a_build_that_remembers_everything_starts_no_process(box: Bench) -> None:
    text = "FROM box\nRUN echo hi > /f\n"
    assert box.build(text, options=OFFLINE).started_server
    again = box.build(text, options=OFFLINE)
    assert not again.started_server
    assert again.cached == ["RUN echo hi > /f"]


def test_a_rerun_with_an_equal_result_leaves_what_follows_remembered(box: Bench) -> None:
    first = box.build("FROM box\nRUN echo x > /f # 1\nRUN cat /f > /g\n", options=OFFLINE)
    second = box.build("FROM box\nRUN echo x > /f # 2\nRUN cat /f > /g\n", options=OFFLINE)
    assert second.ran == ["RUN echo x > /f # 2"]
    assert first.config["rootfs"] == second.config["rootfs"]


def test_heredocs_run_by_the_shell_or_as_a_program_of_their_own(box: Bench) -> None:
    built = box.build(
        "FROM box\nRUN <<A\necho one\nA\nRUN <<B\n#!/bin/cat\ntwo\nB\nRUN cat <<C\nthree\nC\n", options=OFFLINE
    )
    assert [line for line in built.output.splitlines() if line in ("one", "two", "three")] == ["one", "two", "three"]
    assert layer_files(box, built) == []


def test_a_failing_command_shows_its_lines_and_output_and_records_nothing(box: Bench) -> None:
    text = "FROM box\nRUN true\nRUN echo saying; \\\n  exit 3\n"
    for _ in range(2):
        with pytest.raises(StepFailed) as caught:
            box.build(text, options=OFFLINE)
        assert caught.value.exit_code == 3
        message = caught.value.message
        assert "did not complete successfully: exit code: 3" in message
        assert "saying" in message
        assert "Dockerfile:3" in message
        assert "  4 | >>>   exit 3" in message
    assert len(box.failures()) == 1


def test_a_command_that_does_not_exist_is_127(box: Bench) -> None:
    with pytest.raises(StepFailed) as caught:
        box.build('FROM box\nRUN ["nosuch"]\n', options=OFFLINE)
    assert caught.value.exit_code == 127
    assert "nosuch" in caught.value.message


def test_a_secret_is_there_and_then_gone_and_never_shown(box: Bench) -> None:
    options = BuildOptions(network="none", secrets={"tok": Secret(id="tok", value=b"s3cr3t")})
    built = box.build(
        "FROM box\nRUN --mount=type=secret,id=tok cat /run/secrets/tok; md5sum /run/secrets/tok\n"
        "RUN --mount=type=secret,id=tok,env=T echo $T\n",
        options=options,
    )
    assert "s3cr3t" not in built.output
    assert built.output.count("*****") == 2
    assert "1dd9c5f4b8a1ec40" not in str(built.config)
    assert layer_files(box, built) == []
    assert os.listdir(box.context.layout.run / "secrets") == []


def test_a_required_secret_that_is_missing_is_refused_before_anything_runs(box: Bench) -> None:
    with pytest.raises(InstructionFailed, match="secret tok: not found"):
        box.build("FROM box\nRUN true\nRUN --mount=type=secret,id=tok,required=true true\n", options=OFFLINE)
    assert box.events == []


def test_the_host_network_and_insecure_need_to_be_allowed(box: Bench) -> None:
    for flag, entitlement in (("--network=host", "network.host"), ("--security=insecure", "security.insecure")):
        with pytest.raises(InstructionFailed, match=entitlement):
            box.build(f"FROM box\nRUN {flag} true\n", options=OFFLINE)
        allowed = BuildOptions(network="none", allow=frozenset((entitlement,)))
        assert box.build(f"FROM box\nRUN {flag} true\n", options=allowed).executed == 1


def test_the_host_has_no_name_where_nothing_leads_to_it(box: Bench) -> None:
    options = BuildOptions(add_hosts=("gw:host-gateway", "db=10.0.0.5"))
    built = box.build("FROM box\nRUN --network=none cat /etc/hosts\n", options=options)
    assert "10.0.0.5\tdb" in built.output
    assert "gw" not in built.output


def test_a_cache_mount_lasts_and_is_part_of_no_layer(box: Bench) -> None:
    line = "RUN --mount=type=cache,target=/c,id=x echo {} >> /c/f; cat /c/f"
    box.build(f"FROM box\n{line.format(1)}\n", options=OFFLINE)
    built = box.build(f"FROM box\n{line.format(2)}\n", options=OFFLINE)
    assert built.output.split() == ["1", "2"]
    assert layer_files(box, built) == []


def test_what_is_written_to_a_bind_mount_is_thrown_away(box: Bench) -> None:
    box.write({"a": "A\n", "d/b": "B\n", ".dockerignore": "hidden", "hidden": "x"})
    text = (
        "FROM box AS src\nRUN mkdir /s; echo S > /s/f\nFROM box\n"
        "RUN --mount=target=/m ls /m; touch /m/x || echo closed\n"
        "RUN --mount=target=/m,source=d,rw touch /m/new && cat /m/b\n"
        "RUN --mount=from=src,source=/s,target=/m,rw touch /m/new && cat /m/f\n"
        "RUN --mount=from=src,source=/s/f,target=/m cat /m\n"
        "RUN --mount=from=src,target=/m ls /m/s\n"
    )
    built = box.build(text, options=OFFLINE)
    words = built.output.split()
    assert "hidden" not in words
    assert words.count("S") == 2
    assert "closed" in words
    assert sorted(os.listdir(box.directory)) == [".dockerignore", "a", "d", "hidden"]
    assert layer_files(box, built) == []
    assert box.build(text, options=OFFLINE).executed == 0


def test_a_changed_file_of_a_mounted_context_runs_the_step_again(box: Bench) -> None:
    box.write({"d/a": "1", "e": "1"})
    text = "FROM box\nRUN --mount=target=/m,source=d cat /m/a\n"
    box.build(text, options=OFFLINE)
    box.write({"e": "2"})
    assert box.build(text, options=OFFLINE).executed == 0
    box.write({"d/a": "2"})
    assert box.build(text, options=OFFLINE).executed == 1


def test_stages_work_at_the_same_time(box: Bench) -> None:
    """Each of two waits for the other one."""
    text = (
        f"FROM box AS a\n{MEETING} touch /m/a; {_until('b')}; touch /a\n"
        f"FROM box AS b\n{MEETING} touch /m/b; {_until('a')}; touch /b\n"
        "FROM box\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    assert box.build(text, options=OFFLINE).executed == 4


def test_as_many_stages_as_asked_for_work_at_once(box: Bench) -> None:
    numbers = range(4)
    copies = "FROM box\n" + "".join(f"COPY --from=s{number} /f /f{number}\n" for number in numbers)
    all_there = "; ".join(_until(str(number)) for number in numbers)
    together = "".join(
        f"FROM box AS s{number}\n{MEETING} touch /m/{number}; {all_there}; echo {number} > /f\n" for number in numbers
    )
    assert box.build(together + copies, options=replace(OFFLINE, jobs=8)).executed == 8
    # Where two work at once, one of them finds the directory of the other.
    apart = "".join(
        f"FROM box AS s{number}\n{MEETING} mkdir /m/one && sleep 0.2 && rm -r /m/one && echo -{number} > /f\n"
        for number in numbers
    )
    assert box.build(apart + copies, options=replace(OFFLINE, jobs=1)).executed == 8


def test_an_early_cut_off_reaches_the_runs_behind_a_file_that_was_written_again(box: Bench) -> None:
    text = "FROM box\nRUN echo {} > /dev/null; echo fixed > /f\nRUN cat /f > /g\nRUN echo last\n"
    first = box.build(text.format(1), options=OFFLINE, now=10**18)
    second = box.build(text.format(2), options=OFFLINE, now=10**18 + 5 * 10**9)
    assert second.executed == 1
    assert second.config["rootfs"] == first.config["rootfs"]


def test_a_context_that_is_written_in_mid_step_is_not_what_the_step_sees(box: Bench) -> None:
    box.write({"d/a": "before"})

    def write(step: Path) -> None:
        box.write({"d/a": "during"})
        step.with_name("go").touch()

    thread = _when_begun(box, write)
    wait = f"touch /m/begun; {_until('go')}"
    text = f"FROM box\n{MEETING} --mount=type=bind,source=d,target=/d {wait}; cat /d/a > /seen\n"
    built = box.build(text, options=OFFLINE)
    thread.join()
    with Store.open(box.context) as store:
        image = store.images.get(built.id)  # type: ignore[arg-type]
        with store.snapshots.view(image.chain_id) as view:
            assert view.read_text("/seen") == "before"
    assert box.build(text, options=OFFLINE).executed == 1


def test_which_step_failed_first_is_said_and_the_rest_is_cancelled(box: Bench) -> None:
    text = (
        f"FROM box AS a\n{MEETING} touch /m/a; sleep 1000\n"
        f"FROM box AS b\n{MEETING} {_until('a')}; {_until('c')}; exit 7\n"
        f"FROM box AS c\n{MEETING} touch /m/c; sleep 1000; exit 8\n"
        "FROM a\nCOPY --from=b /etc /e\nCOPY --from=c /etc /c\n"
    )
    with pytest.raises(StepFailed, match="exit code: 7") as caught:
        box.build(text, options=OFFLINE)
    assert "Dockerfile:4" in caught.value.message
    ends = [event for event in box.events if isinstance(event, StepFinished)]
    assert sum(event.canceled for event in ends) == 2


def test_the_first_failure_ends_the_others_at_once(box: Bench) -> None:
    text = (
        f"FROM box AS a\n{MEETING} touch /m/a; sleep 1000\nFROM box AS b\n{MEETING} {_until('a')}; exit 4\n"
        "FROM a\nCOPY --from=b /etc /e\n"
    )
    with pytest.raises(StepFailed) as caught:
        box.build(text, options=OFFLINE)
    assert caught.value.exit_code == 4


def test_an_interrupted_build_ends_whatever_its_step_ignores(box: Bench, tmp_path: Path) -> None:
    thread = _when_begun(box, lambda _: box.context.cancel.set(2))
    deaf = f"FROM box\n{MEETING} trap '' INT TERM HUP; touch /m/begun; sleep 1000 & sleep 1000\n"
    with pytest.raises(Cancelled):
        box.build(deaf, options=OFFLINE)
    thread.join()
    assert not list(box.context.layout.tmp.iterdir())


def test_two_builds_at_once_do_one_work(box: Bench) -> None:
    text = "FROM box\nRUN sleep 0.5; echo once > /f\n"
    results: list[Built] = []

    def work() -> None:
        results.append(Bench(context=box.context, directory=box.directory).build(text, options=OFFLINE))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(built.executed for built in results) == [0, 1]
    assert len({built.id for built in results}) == 1


def test_without_overlayfs_a_step_leaves_no_mount_points_either(box: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "FROM box\nRUN --mount=type=tmpfs,target=/a/b echo hi > /tmp/f; rm /etc/group\nRUN cat /tmp/f\n"
    monkeypatch.setattr("runtime.store.snapshots.SnapshotStore.overlay", False)
    built = box.build(text, options=OFFLINE)
    assert layer_files(box, built, -2) == ["etc", "etc/group", "tmp", "tmp/f"]
    # Where files came and went in it, a directory has another time: it is in the layer, and nothing in it.
    assert layer_files(box, built) in ([], ["etc"])
