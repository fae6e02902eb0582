"""What a user of docker has written into `config.json` for good: the form of lists, the keys that detach."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.registry.clientconfig import client_setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context


def wished_format(args: Arguments, context: Context, setting: str) -> str | None:
    """Give `--format`, else what `setting` (such as `psFormat`) says, which does not concern `--quiet`."""
    return args.text("format") or (None if args.switch("quiet") else client_setting(context, setting))


def detach_keys(args: Arguments, context: Context) -> bytes:
    """Give the keys that detach: those of `--detach-keys`, else of `detachKeys`, else Docker's. Raises UsageError."""
    from runtime.containers.terminal import DETACH_KEYS, parse_detach_keys  # lazy: not for lists

    text = args.text("detach-keys") if args.given("detach-keys") else client_setting(context, "detachKeys")
    return DETACH_KEYS if text is None else parse_detach_keys(text)
