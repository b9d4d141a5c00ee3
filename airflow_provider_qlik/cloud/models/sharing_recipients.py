"""Who gets what a sharing task delivers. https://qlik.dev/apis/rest/sharing-tasks/"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from airflow_provider_qlik.cloud.models.members import one_of
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.shape import Shape

RecipientProblem = Annotated[
    str,
    one_of(
        *("USER_IS_DELETED", "USER_DISABLED_IN_QCS", "NO_ACCESS_TO_APP", "UNSUBSCRIBED_FROM_SHARING"),
        *("USER_DISABLED_IN_SHARING_BY_OWNER", "CHART_NOT_FOUND", "APP_NOT_FOUND", "SHEET_NOT_FOUND"),
        *("ENGINE_POD_NOT_AVAILABLE", "CHART_TYPE_NOT_ALLOWED", "GENERIC_EXECUTION_FAILURE", "USER_NOT_FOUND_DL"),
        *("USER_DISABLED_IN_DL", "FILTER_NOT_FOUND", "BOOKMARK_NOT_FOUND"),
    ),
]
AlertingRecipientProblem = Annotated[
    str,
    one_of(
        *("USER_IS_DELETED", "USER_DISABLED_IN_QCS", "NO_ACCESS_TO_APP", "UNSUBSCRIBED_FROM_ALERT"),
        *("CONDITION_EVAL_ERROR", "USER_DISABLED_IN_ALERT_BY_OWNER", "MAX_ALERTS_LIMIT_REACHED"),
    ),
]


class RecipientError(Shape):
    """A problem with one user or address."""

    value: RecipientProblem | None = None
    timestamp: Moment = None


class AlertingRecipientError(Shape):
    """A problem with alerts for one user."""

    value: AlertingRecipientProblem | None = None
    added: Moment = None


class GroupRecipientError(Shape):
    """A problem with one group."""

    value: str | None = None
    timestamp: Moment = None


class AlertingGroupRecipientError(Shape):
    """A problem with alerts for one group."""

    value: str | None = None
    added: Moment = None


class Recipient(Shape):
    """A user among the recipients; `value` is the user id.

    `groups` tells which groups brought the user in; ``addedIndividually`` stands for none.
    """

    value: str | None = None
    groups: list[str] | None = None
    subscribed: bool | None = None
    task_recipient_errors: list[RecipientError] | None = None
    alerting_task_recipient_errors: list[AlertingRecipientError] | None = None


class UserRecipient(Recipient):
    """A user among the requested recipients."""

    enabled: bool | None = None


class PersistedUserRecipient(Recipient):
    """A user among the recipients as stored: switched on through the API and by the system."""

    enabled_by_user: bool | None = None
    enabled_by_system: bool | None = None


class PersistedGroupRecipient(Shape):
    """A group among the recipients as stored; `value` is the group id."""

    value: str | None = None
    enabled_by_user: bool | None = None
    enabled_by_system: bool | None = None
    task_group_recipient_errors: list[GroupRecipientError] | None = None
    alerting_task_group_recipient_errors: list[AlertingGroupRecipientError] | None = None


class PersistedEmailRecipient(Shape):
    """An address among the recipients as stored."""

    value: str | None = None
    enabled: bool | None = None
    task_recipient_errors: list[RecipientError] | None = None


class SharingRecipients(Shape):
    """The requested recipients; `email_addresses` are those outside the tenant."""

    dl_users: Annotated[list[Any] | None, Field(alias="DLUsers")] = None
    user_ids: list[UserRecipient] | None = None
    dl_groups: Annotated[list[Any] | None, Field(alias="DLGroups")] = None
    email_addresses: list[str] | None = None


class PersistedRecipients(Shape):
    """The recipients as stored. `net_recipient_count` is how many the distribution lists come to."""

    dl_users: Annotated[list[Any] | None, Field(alias="DLUsers")] = None
    user_ids: list[PersistedUserRecipient] | None = None
    dl_groups: Annotated[list[Any] | None, Field(alias="DLGroups")] = None
    group_ids: list[PersistedGroupRecipient] | None = None
    email_addresses: list[PersistedEmailRecipient] | None = None
    net_recipient_count: int | None = None
