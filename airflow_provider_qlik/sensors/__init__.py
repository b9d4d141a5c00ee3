"""Sensors that wait for runs of Qlik Cloud that somebody else started."""
