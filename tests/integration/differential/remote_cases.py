"""Builds that take files, trees and contexts from elsewhere.

WEB and GIT stand for the servers, CONTEXT for a directory, BASE for the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.differential.cases import BASE

SUM = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
"""Of the file that the web server calls hello.txt."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One Dockerfile, and the words of the build, the context among them; `archive`: the context is standard input."""

    name: str
    dockerfile: str
    words: tuple[str, ...] = ("CONTEXT",)
    archive: bool = False

    @property
    def text(self) -> str:
        return self.dockerfile.replace("BASE", BASE) + "\n"


def _add(name: str, line: str) -> Remote:
    return Remote(name, f"FROM BASE\n{line}")


COPY_ALL = "FROM scratch\nCOPY . /all/"
REMOTES: tuple[Remote, ...] = (
    _add("ADD a URL", "ADD WEB/hello.txt /"),
    _add("ADD a URL into a directory", "ADD WEB/hello.txt /new/"),
    _add("ADD a URL into a directory that is there", "ADD WEB/hello.txt /etc"),
    _add("ADD a URL under another name", "ADD WEB/hello.txt /other"),
    _add("ADD a URL without a name", "ADD WEB/ /new/"),
    _add("ADD a URL with a query", "ADD WEB/hello.txt?x=1 /new/"),
    _add("ADD a URL with owner and mode", "ADD --chown=3:4 --chmod=0751 WEB/hello.txt /new/"),
    _add("ADD a URL with a symbolic mode", "ADD --chmod=u+x,go=r WEB/hello.txt /new/"),
    _add("ADD a URL with a checksum", f"ADD --checksum={SUM} WEB/hello.txt /"),
    _add("ADD a URL linked", "ADD --link WEB/hello.txt /new/"),
    _add("ADD the URL of an archive", "ADD WEB/files.tar.gz /new/"),
    _add("ADD the URL of an archive and unpack it", "ADD --unpack=true WEB/files.tar.gz /new/"),
    _add("ADD the URL of a file and unpack it", "ADD --unpack=true WEB/hello.txt /new/"),
    _add("ADD a URL and a file", "ADD WEB/hello.txt a.txt /new/"),
    _add("ADD a URL with variables", "ARG W=WEB\nARG F=hello\nADD $W/${F}.txt /new/"),
    _add("ADD a URL relative to WORKDIR", "WORKDIR /w\nADD WEB/hello.txt ."),
    _add("ADD a redirecting URL", "ADD WEB/moved /new/"),
    _add("ADD a repository", "ADD GIT /src"),
    _add("ADD a branch", "ADD GIT#side /src"),
    _add("ADD a tag", "ADD GIT#v1 /src"),
    _add("ADD a tag before a branch", "ADD GIT#both /src"),
    _add("ADD a branch by its whole name", "ADD GIT#refs/heads/side /src"),
    _add("ADD a directory of a repository", "ADD GIT#main:sub /src"),
    _add("ADD a directory of the default branch", "ADD GIT#:sub/deep /src/"),
    _add("ADD a repository with owner", "ADD --chown=3:4 GIT#v1 /src"),
    _add("ADD a repository with mode", "ADD --chmod=0700 GIT#v1 /src"),
    _add("ADD a repository linked", "ADD --link GIT#v1 /src"),
    _add("ADD a repository without some files", "ADD --exclude=top --exclude=sub/deep GIT#v1 /src"),
    _add("ADD a repository into a directory that is there", "ADD GIT#v1:sub /etc"),
    Remote("a context on standard input", COPY_ALL, ("-",), archive=True),
    Remote("a Dockerfile within a context on standard input", COPY_ALL, ("-f", "sub/Other", "-"), archive=True),
    Remote("a context from a URL", COPY_ALL, ("WEB/context.tar",)),
    Remote("a Dockerfile from a URL", COPY_ALL, ("WEB/Dockerfile",)),
    Remote("a Dockerfile from a URL for a directory", COPY_ALL, ("-f", "WEB/Dockerfile", "CONTEXT")),
    Remote("a context from a repository", COPY_ALL, ("GIT#ctx",)),
    Remote("a context from a directory of a repository", COPY_ALL, ("GIT#ctx:sub",)),
    Remote("a Dockerfile within a repository", COPY_ALL, ("-f", "sub/Dockerfile", "GIT#ctx")),
    Remote(
        "a named context that is a directory",
        "FROM BASE\nCOPY --from=other . /x/",
        ("--build-context", "other=CONTEXT/named", "CONTEXT"),
    ),
    Remote(
        "a named context that is a repository",
        "FROM BASE\nCOPY --from=other sub /x/",
        ("--build-context", "other=GIT#v1", "CONTEXT"),
    ),
    Remote(
        "a named context that is an image",
        "FROM alpine\nCOPY --from=alpine /etc/passwd /x",
        ("--build-context", f"alpine=docker-image://{BASE}", "CONTEXT"),
    ),
    Remote(
        "a named context that hides a stage",
        "FROM scratch AS other\nCOPY a.txt /never\nFROM BASE\nCOPY --from=other / /x/",
        ("--build-context", "other=CONTEXT/named", "CONTEXT"),
    ),
    Remote(
        "a named context that is mounted",
        "FROM BASE\nRUN --mount=from=other,target=/m find /m | sort >/list",
        ("--build-context", "other=CONTEXT/named", "CONTEXT"),
    ),
)
