"""Responses by which Qlik Cloud refuses to show a run, and how long they must last before they count."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_qlik.cloud.errors import QlikCloudError, StatusError

NOT_VISIBLE_TIMEOUT = timedelta(minutes=2)
"""The time for which Qlik Cloud must refuse to show a run (401, 403, 404) before the wait or the search for it ends.

Such responses pass: a run appears late, a key is rotated in Qlik Cloud before the connection gets the new one, a role
is being changed. Only a response in Qlik Cloud's own form counts, not one of a proxy.
"""


def is_not_visible(error: QlikCloudError) -> bool:
    """Return True if the user may not see the run, now or for good; this says nothing about the run itself."""
    return isinstance(error, StatusError) and (error.credentials_refused or error.status in {403, 404})
