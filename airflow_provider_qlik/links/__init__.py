"""Links from tasks to Qlik Cloud's pages."""

from airflow_provider_qlik.links.run import QlikRunLink

__all__ = ["QlikRunLink"]
