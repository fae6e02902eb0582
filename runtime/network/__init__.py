"""Connect sandboxes: a bridge with NAT for the superuser, pasta or slirp4netns for everybody else."""
