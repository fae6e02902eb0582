"""Fill in Go templates: values are those of JSON, printed as Go prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from runtime.cli.output import quoted
from runtime.cli.structs import Line, left_out, structure, typed
from runtime.cli.templateparser import (
    Action,
    Block,
    Function,
    Invocation,
    Jump,
    Literal,
    Node,
    Operand,
    Path,
    Pipeline,
    TemplateError,
    Text,
    Tree,
    Value,
    parse,
)

_VERB = re.compile(r"%([-+# 0]*)(\*|\d*)(?:\.(\*|\d*))?(.)", re.DOTALL)
_WIDEST = 4096
"""The widest field that `printf` and `pad` make."""

_DEEPEST = 64
"""How many templates may be filled in inside each other."""


class NilList(tuple[Value, ...]):
    """A list that is nil: empty, printed as `[]`, in JSON null."""

    __slots__ = ()


class NilMap(dict[str, Value]):
    """A map that is nil: empty, printed as `map[]`, in JSON null."""

    __slots__ = ()


ABSENT: Mapping[str, Value] = {
    **dict.fromkeys("User WorkingDir StopSignal Variant OsVersion Comment Author Created Platform".split(), ""),
    **dict.fromkeys(
        (
            "Env Cmd Entrypoint OnBuild Shell OsFeatures Args Links Binds ExecIDs CapAdd CapDrop Dns DnsOptions "
            "DnsSearch ExtraHosts GroupAdd SecurityOpt VolumesFrom Devices DeviceCgroupRules DeviceRequests Ulimits "
            "Mounts MaskedPaths ReadonlyPaths Aliases DNSNames RepoTags RepoDigests"
        ).split(),
        NilList(),
    ),
    **dict.fromkeys(
        (
            "ExposedPorts Volumes Labels PortBindings Tmpfs Sysctls Options DriverOpts Ports Annotations StorageOpt "
            "Containers"
        ).split(),
        NilMap(),
    ),
    **dict.fromkeys(
        (
            "Healthcheck Health Descriptor ImageManifestDescriptor Manifests Init StopTimeout "
            "MemorySwappiness OomKillDisable PidsLimit IPAMConfig"
        ).split()
    ),
    "ArgsEscaped": False,
    "NetworkDisabled": False,
    "VirtualSize": 0,
    "ContainerConfig": None,
    **dict.fromkeys(("Container", "MacAddress"), ""),
    **dict.fromkeys("SizeRw SizeRootFs".split()),
}
"""Fields that the Engine API leaves out or has as null when they are empty, with what a template sees then."""


_TITLED = frozenset(("json", "title", "lower", "upper", "truncate"))


class _NoValue:
    """What a lookup in a map gives that has no such key: printed as Go does, and false."""


NO_VALUE = _NoValue()


class _Jumped(Exception):
    """`break` or `continue` on its way to the loop."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def render(template: str, value: Value) -> str:
    """Fill one value into a template; raises TemplateError."""
    return Template(template).render(value)


class Template:
    """A template that was parsed once, for many values."""

    def __init__(self, text: str) -> None:
        self._tree = parse(text)

    def render(self, value: Value) -> str:
        """Fill one value in; raises TemplateError for a field that the value does not have."""
        output: list[str] = []
        _Run(self._tree, value, output).nodes(self._tree.nodes, value)
        return "".join(output)

    def render_titles(self, value: Value) -> str:
        """Fill in the titles of columns, which Docker leaves as they are whatever is made of the fields."""
        output: list[str] = []
        _Run(self._tree, value, output, titles=True).nodes(self._tree.nodes, value)
        return "".join(output)


