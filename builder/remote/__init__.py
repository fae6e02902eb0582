"""Bring what a build takes from elsewhere: files from URLs, trees from git repositories."""
