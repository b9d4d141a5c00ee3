"""Runs the tests on each Airflow that is supported."""