class _Run:
    """One filling in: the output, and the variables in scope, innermost last."""

    def __init__(self, tree: Tree, root: Value, output: list[str], depth: int = 0, *, titles: bool = False) -> None:
        self._tree = tree
        self._depth = depth
        self._titles = titles
        self._output = output
        self._variables: list[tuple[str, Value]] = [("$", root)]

    def nodes(self, nodes: Sequence[Node], dot: Value) -> None:
        depth = len(self._variables)
        for node in nodes:
            if isinstance(node, Text):
                self._output.append(node.text)
            elif isinstance(node, Action):
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.declares:
                    self._output.append(show(value))
            elif isinstance(node, Jump):
                raise _Jumped(node.word)
            elif isinstance(node, Invocation):
                self._invoke(node, dot)
            else:
                self._block(node, dot)
        del self._variables[depth:]

    def _invoke(self, node: Invocation, dot: Value) -> None:
        """Fill in a template that has a name; `$` is its dot then, and no other variable is in scope."""
        nodes = self._tree.definitions.get(node.name)
        if nodes is None:
            raise fault(f'template "{node.name}" not defined')
        if self._depth >= _DEEPEST:
            raise fault(f"exceeded maximum template depth ({_DEEPEST})")
        value = None if node.pipeline is None else self._pipeline(node.pipeline, dot)
        _Run(self._tree, value, self._output, self._depth + 1).nodes(nodes, value)

    def _block(self, block: Block, dot: Value) -> None:
        depth = len(self._variables)
        if block.word == "range":
            self._range(block, dot)
        else:
            value = self._pipeline(block.pipeline, dot)
            inner = value if block.word == "with" and truth(value) else dot
            self.nodes(block.body if truth(value) else block.otherwise, inner)
        del self._variables[depth:]

    def _range(self, block: Block, dot: Value) -> None:
        pipeline = Pipeline(block.pipeline.commands)
        items = _items(self._pipeline(pipeline, dot))
        if not items:
            self.nodes(block.otherwise, dot)
            return
        depth = len(self._variables)
        for key, item in items:
            names = block.pipeline.declares
            for name, value in zip(names, (key, item) if len(names) == 2 else (item,), strict=False):
                if block.pipeline.assigns:
                    self._assign(name, value)
                else:
                    self._variables.append((name, value))
            try:
                self.nodes(block.body, item)
            except _Jumped as jump:
                if jump.word == "break":
                    break
            finally:
                del self._variables[depth:]

    def _pipeline(self, pipeline: Pipeline, dot: Value) -> Value:
        value: Value = None
        for number, command in enumerate(pipeline.commands):
            value = self._command(command, dot, (value,) if number else ())
        for name in pipeline.declares:
            if pipeline.assigns:
                self._assign(name, value)
            else:
                self._variables.append((name, value))
        return value

    def _command(self, command: Sequence[Operand], dot: Value, piped: tuple[Value, ...]) -> Value:
        head = command[0]
        if not isinstance(head, Function):
            return self._method(head, command, dot, piped)
        if head.name in {"and", "or"}:
            return self._short_circuit(head.name, command[1:], dot, piped)
        arguments = (*(self._operand(operand, dot) for operand in command[1:]), *piped)
        return arguments[0] if self._titles and arguments and head.name in _TITLED else call(head.name, arguments)

    def _method(self, head: Operand, command: Sequence[Operand], dot: Value, piped: tuple[Value, ...]) -> Value:
        """Give a value, or what a method of it makes of the arguments: `.Label "name"`."""
        value = self._operand(head, dot)
        arguments = [*(self._operand(operand, dot) for operand in command[1:]), *piped]
        shown = head.text if isinstance(head, Path) else "(…)"
        if not callable(value):
            if arguments:
                raise fault(f"{shown} has arguments but cannot be invoked as function")
            return value
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise fault(f"wrong number of args for {shown.rpartition('.')[2]}: want 1 got {len(arguments)}")
        called: Value = value(arguments[0])
        return called

    def _short_circuit(self, name: str, operands: Sequence[Operand], dot: Value, piped: tuple[Value, ...]) -> Value:
        if not operands and not piped:
            raise fault(f"wrong number of args for {name}: want at least 1 got 0")
        value: Value = None
        for operand in operands:
            value = self._operand(operand, dot)
            if truth(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Value) -> Value:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Function):
            return call(operand.name, ())
        if isinstance(operand.start, Pipeline):
            value = self._pipeline(operand.start, dot)
        else:
            value = dot if operand.start == "." else self._variable(operand.start)
        for name in operand.fields:
            value = _field(value, name, operand)
        return value

    def _variable(self, name: str) -> Value:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise fault(f"undefined variable {name!a}")

    def _assign(self, name: str, value: Value) -> None:
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return
        raise fault(f"undefined variable {name!a}")


