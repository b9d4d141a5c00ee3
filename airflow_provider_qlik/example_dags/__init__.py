"""Dags that show how the operators, sensors and triggers of this package are used."""
