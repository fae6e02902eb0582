"""Speak with registries: the client of the OCI distribution protocol, and what moves images over it."""
