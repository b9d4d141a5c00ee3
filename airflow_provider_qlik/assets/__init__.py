"""Assets of Qlik Cloud: what a Dag updates, watches or is scheduled on."""

from __future__ import annotations

from airflow_provider_qlik.assets.factories import qlik_app, qlik_automation, qlik_sharing_task, qlik_task

__all__ = ["qlik_app", "qlik_automation", "qlik_sharing_task", "qlik_task"]
