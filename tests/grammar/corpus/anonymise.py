"""Make a Dockerfile nobody's while its shape stays: every word gives way to a made-up one of its length and letters.

What a Dockerfile is made of stays: keywords, names of flags and of their options, directives, quotes, escapes,
variables' operators, brackets, blanks, line ends. The same word is the same made-up word throughout a file, whatever
its case, so that names of stages, variables and here-documents still meet; two words never become one.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from pathlib import Path

KEPT = frozenset(
    """
    add arg cmd copy entrypoint env expose from healthcheck label maintainer onbuild run shell stopsignal user volume
    workdir as none scratch syntax escape check true false null
    platform chown chmod link parents exclude keep git dir checksum unpack mount network security device interval
    timeout start period retries type bind cache tmpfs secret ssh source src target dst destination id mode uid gid
    required readonly ro rw readwrite sharing shared private locked size default host sandbox insecure
    """.split()
)
"""Words of the language, in any case. None of them is made up."""

_WORD = re.compile(r"(?P<escaped>(?<=[\\`])(?:u[0-9A-Fa-f]{4}|[^\W_]))|[^\W_]+")
_VOWELS, _CONSONANTS, _DIGITS = "aeiou", "bcdfghjklmnpqrstvwxyz", "0123456789"
_OTHERS = "àâäåæçèéêëìíîïñòóôöøùúûü"
_ATTEMPTS = 200


class Disguise:
    """The made-up words of one file, the same on every day for the same text."""

    def __init__(self, text: str) -> None:
        self._seed = hashlib.sha256(text.encode()).hexdigest()
        self._made: dict[str, str] = {}
        self._used: set[str] = set(KEPT)

    def apply(self, text: str) -> str:
        """Return `text`, the file's or a part of it, with its words made up; what an escape stands before stays."""
        return _WORD.sub(lambda match: match[0] if match["escaped"] else self._word(match[0]), text)

    def _word(self, written: str) -> str:
        plain = written.lower()
        if plain in KEPT or len(plain) != len(written):
            return written
        made = self._made.get(plain)
        if made is None:
            made = self._made[plain] = self._make(plain)
            self._used.add(made)
        return "".join(
            new.upper() if old.isupper() and len(new.upper()) == 1 else new
            for old, new in zip(written, made, strict=True)
        )

    def _make(self, plain: str) -> str:
        chance = random.Random(f"{self._seed} {plain}")
        made = plain
        for attempt in range(_ATTEMPTS):
            speakable = attempt < _ATTEMPTS // 2
            made = "".join(_letter(chance, old, place, speakable=speakable) for place, old in enumerate(plain))
            if made not in self._used:
                return made
        return made


def _letter(chance: random.Random, old: str, place: int, *, speakable: bool) -> str:
    """Return a letter or digit in place of `old`; speakable words are consonants and vowels in turn."""
    if old.isdigit():
        return chance.choice(_DIGITS)
    if not old.isascii():
        return chance.choice(_OTHERS)
    if not speakable:
        return chance.choice(_VOWELS + _CONSONANTS)
    return chance.choice((_CONSONANTS, _VOWELS)[place % 2])


def main() -> int:
    """Disguise the files of one directory into another, where they have numbers for names."""
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir()), 1):
        text = path.read_bytes().decode()
        (target / f"{number:03}").write_bytes(Disguise(text).apply(text).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
