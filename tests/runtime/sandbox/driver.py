"""Launch one sandbox as the user this script runs as, and print what came of it as JSON.

Arguments: the repository, and site-packages. Standard input: {"request": for launcher.launch, "input": text, "attach":
None | "fail" | "look", "expect": text after which "terminal_input" is typed, "signal": number, "null_input": bool,
"old_kernel": bool, "no_stub": bool}. Runs under `python -I -S`, as the launcher's users do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from errno import EINVAL

sys.path.insert(0, sys.argv[1])

from runtime.sandbox import launcher, rootfs, stub


def main() -> None:
    order = json.load(sys.stdin)
    result: dict[str, object] = {}
    if os.geteuid() != 0:
        sys.path.append(sys.argv[2])
        enter_user_namespace(result)
    before = sorted(os.listdir("/proc/self/fd"))
    try:
        run(order, result)
    except launcher.LaunchFailure as failure:
        result["failure"] = {
            "step": failure.step,
            "errno": failure.errno,
            "path": failure.path,
            "exit_code": failure.exit_code,
            "text": str(failure),
        }
    except RuntimeError as error:
        result["raised"] = str(error)
    result["leaked"] = sorted(set(os.listdir("/proc/self/fd")) - set(before))
    result["children"] = children()
    json.dump(result, sys.stdout)


def enter_user_namespace(result: dict[str, object]) -> None:
    from pathlib import Path

    from runtime.context import Context, Layout
    from runtime.sandbox import userns

    context = Context(
        layout=Layout(root=Path("/nonexistent"), run=Path("/nonexistent"), key="0" * 10),
        environ=dict(os.environ),
        rootless=True,
    )
    result["id_map"] = str(userns.enter(context))


def run(order: dict[str, object], result: dict[str, object]) -> None:
    """Launch, feed and read the command; every descriptor that is opened here is closed here."""
    opened = {}
    opened["source"], opened["feeder"] = os.pipe2(os.O_CLOEXEC)
    opened["reader"], opened["writer"] = os.pipe2(os.O_CLOEXEC)
    opened["null"] = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        launch(order, result, opened)
    finally:
        for fd in opened.values():
            os.close(fd)


def launch(order: dict[str, object], result: dict[str, object], opened: dict[str, int]) -> None:
    request = order["request"]
    assert isinstance(request, dict)
    if order.get("old_kernel"):
        vars(rootfs)["new_filesystem"] = no_lowerdir
    if order.get("no_stub"):
        vars(stub)["available"] = lambda _: False
    os.write(opened["feeder"], str(order.get("input", "")).encode())
    os.close(opened.pop("feeder"))

    def attach(pid: int) -> None:
        if order.get("attach") == "fail":
            raise RuntimeError("no network")
        result["attached"] = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "pid", "user")}

    stdio = (opened["null" if order.get("null_input") else "source"], opened["writer"], opened["writer"])
    started = time.perf_counter()
    child = launcher.launch(request, stdio, attach=attach if order.get("attach") else None)
    result["launch_ms"] = (time.perf_counter() - started) * 1000
    os.close(opened.pop("writer"))
    reader = opened["reader"]
    seen = ""
    if child.terminal is not None:
        reader = opened["terminal"] = child.terminal
    while str(order.get("expect", "")) not in seen:
        seen += os.read(reader, 4096).decode()
    if child.terminal is not None:
        os.write(reader, str(order.get("terminal_input", "")).encode())
    if order.get("signal"):
        os.kill(child.pid, int(str(order["signal"])))
    result["output"] = seen + read_all(reader)
    result["status"] = launcher.wait(child)
    result["mountpoints"] = list(child.mountpoints)


def no_lowerdir(fstype: str, source: str, data: object, attributes: int = 0) -> int:
    """Answer as a kernel before 6.7."""
    raise OSError(EINVAL, "Invalid argument: overlay: Unknown parameter 'lowerdir+'", fstype)


def read_all(fd: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(fd, 65536)
        except OSError:  # a terminal whose last slave was closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def children() -> str:
    with open("/proc/self/task/%d/children" % os.getpid()) as file:  # noqa: UP031
        return file.read()


main()