def _field(value: Value, name: str, path: Path) -> Value:
    if isinstance(value, Mapping):
        if name in value:
            found: Value = typed(value, name)
            return ABSENT.get(name) if found is None else found
        if "Test" in value and (known := typed(value, name)) is not None:
            return known
        if (empty := left_out(value, name, NO_VALUE)) is not NO_VALUE:
            return empty
        if name in ABSENT:
            return ABSENT[name]
        if name[:1].islower() or not any(str(key)[:1].isupper() for key in value):
            return NO_VALUE  # a map of labels or the like, not a record
        for key in value:  # Go's name is not always the document's: ID and Id, NanoCPUs and NanoCpus
            if str(key).lower() == name.lower():
                entry: Value = value[key]
                return ABSENT.get(str(key)) if entry is None else entry
        from difflib import get_close_matches  # lazy: 4 ms

        near = get_close_matches(name, [str(key) for key in value], 1)
        raise fault(
            f"at <{path.text}>: there is no field {name!a}",
            hint=f"did you mean .{near[0]}?" if near else "the fields are " + ", ".join(str(key) for key in value),
        )
    if value is None or value is NO_VALUE:
        raise fault(f"at <{path.text}>: nil has no field {name!a}")
    raise fault(f"at <{path.text}>: {_kind(value)} has no field {name!a}")


