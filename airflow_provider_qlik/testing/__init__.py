"""What tests need of Airflow: a migrated database, and settings that lead to it. Importing it loads nothing else."""
