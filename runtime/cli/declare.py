"""Declare verbs and their flags: the one source of truth that the quick parser, the help and the completion read."""

from __future__ import annotations

from frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["switch", "text", "texts", "integer", "optional"]


class Flag:
    """One flag; `names` holds long forms (`--tag`), at most one short form (`-t`), the first long one names it.

    `switch` is a boolean; `text` and `integer` keep the last value given, `texts` collects all in order; `optional`
    is a text that may stand alone and then means `bare`. A `hidden` flag is accepted and not shown in the help.
    """

    __slots__ = ("bare", "help", "hidden", "kind", "metavar", "names")

    def __init__(
        self,
        *names: str,
        kind: Kind = "switch",
        metavar: str = "VALUE",
        help: str = "",  # noqa: A002  the word that every command-line library uses
        bare: str = "",
        hidden: bool = False,
    ) -> None:
        self.names = names
        self.kind = kind
        self.metavar = metavar
        self.help = help
        self.bare = bare
        self.hidden = hidden

    @property
    def name(self) -> str:
        """The long name without its dashes: the key under which a value is found."""
        return next(name for name in self.names if name.startswith("--"))[2:]


class Verb(Frozen):
    """One verb: how it is called, how many words it takes (`None` is any number), and what it needs.

    `name` may be two words (`network create`). `usage_status` is the exit status of wrong usage; `failure_status` of
    every other failure of our own. `interrupt` says how a signal reaches it: `raise` stops the main thread where it
    is, `event` only sets `context.cancel` (for verbs that wait for it themselves).
    """

    name: str
    summary: str
    usage: str = "[OPTIONS]"
    flags: tuple[Flag, ...] = ()
    words: tuple[int, int | None] = (0, None)
    interspersed: bool = True
    needs_store: bool = False
    usage_status: int = 2
    failure_status: int = 1
    interrupt: Literal["raise", "event"] = "raise"


GLOBAL_FLAGS = (
    Flag("--root", kind="text", metavar="DIR", help="Directory that holds images, layers and containers"),
    Flag("--config", kind="text", metavar="FILE", help="Configuration file, read after the others"),
    Flag("--debug", "-D", help="Show tracebacks and debugging messages"),
    Flag("--offline", help="Never connect to anything"),
)
