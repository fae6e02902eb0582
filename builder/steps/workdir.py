"""Do WORKDIR: make the directory where it is missing, in a layer of its own as BuildKit does."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from builder.imagestate import absolute
from builder.ownership import find_owner
from frozen import Frozen

if TYPE_CHECKING:
    from builder.filelists import ReadFiles
    from builder.interfaces import BuildContext, Given, KeyParts
    from grammar.instructions import Workdir
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.preparation import Preparation


class WorkdirStep(Frozen):
    """One WORKDIR at work."""

    instruction: Workdir

    @property
    def linked(self) -> bool:
        return False

    def check(self, build_context: BuildContext) -> None:
        """Nothing can be wrong before the tree is known."""

    def key_parts(self, given: Given) -> KeyParts:
        """The directory, and who owns it if it has to be made."""
        owner = find_owner(given.user or None, given.view)
        return {"instruction": "workdir", "directory": self._directory(given), "owner": list(owner or (0, 0))}

    def files(self, given: Given) -> tuple[ReadFiles, ...]:
        """None: it reads no files."""
        del given
        return ()

    def execute(self, given: Given, preparation: Preparation) -> LayerDigests | None:
        """Make what is missing of the directory; links on the way are followed inside the tree."""
        from builder.layering import Style, open_layer  # only where it is not remembered

        directory = given.view.resolve(PurePosixPath(self._directory(given)))
        found = given.view.stat(directory)
        if found is not None and found.kind == "directory":
            return None
        created = given.context.now() if given.epoch is None else given.epoch * 10**9
        style = Style(owner=find_owner(given.user or None, given.view), created_ns=created)
        with open_layer(preparation.upperdir, given.view) as layer:
            layer.make_directory(os.fsencode(directory).lstrip(b"/"), style)
        return None

    def _directory(self, given: Given) -> str:
        return absolute(given.working_directory, self.instruction.path)
