"""Compares a real tenant with what this package expects of Qlik Cloud: `make live`, no part of `make test`."""
