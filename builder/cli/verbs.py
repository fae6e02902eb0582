"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "build": "builder.cli.build",
    "buildx inspect": "builder.cli.buildx:inspect",
    "buildx ls": "builder.cli.buildx:ls",
    "buildx version": "builder.cli.buildx:version",
    "cache du": "builder.cli.cache:du",
    "cache export": "builder.cli.cachetransfer:export",
    "cache import": "builder.cli.cachetransfer:import",
    "cache ls": "builder.cli.cache:ls",
    "cache prune": "builder.cli.cache:prune",
    "check": "builder.cli.check",
    "debug": "builder.cli.debug",
    "debug ls": "builder.cli.debug:ls",
    "debug rm": "builder.cli.debug:rm",
    "graph diff": "builder.cli.graphdiff",
    "graph": "builder.cli.graph",
    "lock": "builder.cli.lock",
    "lock update": "builder.cli.lock:update",
    "parse": "builder.cli.parse",
    "system prune": "builder.cli.systemprune",
    "verify": "builder.cli.verify",
}
