"""The file of a secret goes with its step, or with the next build."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

from builder.secretfiles import secret_file, sweep_secrets
from runtime.context import Context


def test_a_value_is_in_a_file_for_as_long_as_it_is_needed(context: Context) -> None:
    with secret_file(context, b"value", uid=os.geteuid(), gid=os.getegid(), mode=0o440) as path:
        assert path.read_bytes() == b"value"
        assert stat.S_IMODE(path.stat().st_mode) == 0o440
        sweep_secrets(context)
        assert path.exists()
    assert not path.exists()


def test_what_a_killed_build_left_is_deleted(context: Context) -> None:
    script = (
        "import os, sys; from pathlib import Path; from builder.secretfiles import secret_file;"
        "from runtime.context import Context, Layout; run = Path(sys.argv[1]);"
        "context = Context(layout=Layout(root=run, run=run, key='x'), environ={}, rootless=False);"
        "held = secret_file(context, b'value', uid=os.geteuid(), gid=os.getegid(), mode=0o400); held.__enter__();"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(context.layout.run)], check=False)
    assert len(os.listdir(context.layout.run / "secrets")) == 1
    sweep_secrets(context)
    assert os.listdir(context.layout.run / "secrets") == []


def test_without_secrets_there_is_nothing_to_sweep(context: Context) -> None:
    sweep_secrets(context)
    assert not context.layout.run.exists()
