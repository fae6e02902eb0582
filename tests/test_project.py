"""The project as a whole: its version, its linters, what it loads, and its wheel on a machine that has nothing else."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.version import VERSION
from tests.users import REPOSITORY, become

PACKAGES = ("grammar", "runtime", "builder", "frozen")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
FOREIGN = frozenset(
    "aiohttp argparse asyncio bcrypt click dataclasses email http inspect isal lark logging multiprocessing pyseccomp "
    "requests rich socket ssl subprocess tarfile tempfile typer urllib3 zstandard".split()
)
LOADED = """
import sys
from builder.cli.main import run
sys.argv[0] = "pybuild"
status = run()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def run(*words: str | Path, **options: object) -> str:
    """Run a command to its end and return what it printed on both streams; it must succeed."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)  # type: ignore[call-overload]
    output = str(done.stdout.decode(errors="replace"))
    assert done.returncode == 0, output
    return output


def test_the_version_is_the_same_everywhere() -> None:
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize(
    "words",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("lint-imports",)],
    ids=["ruff check", "ruff format", "mypy", "lint-imports"],
)
def test_the_linters_have_nothing_to_say(words: Sequence[str]) -> None:
    run(Path(sys.executable).with_name(words[0]), *words[1:], cwd=REPOSITORY)


def test_no_module_is_longer_than_600_lines() -> None:
    assert not [path for path in MODULES if len(path.read_text().splitlines()) > 600]


def loaded(*words: str | Path, cwd: Path, status: int = 0) -> set[str]:
    """Return the modules that the program has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, *words], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == status, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_asking_for_the_version_loads_little(tmp_path: Path) -> None:
    modules = loaded("--version", cwd=tmp_path)
    assert not modules & FOREIGN
    assert len(modules) < 120


@pytest.mark.root
@pytest.mark.parametrize("words", ["ps -a", "images", "exec nobody true", "stop nobody", "rm nobody"])
def test_what_is_over_at_once_loads_no_typing(tmp_path: Path, words: str) -> None:
    status = 1 if "nobody" in words else 0
    modules = loaded("--root", tmp_path / "root", *words.split(), cwd=tmp_path, status=status)
    assert not modules & {*FOREIGN - {"socket"}, "typing"}


def test_what_makes_and_starts_containers_loads_no_typing() -> None:
    names = "runtime.cli.run, runtime.containers.create, runtime.containers.foreground, runtime.containers.bundle"
    script = f"import sys, {names}; print('typing' in sys.modules)"
    assert run(sys.executable, "-I", "-c", script) == "False\n"


@pytest.mark.root
def test_a_cached_build_loads_neither_parser_nor_network(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM scratch AS first\nCOPY f /f\nFROM scratch\nCOPY --from=first /f /\nENV A=b\n"
    )
    (context / "f").write_text("f")
    words = ("--root", tmp_path / "root", "build", "-q", context)
    loaded(*words, cwd=tmp_path)
    modules = loaded(*words, cwd=tmp_path)
    assert not modules & FOREIGN
    assert len(modules) < 250


# A host that a reader of the project can reach or knows to be made up.
PUBLIC = re.compile(
    r"[^.]*|[\d.]+|(.*\.)?(example(\.(com|net|org))?|invalid|test|localhost|internal)"
    r"|(.*\.)?(apache|debian|github|docker|json-schema|kernel|opencontainers|python|readthedocs|w3)\.(com|org|io|net)"
)


def test_no_private_host_and_no_path_of_a_developer_is_named() -> None:
    found = []
    for path in _files():
        text = path.read_bytes().decode(errors="replace")
        hosts = [host for host in re.findall(r"https?://([\w.-]+)", text) if not PUBLIC.fullmatch(host.rstrip("."))]
        paths = re.findall(r"/(?:work/(?:main|shared)|tmp/lab|Users)\b[\w./-]*", text)
        found += [f"{path.relative_to(REPOSITORY)}: {word}" for word in hosts + paths]
    assert not found


def _files() -> list[Path]:
    """Return the files of the project that are text, in the same order each time."""
    suffixes = {".py", ".lark", ".md", ".toml", ".json", ".conf", ".html", ".c", ""}
    folders = (*PACKAGES, "tests", "tools", "examples", ".ci")
    inner = (path for folder in folders for path in (REPOSITORY / folder).rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in (*inner, *REPOSITORY.glob("*.*")) if path.is_file() and path.suffix in suffixes)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the project that is no git repository."""
    base = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, base / "tree" / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, base / "tree")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", base, base / "tree", cwd=base)
    (found,) = base.glob("*.whl")
    return found


def test_the_wheel_holds_all_packages_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {str(path.relative_to(REPOSITORY)) for path in MODULES}
    assert expected | {f"{package}/py.typed" for package in PACKAGES} | {"grammar/dockerfile.lark"} <= names
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, f"pybuild-{VERSION}.dist-info"}


@pytest.mark.root
@pytest.mark.userns
@pytest.mark.overlay
def test_the_installed_wheel_works_for_a_user_in_the_c_locale_and_imports_nothing_from_where_it_is_called(
    wheel: Path, open_directory: Path, ordinary_user: pwd.struct_passwd
) -> None:
    venv, here = open_directory / "venv", open_directory / "here"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=open_directory)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin/python")
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=open_directory)
    # The libraries are those of this environment; its own .pth files, and so the clone, are not read.
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    shutil.copytree(REPOSITORY / "examples/hello", here)
    for name in ("json", "grammar", "runtime", "typing", "lark"):
        (here / f"{name}.py").write_text("raise SystemExit('imported from the working directory')\n")
    os.chown(here, ordinary_user.pw_uid, ordinary_user.pw_gid)

    def pybuild(*words: str) -> str:
        user = [*become(ordinary_user.pw_uid), "env", "-i", f"HOME={here}", "LC_ALL=C", f"PATH={os.environ['PATH']}"]
        return run(*user, venv / "bin/pybuild", "--root", here / "root", *words, cwd=here)

    assert VERSION in pybuild("--version")
    assert '"keyword": "from"' in pybuild("parse", "Dockerfile", "--format", "json")
    pybuild("-t", "hello", ".")
    assert "HELLO" in pybuild("run", "--rm", "--network", "none", "hello")
    assert "hello" in pybuild("images")
