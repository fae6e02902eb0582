"""Find a verb by its words: names to modules, Docker's groups to the same verbs, and the nearest to a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.context import Context

Handler = Callable[[Arguments, Context], int]

GROUPS: dict[str, dict[str, str]] = {
    "image": {
        "build": "build",
        "history": "history",
        "import": "import",
        "inspect": "inspect",
        "list": "images",
        "load": "load",
        "ls": "images",
        "prune": "image prune",
        "pull": "pull",
        "push": "push",
        "remove": "rmi",
        "rm": "rmi",
        "save": "save",
        "tag": "tag",
    },
    "container": {
        "list": "ps",
        "ls": "ps",
        "prune": "container prune",
        "remove": "rm",
        **{
            name: name
            for name in (
                "attach commit cp create diff exec export inspect kill logs pause port ps rename restart rm run start "
                "stats stop top unpause update wait"
            ).split()
        },
    },
    "builder": {
        **{name: f"buildx {name}" for name in ("inspect", "ls", "version")},
        "bake": "bake",
        "build": "build",
        "du": "cache du",
        "prune": "cache prune",
    },
    "buildx": {"b": "build", "bake": "bake", "build": "build", "du": "cache du", "prune": "cache prune"},
    "context": {"list": "context ls"},
    "network": {"list": "network ls", "remove": "network rm"},
    "volume": {"list": "volume ls", "remove": "volume rm"},
    "cache": {},
    "system": {"events": "events", "info": "info"},
    "registry": {},
    "lock": {},
}
"""Docker's groups: the words behind a group and the verb they are another spelling of."""


class Registry:
    """All verbs by name; a verb's module is imported when it is called and not before.

    `table` maps a verb's name (one or two words) to `module` or `module:part`. A module has `VERB` and `run`; one that
    holds several has `VERB_PART` and `run_part`.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        self.table = dict(table)

    def find(self, words: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
        """Return the name of the verb that `words` begin with, and the words after it; None where there is none."""
        if not words:
            return None
        first = words[0]
        if len(words) > 1:
            both = f"{first} {words[1]}"
            if both in self.table:
                return both, tuple(words[2:])
            alias = GROUPS.get(first, {}).get(words[1])
            if alias in self.table:
                return alias, tuple(words[2:])
        if first in self.table:
            return first, tuple(words[1:])
        return None

    def is_group(self, word: str) -> bool:
        """Tell whether `word` needs a second word behind it."""
        return word not in self.table and bool(self.members(word))

    def members(self, group: str) -> tuple[str, ...]:
        """Return the second words that `group` knows, sorted."""
        own = {name.split(" ", 1)[1] for name in self.table if name.startswith(group + " ")}
        aliases = {word for word, verb in GROUPS.get(group, {}).items() if verb in self.table}
        return tuple(sorted(own | aliases))

    def load(self, name: str) -> tuple[Verb, Handler]:
        """Import the verb's module and return its declaration and its function."""
        module_name, _, part = self.table[name].partition(":")
        module = import_module(module_name)
        verb = getattr(module, f"VERB_{part.upper()}" if part else "VERB")
        handler = getattr(module, f"run_{part}" if part else "run")
        return verb, handler

    def nearest(self, word: str) -> str | None:
        """Return the verb that `word` was most likely meant to be."""
        from difflib import get_close_matches  # lazy: 4 ms

        near = get_close_matches(word, sorted({*self.table, *GROUPS}), n=1)
        return near[0] if near else None
