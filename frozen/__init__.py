"""Values: classes whose objects are made from keywords, never change, and are equal by content.

`class Point(Frozen): x: int; y: int = 0` is what a frozen, slotted, keyword-only dataclass is, and type checkers read
it as one (PEP 681). The difference is what it costs to have: a dataclass compiles six functions for each class, 0.4 ms,
and loads `inspect`, 9 ms; a cached build needs a hundred classes and is over in less time than that takes. Here one
generic constructor serves all classes.

This package imports nothing and belongs to no other: the grammar and the runtime, which do not know each other, both
stand on it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, NamedTuple, TypedDict, TypeVar, dataclass_transform

    _F = TypeVar("_F", bound="Frozen")
else:

    def dataclass_transform(**_options):
        """Stand in for typing's decorator, which only type checkers need."""
        return lambda cls: cls

    class _NamedTupleType(type):
        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            from collections import namedtuple  # lazy: of hardly any module that stands on this one

            fields = namespace["__annotations__"]
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key, value in namespace.items():
                if key not in fields:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleType):
        """Stand in for typing's, whose import is 3 ms."""

    class TypedDict:
        """Stand in for typing's, which evaluates all annotations, 2 ms for a hundred; called, it gives a dict."""

        def __init_subclass__(cls, *, total=True): ...

        def __new__(cls, *items, **fields):
            return dict(*items, **fields)


__all__ = ["Frozen", "NamedTuple", "TypedDict", "asdict", "field", "replace"]

_MISSING: Any = object()


class _Field:
    """What `field` says of one field."""

    __slots__ = ("compare", "default", "factory", "repr")

    def __init__(self, default: Any, factory: Callable[[], Any] | None, repr_: bool, compare: bool) -> None:
        self.default = default
        self.factory = factory
        self.repr = repr_
        self.compare = compare


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    repr: bool = True,  # noqa: A002  the words of dataclasses
    compare: bool = True,
) -> Any:
    """Describe a field: its default, or what makes one anew for each object; whether it is shown and compared."""
    return _Field(default, default_factory, repr, compare)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class _FrozenType(type):
    """Takes a class's annotations for its fields, those of its bases first, and gives them slots."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, kw_only: bool = True
    ) -> _FrozenType:
        fields: dict[str, _Field] = {}
        for base in bases:
            fields.update(getattr(base, "__frozen_fields__", {}))
        own = [
            key for key, kind in namespace.get("__annotations__", {}).items() if not str(kind).startswith("ClassVar")
        ]
        for key in own:
            value = namespace.pop(key, _MISSING)
            fields[key] = value if isinstance(value, _Field) else _Field(value, None, True, True)
        inherited = {key for base in bases for key in getattr(base, "__frozen_fields__", {})}
        namespace["__slots__"] = tuple(key for key in own if key not in inherited)
        namespace["__frozen_fields__"] = fields
        namespace["__frozen_ordered__"] = () if kw_only else tuple(fields)
        namespace["__frozen_compared__"] = tuple(key for key, about in fields.items() if about.compare)
        return super().__new__(mcs, name, bases, namespace)


class Frozen(metaclass=_FrozenType):
    """The base of all values; subclasses only annotate their fields.

    `class Point(Frozen, kw_only=False)` takes its fields without their names as well, in the order written.
    """

    if TYPE_CHECKING:
        __frozen_fields__: ClassVar[dict[str, _Field]]
        __frozen_compared__: ClassVar[tuple[str, ...]]
        __frozen_ordered__: ClassVar[tuple[str, ...]]

    def __init__(self, *ordered: Any, **values: Any) -> None:
        assign = object.__setattr__
        if ordered:
            names = type(self).__frozen_ordered__
            if len(ordered) > len(names):
                raise TypeError(f"{type(self).__name__}() takes {len(names)} arguments without names")
            for name, value in zip(names, ordered, strict=False):
                if name in values:
                    raise TypeError(f"{type(self).__name__}() got the argument {name!r} twice")
                values[name] = value
        for name, about in type(self).__frozen_fields__.items():
            if name in values:
                assign(self, name, values.pop(name))
            elif about.default is not _MISSING:
                assign(self, name, about.default)
            elif about.factory is not None:
                assign(self, name, about.factory())
            else:
                raise TypeError(f"{type(self).__name__}() is missing the argument {name!r}")
        if values:
            raise TypeError(f"{type(self).__name__}() got an unexpected argument {next(iter(values))!r}")

    if not TYPE_CHECKING:  # a type checker that saw these would think that fields may be set

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be changed: use replace()")

        def __delattr__(self, name):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__frozen_compared__)

    def __hash__(self) -> int:
        return hash((type(self), *[getattr(self, name) for name in type(self).__frozen_compared__]))

    def __repr__(self) -> str:
        shown = [name for name, about in type(self).__frozen_fields__.items() if about.repr]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {name: getattr(self, name) for name in type(self).__frozen_fields__})


def _rebuild(cls: type[_F], values: dict[str, Any]) -> _F:
    """Make an object again from what pickle kept; fields that came later have their defaults."""
    return cls(**values)


def replace(value: _F, **changes: Any) -> _F:
    """Return a copy of `value` with other values for some of its fields."""
    kept = {name: getattr(value, name) for name in type(value).__frozen_fields__ if name not in changes}
    return type(value)(**kept, **changes)


def asdict(value: Frozen) -> dict[str, Any]:
    """Return the fields as a dict, values within values too; tuples and lists stay what they are, as do mappings."""
    return {name: _plain(getattr(value, name)) for name in type(value).__frozen_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return asdict(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_plain(item) for item in value])
    return value
