"""Keep the build cache within what the configuration allows, a slice after each build.

::

    [cache]                  # config.toml
    max_size  = "20%"        # of the file system, or "10GB"
    keep_free = "10%"        # what stays free on the file system
    max_age   = "60d"        # what was not used for so long goes

What was used longest ago goes first. A slice never waits for another process, deletes at most `_SLICE` entries, and
leaves the rest to the next build.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.records import Records
from frozen import Frozen
from runtime.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from builder.cachestore import CacheEntry
    from runtime.context import Context
    from runtime.store.facade import Store

_SYSTEM = Path("/etc/pybuild/config.toml")
_SLICE = 64
_FRESH = 3600 * 10**9
"""Nanoseconds: an hour."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)
_AGE = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FIELDS = ("max_size", "keep_free", "max_age")


class Limit(Frozen):
    """A size: `size` bytes, or `share` of the file system (0 to 1)."""

    size: int = 0
    share: float = 0.0

    def of(self, total: int) -> int:
        """Give it in bytes on a file system of `total` bytes."""
        return int(total * self.share) if self.share else self.size


class CachePolicy(Frozen):
    """How much the cache may take; `max_age` in seconds."""

    max_size: Limit = Limit(share=0.2)
    keep_free: Limit = Limit(share=0.1)
    max_age: int = 60 * 86400


def read_cache_policy(context: Context) -> CachePolicy:
    """Read `[cache]` of the configuration files, later ones over earlier ones. Raises DocumentError."""
    values: dict[str, object] = {}
    for path in _files(context):
        values.update(_section(path))
    policy = CachePolicy()
    return CachePolicy(
        max_size=_limit("max_size", values, policy.max_size),
        keep_free=_limit("keep_free", values, policy.keep_free),
        max_age=_age(values, policy.max_age),
    )


def collect_slice(store: Store, policy: CachePolicy) -> int:
    """Delete a slice of what the policy does not want kept; gives how many entries went.

    Nothing is looked at more closely while everything is clearly within the limits.
    """
    now = store.context.now()
    oldest = now - policy.max_age * 1_000_000_000
    if (store.layout.root / "kept").is_dir():
        from builder.keptsteps import kept_steps, remove_kept  # lazy: only where a failed step was ever kept

        remove_kept(store, [step for step in kept_steps(store) if step.created < oldest])
    space = os.statvfs(store.layout.root)
    total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    allowed = policy.max_size.of(total)
    missing = max(0, policy.keep_free.of(total) - free)
    if not missing and not _may_be_over(store, allowed, oldest) and not _is_due(store):
        return 0
    from builder.cachestore import delete, entries  # lazy: only where something may have to go
    from runtime.store.collect import collect

    found = entries(store)
    chosen = _chosen(found, allowed=allowed, missing=missing, oldest=oldest, fresh=now - _FRESH)
    gone = delete(store, chosen[:_SLICE])
    if gone:
        collect(store, wait=False)
    return len(gone)


def _chosen(found: tuple[CacheEntry, ...], *, allowed: int, missing: int, oldest: int, fresh: int) -> list[CacheEntry]:
    """Choose the oldest first: what is too old, and whatever is too much. What images hold frees nothing.

    What was used after `fresh` is not too much: a full disk shall not make every build begin anew.
    """
    left = sum(entry.freeable for entry in found)
    limit = min(allowed, left - missing)
    chosen = []
    for entry in found:
        if entry.in_use or (entry.used >= oldest and (left <= limit or entry.used > fresh)):
            continue
        if entry.used < oldest or entry.freeable:
            chosen.append(entry)
            left -= entry.freeable
    return chosen


def _may_be_over(store: Store, allowed: int, oldest: int) -> bool:
    """Tell from two cheap questions whether records have to go."""
    _ = Records(store), store.snapshots  # their tables exist
    row = store.database.one(
        """SELECT coalesce(sum(own_size), 0), (SELECT min(CASE used WHEN 0 THEN created ELSE used END)
        FROM builder_records) FROM snapshots WHERE chain_id IN (SELECT chain FROM builder_records)"""
    )
    if row is None:
        return False
    return bool(row[0] > allowed or (row[1] is not None and row[1] < oldest))


def _is_due(store: Store) -> bool:
    """Tell whether it is time to measure what is no layer: cache mounts, downloads, repositories. Once an hour."""
    root = store.layout.root
    if not any((root / name).is_dir() for name in ("cache-mounts", "downloads", "git")):
        return False
    stamp = root / "cache-checked"
    now = store.context.now()
    try:
        if 0 <= now - stamp.stat().st_mtime_ns < _FRESH:
            return False
    except FileNotFoundError:
        stamp.touch(mode=0o600)
    os.utime(stamp, ns=(now, now))
    return True


def _files(context: Context) -> Iterator[Path]:
    yield _SYSTEM
    environ = context.environ
    home = environ.get("XDG_CONFIG_HOME") or (environ.get("HOME") and os.path.join(environ["HOME"], ".config"))
    if home:
        yield Path(home, "pybuild", "config.toml")
    if context.config_file is not None:
        yield context.config_file


def _section(path: Path) -> Mapping[str, object]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from error
    import tomllib  # lazy: 10 ms, and most have no such file

    try:
        section = tomllib.loads(data.decode()).get("cache", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DocumentError(f"{path} is not TOML: {error}") from error
    if not isinstance(section, dict):
        raise DocumentError(f"{path}: cache must be a table")
    for name in section:
        if name not in _FIELDS:
            raise DocumentError(f"{path}: cache.{name} is not known", hint=f"there are {', '.join(_FIELDS)}")
    return section


def _limit(name: str, values: Mapping[str, object], default: Limit) -> Limit:
    value = values.get(name)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Limit(size=value)
    if isinstance(value, str):
        number = value.strip().removesuffix("%")
        if value.strip().endswith("%") and number.isascii() and number.isdecimal() and int(number) <= 100:
            return Limit(share=int(number) / 100) if int(number) else Limit()
        try:
            return Limit(size=parse_size(value))
        except UsageError:
            pass
    raise DocumentError(f"cache.{name} = {value!a} is no size", hint='write "10GB" or "20%"')


def _age(values: Mapping[str, object], default: int) -> int:
    value = values.get("max_age")
    if value is None:
        return default
    match = _AGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise DocumentError(f"cache.max_age = {value!a} is no length of time", hint='write "60d" or "48h"')
    return int(match[1]) * _SECONDS[match[2]]


def parse_size(text: str) -> int:
    """Read bytes with a unit, of powers of 1000, or 1024 with an `i`: 512MB, 10GiB, 5g. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!a} is no size", hint="write 512MB or 10GB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kmgtp".index(match[2].lower() or " "))
