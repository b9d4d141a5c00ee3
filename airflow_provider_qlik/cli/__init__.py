"""The command line: `airflow qlik …` on Airflow 3.2 and later, `python -m airflow_provider_qlik …` on every Airflow."""
