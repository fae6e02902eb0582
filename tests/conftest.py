"""What every test stands on: a clean environment, a root of its own, and needs that are said when they are missing."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from runtime.context import Context, Layout
from tests.users import find_user

_KEPT = frozenset(("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "VIRTUAL_ENV", "CI"))
_NEEDS_ROOT = frozenset(("root", "netadmin", "overlay", "cgroup", "userns"))

# A busy machine is no fault, nor is a directory that all inputs of a test share; a test that names checks of its own
# would lose these. The same commit has the same result; who looks for new inputs sets the variable.
settings.register_profile(
    "pybuild",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize="PYBUILD_TEST_EXPLORE" not in os.environ,
)
settings.load_profile("pybuild")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-needs", action="store_true", help="a test that cannot run here fails")
    parser.addoption("--record", action="store_true", help="record what docker's BuildKit makes of the same files")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that make mounts and links say by their marker that they need the superuser."""
    if os.geteuid() != 0 and any(mark.name in _NEEDS_ROOT for mark in item.iter_markers()):
        _end_for_want_of(item, "the superuser")


@pytest.fixture
def missing(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that ends the test because of what the machine lacks: a skip, or a failure where strict."""
    item = request.node
    assert isinstance(item, pytest.Item)
    return lambda reason: _end_for_want_of(item, reason)


def _end_for_want_of(item: pytest.Item, reason: str) -> None:
    """Skip the test, or fail it with `--strict-needs`; other builders are never demanded."""
    if item.config.getoption("--strict-needs") and item.get_closest_marker("peer") is None:
        pytest.fail(f"this machine lacks what the test needs: {reason}")
    pytest.skip(reason)


@pytest.fixture
def superuser(missing: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        missing("the superuser")


@pytest.fixture
def ordinary_user(superuser: None, missing: Callable[[str], None]) -> pwd.struct_passwd:
    """Return the user with subordinate ids as whom the test runs things (`tests.users.become`)."""
    return find_user(missing)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Return a directory that every user may enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="pybuild-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out of the environment whatever could change what a test sees, and the umask with it."""
    os.umask(0o022)
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(("PYTEST", "PIP", "COV")):
            monkeypatch.delenv(name)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Return a context whose root is empty and the test's own, as is the mark on what it makes outside that."""
    root = tmp_path / "root"
    key = sha256(os.fsencode(root)).hexdigest()[:10]
    return Context(
        layout=Layout(root=root, run=tmp_path / "run", key=key),
        environ=dict(os.environ),
        rootless=os.geteuid() != 0,
    )
