"""Notifiers that run something in Qlik Cloud."""
