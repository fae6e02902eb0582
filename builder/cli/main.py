"""The `pybuild` program: the verbs of the runtime and of the builder under one name."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from runtime.cli.registry import Registry

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/", "oci-layout://")


def main() -> NoReturn:
    """Run the program with the words of this process's command line, and end the process.

    It ends without taking the interpreter down object by object, which takes 2 ms, 10 with a search for cycles:
    whatever has to be closed or removed belongs to a block that has ended. Only threads are waited for.
    """
    status = run()
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() == 1:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # said by the interpreter, below
        else:
            os._exit(status)
    gc.freeze()
    sys.exit(status)


def run() -> int:
    """Run the program with the words of this process's command line and return its exit status."""
    # Until the verb has handlers of its own, and after it, an interruption ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from builder.cli.verbs import VERBS as BUILDER_VERBS  # not above that line: 20 ms
    from runtime.cli.program import run_program
    from runtime.cli.registry import Registry
    from runtime.cli.verbs import VERBS as RUNTIME_VERBS

    if sys.getfilesystemencoding() != "utf-8":
        # Names in Dockerfiles and images are UTF-8, whatever the locale: 15 ms more where the locale is another.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    registry = Registry({**RUNTIME_VERBS, **BUILDER_VERBS})
    if "_PYBUILD_COMPLETE" in os.environ:
        from runtime.cli.help import application  # lazy: 120 ms

        application(registry)(prog_name="pybuild", complete_var="_PYBUILD_COMPLETE")
        return 0
    return run_program(
        sys.argv[1:],
        registry,
        default=lambda words: _build(words, registry),
        explain=_explain,
    )


def _build(words: Sequence[str], registry: Registry) -> Sequence[str]:
    """Return `words` as words of `build`: they begin with a flag or a context and with no verb."""
    first = words[0]
    if first.startswith(("-", *_REMOTE)) or os.path.exists(first):
        return ("build", *words)
    near = registry.nearest(first)
    from runtime.errors import UsageError  # loaded already

    hint = f"did you mean 'pybuild {near}'?" if near else "see 'pybuild --help'"
    raise UsageError(f"'{first}' is neither a verb of pybuild nor a directory to build", hint=hint)


def _explain(error: Exception) -> tuple[str, str | None] | None:
    """Tell what a fault of the language says; grammar knows nothing of pybuild's own exceptions."""
    from grammar.errors import DockerfileError  # lazy: only when something failed

    if not isinstance(error, DockerfileError):
        return None
    place = f"line {error.line}: " if error.line is not None else ""
    return f"{place}{error.message}", error.hint


if __name__ == "__main__":
    main()
