"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "run": "runtime.cli.run",
    "version": "runtime.cli.version",
}
