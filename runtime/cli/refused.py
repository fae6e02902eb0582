"""Say why there is no such verb: Docker's verbs that have no meaning here, each with its reason and what to do."""

from __future__ import annotations

from collections.abc import Sequence

_SWARM = "pybuild works on one machine and knows no cluster"
_BUILDERS = "there is one builder, this program: nothing to create, choose or stop"
_LATER = "this version does not have it yet"
_CONTEXTS = "there is no engine to choose: pybuild works where it is run"

_REASONS: dict[str, tuple[str, str]] = {
    "volume update": ("can only update cluster volumes, and " + _SWARM, "make a new volume with other options"),
    **dict.fromkeys(
        ("swarm", "service", "stack", "node", "secret", "config"), (_SWARM, "`run --restart` keeps containers running")
    ),
    **dict.fromkeys(
        ("context create", "context use", "context update", "context rm", "context export", "context import"),
        (_CONTEXTS, "run it over ssh on the other machine, or choose another store with --root"),
    ),
    **dict.fromkeys(
        (
            "buildx create",
            "buildx rm",
            "buildx use",
            "buildx stop",
            "buildx install",
            "buildx uninstall",
            "buildx dial-stdio",
        ),
        (_BUILDERS, "`pybuild build` builds"),
    ),
    "buildx history": ("no record of past builds is kept", "the logs of builds are files in ROOT/logs"),
    "buildx imagetools": (
        "indexes are moved whole and made by building for several platforms",
        "`pybuild inspect --remote`, `pybuild copy` and `build --platform A,B` do what it is used for",
    ),
    "manifest": (
        "indexes are moved whole and made by building for several platforms",
        "`pybuild inspect --remote`, `pybuild copy` and `build --platform A,B` do what it is used for",
    ),
    **dict.fromkeys(("bake", "buildx bake"), (_LATER, "`-t STAGE=NAME` builds several stages in one go")),
    "compose": (_LATER, "`network create` and `run --network NAME` do by hand what it does"),
    "serve": (_LATER, "programs can call pybuild itself: `--format json`"),
    "unshare": (_LATER, "`run --rm -it` opens a shell in a container"),
    "plugin": ("there is no engine that plugins could extend", "volumes are of the driver local, networks bridges"),
    "trust": ("signatures of Notary are not read", "name images by digest: `pybuild lock` pins those of a build"),
    "checkpoint": ("processes cannot be written to disk and woken again here", "`pause` stops them where they are"),
    "system dial-stdio": ("there is no engine to speak to", "run pybuild itself over ssh"),
}
"""Words of Docker's that begin a command which is refused: the reason, and the hint."""


def refusal(words: Sequence[str]) -> tuple[str, str] | None:
    """Return why what `words` begin with is not there, and what to do instead; None for words that Docker has not."""
    words = ["buildx" if word == "builder" and number == 0 else word for number, word in enumerate(words)]
    for name in (" ".join(words[:2]), words[0]):
        if name in _REASONS:
            reason, hint = _REASONS[name]
            return f"'{name}' is not there: {reason}", hint
    return None
