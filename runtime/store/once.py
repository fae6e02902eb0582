"""Make a part of an object when it is first asked for: once, however many threads ask at the same time."""

from __future__ import annotations

from threading import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import cached_property as once
else:

    class once:  # noqa: N801  it is used as the function that it looks like
        """What `functools.cached_property` was before Python 3.12; with a later one two threads make two parts."""

        def __init__(self, make):
            self._make = make
            self._lock = RLock()
            self.__doc__ = make.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            with self._lock:
                made = instance.__dict__
                if self._name not in made:
                    made[self._name] = self._make(instance)
                return made[self._name]


__all__ = ["once"]
