"""`pybuild network ls` and `pybuild network inspect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import NetworkError
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.network.networks import Network

VERB_LS = Verb(
    name="network ls",
    summary="List networks",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag(
            "--filter", "-f", kind="texts", metavar="NAME=VALUE", help="dangling, driver, id, label, name, scope, type"
        ),
        Flag("--format", kind="text", metavar="FORMAT", help="table, json or a Go template"),
        Flag("--no-trunc", help="Whole ids"),
        Flag("--quiet", "-q", help="Ids alone"),
    ),
)
VERB_INSPECT = Verb(
    name="network inspect",
    summary="Show what is known of networks",
    usage="[OPTIONS] NETWORK [NETWORK...]",
    words=(1, None),
    needs_store=True,
    flags=(
        Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template"),
        Flag("--verbose", "-v", help="Accepted: there is no more to show"),
    ),
)

_TABLE = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
_HEADERS: dict[str, object] = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "CreatedAt": "CREATED AT",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Label": str,
    "Labels": "LABELS",
}
_NAMES = ("dangling", "driver", "id", "label", "name", "scope", "type")


def run_ls(args: Arguments, context: Context) -> int:
    """Print the networks by name, the predefined ones among them."""
    from runtime.cli.clientwishes import wished_format
    from runtime.cli.formats import natural, write_list  # lazy: not for the help
    from runtime.containers.filters import split_filters
    from runtime.containers.membership import describe  # lazy: 20 ms
    from runtime.containers.records import Containers
    from runtime.network.networks import PREDEFINED, Networks

    filters = split_filters(args.texts("filter"), _NAMES)
    with Store.open(context) as store:
        containers = Containers(store)
        documents = [describe(containers, None, name) for name in PREDEFINED]
        documents += [describe(containers, network) for network in Networks(store).all()]
    documents = [document for document in documents if _fits(document, filters)]
    documents.sort(key=lambda document: natural(str(document["Name"])))
    if args.switch("quiet") and args.text("format") in (None, "table"):
        for document in documents:
            number = str(document["Id"])
            context.stdout.write(f"{number if args.switch('no-trunc') else number[:12]}\n")
        return 0
    rows = [_row(document, args.switch("no-trunc")) for document in documents]
    write_list(context, rows, form=wished_format(args, context, "networksFormat"), table=_TABLE, headers=_HEADERS)
    return 0


def run_inspect(args: Arguments, context: Context) -> int:
    """Print what was found, then say what was not."""
    from runtime.cli.formats import write_objects  # lazy: not for the help
    from runtime.cli.output import printable
    from runtime.containers.membership import find_network  # lazy: 20 ms

    found, missing = [], []
    with Store.open(context) as store:
        for text in args.words:
            document = find_network(store, text, False)
            if document is None:
                missing.append(text)
            else:
                found.append(document)
    if found or not args.text("format") or args.text("format") == "json":
        write_objects(context, found, form=args.text("format"))
    for text in missing:
        context.stderr.write(f"pybuild: network {printable(text)} not found: No such network: {printable(text)}\n")
    return 1 if missing else 0


def network_test(store: Store, texts: Sequence[str], known: Sequence[str]) -> Callable[[Network], bool]:
    """Return the test that the filters of `network prune` make: until, label, label!."""
    from runtime.containers.filters import split_filters
    from runtime.oci.moments import parse_moment

    filters = split_filters(texts, known)
    untils = [parse_moment(value, store.context.now(), "until") for value in filters.get("until", ())]

    def fits(network: Network) -> bool:
        return (
            all(network.created < moment for moment in untils)
            and all(_labelled(network.labels, value) for value in filters.get("label", ()))
            and not any(_labelled(network.labels, value) for value in filters.get("label!", ()))
        )

    return fits


def _fits(document: dict[str, object], filters: dict[str, list[str]]) -> bool:
    from runtime.containers.filters import pattern

    labels = document["Labels"]
    assert isinstance(labels, dict)  # as describe makes it
    custom = str(document["Name"]) not in ("bridge", "host", "none")
    tests: dict[str, Callable[[str], bool]] = {
        "dangling": lambda value: _truth(value) == (custom and not document["Containers"]),
        "driver": lambda value: document["Driver"] == value,
        "id": lambda value: str(document["Id"]).startswith(value),
        "label": lambda value: _labelled(labels, value),
        "name": lambda value: pattern(value).search(str(document["Name"])) is not None,
        "scope": lambda value: document["Scope"] == value,
        "type": lambda value: _type(value) == custom,
    }
    # Labels add up; of the others one value has to fit.
    return all((all if name == "label" else any)(map(tests[name], values)) for name, values in filters.items())


def _truth(value: str) -> bool:
    if value.lower() in ("true", "1", "t"):
        return True
    if value.lower() in ("false", "0", "f"):
        return False
    raise NetworkError('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")')


def _type(value: str) -> bool:
    if value not in ("custom", "builtin"):
        raise NetworkError(f"invalid filter: 'type'='{value}'", hint="custom or builtin")
    return value == "custom"


def _labelled(labels: dict[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _row(document: dict[str, object], whole: bool) -> dict[str, object]:
    labels = document["Labels"]
    assert isinstance(labels, dict)  # as describe makes it
    return {
        "CreatedAt": str(document["Created"]).replace("T", " ").replace("Z", " +0000 UTC"),
        "Driver": document["Driver"],
        "ID": document["Id"] if whole else str(document["Id"])[:12],
        "IPv4": "true" if document["EnableIPv4"] else "false",
        "IPv6": "true" if document["EnableIPv6"] else "false",
        "Internal": "true" if document["Internal"] else "false",
        "Label": lambda name: labels.get(name, ""),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "Name": document["Name"],
        "Scope": document["Scope"],
    }
