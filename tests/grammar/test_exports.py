"""The package's public names, and what it costs to have them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import grammar


@pytest.mark.parametrize("name", grammar.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(grammar, name) is not None
    assert name in dir(grammar)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        grammar.nothing  # noqa: B018


def test_importing_the_package_loads_neither_the_parser_nor_lark() -> None:
    program = "import sys, grammar; grammar.expand('a', {}); print({'lark', 'grammar.parser'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
