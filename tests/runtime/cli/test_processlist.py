"""Secrets on the command line leave the process list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from runtime.cli.processlist import hide
hide(sys.argv[1])
hide("")
sys.stdout.write(open("/proc/self/cmdline").read())
assert len(sys.argv[1]) == 10
"""


def test_a_hidden_word_is_not_in_the_process_list() -> None:
    words = [sys.executable, "-c", PROGRAM, "user:hush\u00e9", "rest"]
    repository = Path(__file__).parents[3]
    done = subprocess.run(words, capture_output=True, text=True, cwd=repository, timeout=60, check=True)
    assert "hush" not in done.stdout
    assert done.stdout.endswith("\0xxxxxxxxxxx\0rest\0")
