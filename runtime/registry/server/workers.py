"""Run what blocks in threads: short look-ups, moving of bytes, and long work each in a pool of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """Three pools, so that none waits for a slower kind of work; a context manager that waits for what runs."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(4, "registry-quick")
        self._heavy = ThreadPoolExecutor(8, "registry-heavy")
        self._long = ThreadPoolExecutor(8, "registry-long")

    async def quick(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run what asks or changes the database, or reads a document."""
        return await self._run(self._quick, function, *args, **kwargs)

    async def heavy(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run what hashes, writes or syncs."""
        return await self._run(self._heavy, function, *args, **kwargs)

    async def long(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run what may take minutes: compressing a layer, asking another registry, a collection."""
        return await self._run(self._long, function, *args, **kwargs)

    async def _run(
        self, pool: ThreadPoolExecutor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: function(*args, **kwargs))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._quick, self._heavy, self._long):
            pool.shutdown(wait=True, cancel_futures=True)
