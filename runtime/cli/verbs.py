"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "version": "runtime.cli.version",
}
