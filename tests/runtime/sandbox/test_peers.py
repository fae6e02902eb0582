"""What a command sees is what it sees under Docker, and under crun with the very same document."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.oci import runtimespec

pytestmark = [pytest.mark.root, pytest.mark.overlay, pytest.mark.peer]
DOCKER = os.environ.get("DOCKER_HOST", "")
IMAGE = "pybuild-test-inside"
SCRIPT = """
echo == status; grep -E '^(Cap|Sig[BIC]|NoNew|Umask|Groups)' /proc/self/status
echo == fds; ls /proc/self/fd
echo == dev; cd /dev; stat -c '%n %F %a %t %T' null zero full random urandom tty shm mqueue pts; ls
echo == links; for n in fd stdin stdout stderr ptmx; do readlink $n; done
echo == masked; cat /proc/keys /proc/timer_list /proc/interrupts | wc -c; ls /proc/acpi /sys/firmware | wc -l
echo == limits; ulimit -c; ulimit -s; cat /proc/self/oom_score_adj
echo == sysctl; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
echo == env; env -u SHLVL; pwd; id
echo == net; ls /sys/class/net; cat /sys/class/net/lo/flags
echo == mounts; cat /proc/self/mountinfo
"""
DOCKER_FILES = ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts")


def sections(text: str) -> dict[str, list[str]]:
    """Split the script's output; of mounts keep place, options and type, which do not depend on who made them."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.replace("\r", "").splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = []
        else:
            found[name].append(line)
    mounts = []
    for line in found["mounts"]:
        fields, _, kind = line.partition(" - ")
        words = fields.split()
        if words[4] not in DOCKER_FILES:
            mounts.append(f"{words[4]} {words[5]} {kind.split()[0]}")
    found["mounts"] = sorted(mounts)
    return found


def docker(*words: str, **options: Any) -> str:
    environ = {**os.environ, "DOCKER_HOST": DOCKER}
    result = subprocess.run(["docker", *words], capture_output=True, check=True, env=environ, **options)
    return str(result.stdout.decode())


@pytest.fixture
def under_docker(root_sandbox: Any, missing: Callable[[str], None]) -> dict[str, list[str]]:
    if not DOCKER or not shutil.which("docker"):
        missing("docker (DOCKER_HOST)")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(root_sandbox.lower, arcname=".")
    docker("import", "-", IMAGE, input=archive.getvalue())
    try:
        words = ["--rm", "--network", "none", "--hostname", "box", "-e", "PATH=/bin", "-e", "HOME=/"]
        return sections(docker("run", *words, IMAGE, "/bin/sh", "-c", SCRIPT))
    finally:
        docker("rmi", IMAGE)


def inside(sandbox: Any, **spec: Any) -> dict[str, list[str]]:
    environment = ["PATH=/bin", "HOSTNAME=box", "HOME=/"]
    outcome = sandbox(
        "/bin/sh", "-c", SCRIPT, env=environment, hostname="box", order={"null_input": True},
        request={"cgroup": f"pybuild-{os.getpid():010x}-peer"}, **spec,
    )  # fmt: skip
    return sections(outcome.output)


def test_the_inside_is_docker_inside(root_sandbox: Any, under_docker: dict[str, list[str]]) -> None:
    ours = inside(root_sandbox, user=runtimespec.User(groups=(0,)))
    theirs = under_docker
    # the one place where more is kept from a container: the tmpfs that the cgroups hang on cannot be written
    theirs["mounts"] = [line.replace("/sys/fs/cgroup rw", "/sys/fs/cgroup ro") for line in theirs["mounts"]]
    assert ours == theirs


def test_crun_makes_the_same_of_the_same_document(
    root_sandbox: Any, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    if not shutil.which("crun"):
        missing("crun")
    ours = inside(root_sandbox)
    environment = ["PATH=/bin", "HOSTNAME=box", "HOME=/"]
    document = runtimespec.container_spec(args=["/bin/sh", "-c", SCRIPT], env=environment, hostname="box")
    document["ociVersion"] = "1.0.2"  # an older crun knows no other
    document["root"]["path"] = str(tmp_path / "rootfs")
    shutil.copytree(root_sandbox.lower, tmp_path / "rootfs", symlinks=True)
    (tmp_path / "config.json").write_text(json.dumps(document))
    # crun refuses a machine that has both versions of control groups
    one_version = ["unshare", "-m", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]
    crun = ["crun", "--root", str(tmp_path / "state"), "--cgroup-manager=disabled"]
    run = ["run", "-b", str(tmp_path), f"pybuild-test-{os.getpid()}"]
    result = subprocess.run(
        [*one_version, *crun, *run], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode:
        missing(f"a working crun: {result.stderr.strip()}")
    theirs = sections(result.stdout)
    for found in (ours, theirs):  # crun passes on what its caller ignores
        found["status"] = [line for line in found["status"] if not line.startswith("SigIgn")]
    for name in ("status", "fds", "links", "masked", "sysctl", "env", "net"):
        assert ours[name] == theirs[name], name
    places = {line.split()[0]: line for line in theirs["mounts"]}
    for line in ours["mounts"]:
        place = line.split()[0]
        if place in ("/proc", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys"):
            assert line == places[place]
