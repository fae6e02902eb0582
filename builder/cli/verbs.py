"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "build": "builder.cli.build",
    "graph": "builder.cli.graph",
    "lock": "builder.cli.lock",
    "lock update": "builder.cli.lock:update",
    "parse": "builder.cli.parse",
}
