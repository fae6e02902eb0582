"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "build": "builder.cli.build",
    "graph": "builder.cli.graph",
    "parse": "builder.cli.parse",
}
