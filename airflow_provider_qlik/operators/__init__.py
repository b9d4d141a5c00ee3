"""Operators that start runs of Qlik Cloud and wait for them."""
