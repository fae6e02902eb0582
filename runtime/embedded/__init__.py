"""Make `localhost/base`, an image of this machine's own programs, for demos and work without a network."""
