"""Refusals to show a run, and how long they must last before they count."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_qlik.cloud.errors import QlikCloudError, StatusError

REFUSAL_LASTS = timedelta(minutes=2)
"""How long Qlik Cloud must refuse to show a run (401, 403, 404) before the wait or the search for it ends.

Refusals pass: a run shows late, a key is rotated in Qlik Cloud before the connection gets the new one, a role is being
changed. Only a response in Qlik Cloud's own form counts; what a proxy answers is no refusal at all.
"""


def refuses_to_show(error: QlikCloudError) -> bool:
    """Return True for a refusal that says nothing about the run: the user may not see it, just now or for good."""
    return isinstance(error, StatusError) and (error.credentials_refused or error.status in {403, 404})
