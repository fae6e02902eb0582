"""Show what a build does: typed events on one side, readers of them (tty, plain, rawjson, quiet) on the other."""
