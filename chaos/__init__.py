"""Breaks a real Airflow and a sandbox tenant, and looks whether the promises hold: `make chaos`."""
