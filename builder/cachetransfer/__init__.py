"""Carry the build cache to another machine: an OCI artifact in a directory or a registry, or inside an image."""
