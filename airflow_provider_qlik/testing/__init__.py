"""An Airflow for tests: a migrated database, and the settings that lead to it. Importing it loads nothing else."""
