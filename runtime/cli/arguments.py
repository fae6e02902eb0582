"""Read a verb's words in pflag's syntax, without any library: what runs all day must start at once.

pflag is what Docker's own command line uses: `--flag value`, `--flag=value`, `--switch=false`, joined short forms
(`-it`, `-p80:80`, `-p=80:80`), `--` as the end of flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.cli.declare import GLOBAL_FLAGS, Flag, Verb
from runtime.errors import UsageError

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class HelpRequested(Exception):
    """`--help` (or `-h`, where it is no flag of the verb's own) was among the words."""


class Arguments:
    """What was typed: values by the flag's long name, and the words that are no flags."""

    __slots__ = ("_flags", "_values", "words")

    def __init__(self, flags: Mapping[str, Flag], values: Mapping[str, list[str]], words: Sequence[str]) -> None:
        self._flags = flags
        self._values = values
        self.words = tuple(words)

    def given(self, name: str) -> bool:
        """Tell whether the flag was typed at all."""
        return name in self._values

    def switch(self, name: str) -> bool:
        """Return a switch's last value, False where it was not typed."""
        return self._last(name, "switch") == "true"

    def text(self, name: str) -> str | None:
        """Return the last value of a `text` or `optional` flag, None where it was not typed."""
        return self._last(name, "text", "optional")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a `texts` flag in the order typed."""
        self._expect(name, ("texts",))
        return tuple(self._values.get(name, ()))

    def integer(self, name: str) -> int | None:
        """Return the last value of an `integer` flag, None where it was not typed."""
        value = self._last(name, "integer")
        return None if value is None else int(value, 0)

    def _last(self, name: str, *kinds: str) -> str | None:
        self._expect(name, kinds)
        values = self._values.get(name)
        return values[-1] if values else None

    def _expect(self, name: str, kinds: tuple[str, ...]) -> None:
        if self._flags[name].kind not in kinds:
            raise TypeError(f"flag --{name} is of kind {self._flags[name].kind}")


class _Reader:
    """One pass over the words of one verb."""

    def __init__(self, command: str, flags: Sequence[Flag], interspersed: bool) -> None:
        self.command = command
        self.flags = {flag.name: flag for flag in flags}
        self.by_name = {name: flag for flag in flags for name in flag.names}
        self.interspersed = interspersed
        self.values: dict[str, list[str]] = {}
        self.words: list[str] = []

    def read(self, words: Sequence[str]) -> None:
        pending = list(reversed(words))
        while pending:
            word = pending.pop()
            if word == "--":
                self.words.extend(reversed(pending))
                return
            if word.startswith("--"):
                self._long(word, pending)
            elif word.startswith("-") and len(word) > 1:
                self._short(word, pending)
            else:
                self.words.append(word)
                if not self.interspersed:
                    self.words.extend(reversed(pending))
                    return

    def _long(self, word: str, pending: list[str]) -> None:
        name, equals, value = word.partition("=")
        flag = self.by_name.get(name)
        if flag is None:
            if name == "--help":
                raise HelpRequested
            raise UsageError(f"unknown flag: {name}", hint=self._nearest(name))
        if equals:
            self._store(flag, name, value)
        elif flag.kind == "switch":
            self._store(flag, name, "true")
        elif flag.kind == "optional":
            self._store(flag, name, flag.bare)
        else:
            self._store(flag, name, self._following(name, pending))

    def _short(self, word: str, pending: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.by_name.get("-" + letter)
            if flag is None:
                if letter == "h":
                    raise HelpRequested
                raise UsageError(f"unknown shorthand flag: {letter!r} in {word}", hint=self._see())
            if letters.startswith("="):
                self._store(flag, "-" + letter, letters[1:])
                return
            if flag.kind == "switch":
                self._store(flag, "-" + letter, "true")
            elif flag.kind == "optional":
                self._store(flag, "-" + letter, flag.bare)
            else:
                self._store(flag, "-" + letter, letters or self._following(f"{letter!r} in {word}", pending))
                return

    def _following(self, name: str, pending: list[str]) -> str:
        if not pending:
            raise UsageError(f"flag needs an argument: {name}", hint=self._see())
        return pending.pop()

    def _store(self, flag: Flag, name: str, value: str) -> None:
        if flag.kind == "switch":
            if value not in _TRUE and value not in _FALSE:
                raise UsageError(f'invalid argument "{value}" for "{name}" flag: write true or false')
            value = "true" if value in _TRUE else "false"
        if flag.kind == "integer":
            try:
                int(value, 0)
            except ValueError:
                raise UsageError(f'invalid argument "{value}" for "{name}" flag: not a whole number') from None
        self.values.setdefault(flag.name, []).append(value)

    def _nearest(self, name: str) -> str:
        from difflib import get_close_matches  # lazy: 4 ms

        shown = [known for known, flag in self.by_name.items() if known.startswith("--") and not flag.hidden]
        near = get_close_matches(name, shown, n=1)
        return f"did you mean {near[0]}? {self._see()}" if near else self._see()

    def _see(self) -> str:
        return f"see '{self.command} --help'"


def read_arguments(verb: Verb, words: Sequence[str]) -> Arguments:
    """Read `words` as `verb` declares them; global flags may stand among them.

    Raises UsageError with the offending word as written, and HelpRequested for `--help`.
    """
    command = f"pybuild {verb.name}"
    own = {name for flag in verb.flags for name in flag.names}
    shared = [flag for flag in GLOBAL_FLAGS if not own.intersection(flag.names)]
    reader = _Reader(command, (*verb.flags, *shared), verb.interspersed)
    reader.read(words)
    least, most = verb.words
    count = len(reader.words)
    if count < least or (most is not None and count > most):
        raise UsageError(_wrong_count(command, least, most), hint=f"usage: {command} {verb.usage}")
    return Arguments(reader.flags, reader.values, reader.words)


def split_global(words: Sequence[str]) -> tuple[Arguments, tuple[str, ...]]:
    """Take the global flags that stand before the verb; return them and the words that are left."""
    by_name = {name: flag for flag in GLOBAL_FLAGS for name in flag.names}
    taken = 0
    while taken < len(words):
        flag = by_name.get(words[taken].partition("=")[0])
        if flag is None:
            break
        taken += 1 if flag.kind == "switch" or "=" in words[taken] else 2
    reader = _Reader("pybuild", GLOBAL_FLAGS, interspersed=False)
    reader.read(words[:taken])
    return Arguments(reader.flags, reader.values, ()), tuple(words[taken:])


def _wrong_count(command: str, least: int, most: int | None) -> str:
    if most == 0:
        return f"'{command}' accepts no arguments"
    if most is None:
        bound = f"at least {least}"
    elif least == most:
        bound = str(least)
    else:
        bound = f"at least {least} and at most {most}" if least else f"at most {most}"
    plural = "" if (most or least) == 1 else "s"
    return f"'{command}' requires {bound} argument{plural}"
