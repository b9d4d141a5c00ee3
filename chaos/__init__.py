"""Inject faults into a real Airflow and a sandbox tenant, and check the promises: `make chaos`."""