def _items(value: Value) -> list[tuple[Value, Value]]:
    if value is None or value is NO_VALUE:
        return []
    if isinstance(value, Mapping):
        return [(key, _member(key, value[key])) for key in sorted(value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 20:
        return [(number, number) for number in range(value)]
    raise fault(f"range can't iterate over {show(value)[:40]}")


def _member(key: object, value: Value) -> Value:
    """Return what a map holds: for a port that leads nowhere, whose list of places is null, an empty one."""
    return NilList() if value is None and str(key).endswith(("/tcp", "/udp", "/sctp")) else value


def truth(value: Value) -> bool:
    """Tell whether a value is what Go's `if` takes for true: not zero and not empty."""
    return value is not NO_VALUE and bool(value)


def show(value: Value) -> str:
    """Print a value as Go's %v does."""
    if value is NO_VALUE:
        return "<no value>"
    if callable(value):
        raise fault("wrong number of args for a method: want 1 got 0")
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _plain_float(value)
    if isinstance(value, Mapping):
        text = structure(value, show)
        if text is not None:
            return text
        empty = {key: "{}" for key, item in value.items() if isinstance(item, dict) and not item}  # ports and volumes
        return (
            "map["
            + " ".join(f"{show(key)}:{empty.get(key) or show(_member(key, value[key]))}" for key in sorted(value))
            + "]"
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def _plain_float(value: float) -> str:
    text = repr(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", text)


def to_json(value: Value, *, indent: int | None = None) -> str:
    """Encode JSON that is safe on a terminal: control characters of every kind, and half surrogates, as escapes."""
    separators = (",", ":") if indent is None else (",", ": ")
    unsafe = _UNSAFE
    if isinstance(value, NilList | NilMap) or value is NO_VALUE:
        value = None
    elif isinstance(value, Mapping):
        unsafe = _UNSAFE_IN_HTML if isinstance(value, Line) else _UNSAFE
        ordered = sorted(value) if isinstance(value, Line) else value
        value = {key: value[key] for key in ordered if not callable(value[key])}
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return unsafe.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_HTML = re.compile("[<>&]|" + _UNSAFE.pattern)


def _kind(value: Value) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return kinds.get(type(value), "a map" if isinstance(value, Mapping) else "a list")


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise fault(f"{name}: {show(value)[:40]} is no string")
    return value


def _integer(name: str, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault(f"{name}: {show(value)[:40]} is no integer")
    return value


def _index(collection: Value, *keys: Value) -> Value:
    value = collection
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "" if all(isinstance(item, str) for item in value.values()) else NO_VALUE)
        elif isinstance(value, Sequence):
            place = _integer("index", key)
            if not 0 <= place < len(value):
                raise fault(f"index out of range: {place}")
            value = value[place]
        else:
            raise fault(f"can't index {show(value)}")
    return value


def _slice(collection: Value, *bounds: Value) -> Value:
    if not isinstance(collection, Sequence):
        raise fault(f"can't slice {show(collection)[:40]}")
    numbers = [_integer("slice", bound) for bound in bounds[:2]]
    low, high = [*numbers, *(0, len(collection))[len(numbers) :]]
    if len(bounds) > 2 or not 0 <= low <= high <= len(collection):
        raise fault("slice: index out of range")
    return collection[low:high]


def _length(value: Value) -> Value:
    if isinstance(value, str):
        return len(value.encode(errors="surrogateescape"))
    if isinstance(value, Mapping | Sequence):
        return len(value)
    raise fault(f"len of {show(value)[:40]}")


def _equal(first: Value, *others: Value) -> bool:
    if not others:
        raise fault("missing argument for comparison")
    return any(first == other and isinstance(first, bool) == isinstance(other, bool) for other in others)


def _less(first: Value, second: Value) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if isinstance(first, bool) or isinstance(second, bool):
        raise fault("invalid type for comparison")
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first < second
    raise fault("incompatible types for comparison")


def _join(items: Value, separator: Value) -> str:
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise fault(f"join: {show(items)[:40]} is no list")
    return _text("join", separator).join(_text("join", item) for item in items)


def _split(text: Value, separator: Value) -> list[str]:
    separator = _text("split", separator)
    return _text("split", text).split(separator) if separator else list(_text("split", text))


def _pad(text: Value, before: Value, after: Value) -> str:
    left, right = _integer("pad", before), _integer("pad", after)
    if not 0 <= left <= _WIDEST or not 0 <= right <= _WIDEST:
        raise fault(f"pad: at most {_WIDEST} blanks")
    return " " * left + _text("pad", text) + " " * right if text else ""


def _truncate(text: Value, length: Value) -> str:
    return _text("truncate", text)[: max(0, _integer("truncate", length))]


def _html(*values: Value) -> str:
    """Write HTML's five signs as entities."""
    text = _print(*values)
    for sign, entity in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "#34"), ("'", "#39")):
        text = text.replace(sign, f"&{entity};")
    return text


def _js(*values: Value) -> str:
    """Write what JavaScript's strings do not take as escapes."""
    named = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
    return "".join(
        named.get(sign) or (f"\\u{ord(sign):04X}" if ord(sign) < 32 or ord(sign) == 127 else sign)
        for sign in _print(*values)
    )


def _urlquery(*values: Value) -> str:
    from urllib.parse import quote_plus  # lazy: hardly ever

    return quote_plus(_print(*values))


def _title(text: Value) -> str:
    return re.sub(r"(^|\s)(\S)", lambda found: found[1] + found[2].upper(), _text("title", text))


def _print(*values: Value) -> str:
    """Join as Go's Print: a blank between two values of which neither is a string."""
    output = ""
    for number, value in enumerate(values):
        blank = number and not isinstance(value, str) and not isinstance(values[number - 1], str)
        output += (" " if blank else "") + show(value)
    return output


def _printf(form: Value, *values: Value) -> str:
    """Fill in Go's verbs %v %s %q %d %x %X %o %b %c %t %T %f %e %g %U %%, with flags, width and precision."""
    left = list(values)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if "*" in (width, precision):
            raise fault("printf: * is not supported")
        if int(width or 0) > _WIDEST or int(precision or 0) > _WIDEST:
            raise fault(f"printf: a field has at most {_WIDEST} characters")
        if not left:
            return f"%!{verb}(MISSING)"
        return _aligned(_formatted(verb, flags, precision, left.pop(0)), flags, int(width or 0), verb)

    output = _VERB.sub(one, _text("printf", form))
    if left:
        output += "%!(EXTRA " + ", ".join(f"{_go_type(value)}={show(value)}" for value in left) + ")"
    return output


def _formatted(verb: str, flags: str, precision: str | None, value: Value) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    if verb in "sv" and not (verb == "s" and (number or isinstance(value, bool | float))):
        text = show(value)
        text = text if precision is None else text[: int(precision or 0)]
        return f"+{text}" if "+" in flags and number and not text.startswith("-") else text
    if verb == "q" and isinstance(value, str):
        return quoted(value)
    if verb == "q" and isinstance(value, Sequence):
        return "[" + " ".join(_formatted("q", "", None, item) for item in value) + "]"
    if verb == "t" and isinstance(value, bool):
        return show(value)
    if verb == "T":
        return _go_type(value)
    if verb in "dxXobc" and isinstance(value, int) and number:
        if verb == "c":
            return chr(value) if 0 <= value < 0x110000 else "\ufffd"
        return format(value, ("+" if "+" in flags else "") + ("#" if "#" in flags and verb != "d" else "") + verb)
    if verb in "xX" and isinstance(value, str):
        digits = value.encode(errors="surrogateescape").hex()
        return digits if verb == "x" else digits.upper()
    if verb in "feEgG" and isinstance(value, float):
        places = "" if precision is None and verb in "gG" else f".{int(precision if precision else 6)}"
        return _plain_float(value) if verb == "g" and not places else format(value, places + verb)
    return f"%!{verb}({_go_type(value)}={show(value)})"


def _aligned(text: str, flags: str, width: int, verb: str) -> str:
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and verb in "dfxXob" else text.rjust(width)


def _go_type(value: Value) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string"}
    if value is None or value is NO_VALUE:
        return "<nil>"
    return names.get(type(value), "map[string]interface {}" if isinstance(value, Mapping) else "[]interface {}")


FUNCTIONS: dict[str, tuple[int, int | None, Callable[..., Value]]] = {
    "json": (1, 1, to_json),
    "index": (1, None, _index),
    "slice": (1, 3, _slice),
    "len": (1, 1, _length),
    "print": (0, None, _print),
    "println": (0, None, lambda *values: " ".join(show(value) for value in values) + "\n"),
    "printf": (1, None, _printf),
    "not": (1, 1, lambda value: not truth(value)),
    "eq": (1, None, _equal),
    "ne": (2, 2, lambda first, second: not _equal(first, second)),
    "lt": (2, 2, _less),
    "le": (2, 2, lambda first, second: _less(first, second) or _equal(first, second)),
    "gt": (2, 2, lambda first, second: _less(second, first)),
    "ge": (2, 2, lambda first, second: not _less(first, second)),
    "join": (2, 2, _join),
    "split": (2, 2, _split),
    "upper": (1, 1, lambda text: _text("upper", text).upper()),
    "lower": (1, 1, lambda text: _text("lower", text).lower()),
    "title": (1, 1, _title),
    "truncate": (2, 2, _truncate),
    "pad": (3, 3, _pad),
    "html": (1, None, _html),
    "js": (1, None, _js),
    "urlquery": (1, None, _urlquery),
}
"""The functions by name, with the fewest and most arguments."""


def call(name: str, arguments: Sequence[Value]) -> Value:
    """Call a function that is there; raises TemplateError for wrong arguments."""
    fewest, most, function = FUNCTIONS[name]
    if len(arguments) < fewest or (most is not None and len(arguments) > most):
        raise fault(
            f"wrong number of args for {name}: want {fewest if most else f'at least {fewest}'} got {len(arguments)}"
        )
    return function(*arguments)


def fault(message: str, *, hint: str | None = None) -> TemplateError:
    """Say that a template does not fit."""
    return TemplateError(f"template error: {message}", hint=hint)
