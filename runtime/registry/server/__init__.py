"""Be a registry: the OCI distribution specification 1.1 over the store's own blobs."""
