"""An Airflow provider for Qlik Cloud: start what it runs, wait for it, know how it ended."""

__version__ = "0.1.0"
