"""List the verbs of this package and the modules that hold them."""

VERBS: dict[str, str] = {
    "kill": "runtime.cli.kill",
    "logs": "runtime.cli.logs",
    "ps": "runtime.cli.ps",
    "rm": "runtime.cli.rm",
    "run": "runtime.cli.run",
    "stop": "runtime.cli.stop",
    "version": "runtime.cli.version",
    "wait": "runtime.cli.wait",
}
