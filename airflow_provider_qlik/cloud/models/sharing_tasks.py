"""The shapes of the Sharing tasks family: the task, its changes and the tenant's settings.

https://qlik.dev/apis/rest/sharing-tasks/. Executions, templates and recipients have modules of their own.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from airflow_provider_qlik.cloud.models.members import Needed, Number, ReadOnly, at_most, one_of
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import SelfLinks
from airflow_provider_qlik.cloud.models.patches import PatchOperation
from airflow_provider_qlik.cloud.models.shape import Shape
from airflow_provider_qlik.cloud.models.sharing_pages import SharingPage
from airflow_provider_qlik.cloud.models.sharing_recipients import PersistedRecipients, SharingRecipients
from airflow_provider_qlik.cloud.models.sharing_templates import SharingTemplate

TASK_TYPES = ("chart-monitoring", "chart-sharing", "sheet-sharing", "template-sharing")

SharingTaskType = Annotated[str, one_of(*TASK_TYPES)]
FileType = Annotated[str, one_of("pdf", "pptx", "xlsx", "html", "docx")]
HistoryInterval = Annotated[str, one_of("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly")]
TransportChannel = Annotated[str, one_of("email", "sharepoint")]


class SharingSelection(Shape):
    """Values selected in one field."""

    name: Annotated[str | None, Needed()] = None
    values: Annotated[list[str] | None, Needed()] = None
    is_numeric: Annotated[bool | None, Needed()] = None
    state_name: Annotated[str | None, Needed()] = None
    display_name: str | None = None
    display_values: list[str] | None = None


class SharingState(Shape):
    """The selections to apply; `fields` and `query_items` are behind an Insight Advisor chart."""

    fields: list[dict[str, Any]] | None = None
    query_items: list[dict[str, Any]] | None = None
    selections: list[SharingSelection] | None = None


class SharingTrigger(Shape):
    """The trigger of the task: RRULE lines of RFC 5545, or each reload of the app."""

    recurrence: Annotated[list[str] | None, Needed()] = None
    chronos_job_id: Annotated[str | None, Field(alias="chronosJobID"), ReadOnly()] = None
    execute_on_app_reload: bool | None = None
    execution_history_interval: HistoryInterval | None = None


class SharingScheduleOptions(Shape):
    """When the task runs: up to five RRULE lines, from and to local times without an offset in `timezone`.

    The times of the last and next execution are ISO 8601 texts, empty before the first and after the last one.
    """

    timezone: str | None = None
    recurrence: Annotated[list[str] | None, at_most(5)] = None
    end_date_time: str | None = None
    chronos_job_id: Annotated[str | None, Field(alias="chronosJobID"), ReadOnly()] = None
    start_date_time: str | None = None
    last_execution_time: Annotated[str | None, ReadOnly()] = None
    next_execution_time: Annotated[str | None, ReadOnly()] = None


class SharingEmailContent(Shape):
    """The mail that goes with a report."""

    body: str | None = None
    subject: str | None = None


class SharingRetentionPolicy(Shape):
    """The number of results that are kept, and the RFC 5545 interval in which a newer one replaces an older one."""

    history_size: int | None = None
    override_interval: str | None = None


class EncryptedProperty(Shape):
    """A value that Qlik stores encrypted."""

    value: Any = None
    cipher: str | None = None


class EncryptedEmailContent(Shape):
    """A mail that Qlik stores encrypted."""

    body: EncryptedProperty | None = None
    subject: EncryptedProperty | None = None


class InsightLink(Shape):
    """A link to what is shared."""

    status: str | None = None
    direct_url: Annotated[str | None, Field(alias="directURL")] = None
    insight_id: Annotated[str | None, Field(alias="insightID")] = None
    resource_id: Annotated[str | None, Field(alias="resourceID")] = None
    template_id: Annotated[str | None, Field(alias="templateID")] = None
    fallback_url: Annotated[str | None, Field(alias="fallbackURL")] = None


class SharingTaskError(Shape):
    """The reason why a task cannot be executed, as a word such as ``NO_RECIPIENTS``."""

    value: str | None = None
    timestamp: Moment = None


class SharingTaskBase(Shape):
    """The members that a sharing task and the body that creates one have in common."""

    name: str | None = None
    tags: list[str] | None = None
    type: SharingTaskType | None = None
    state: SharingState | None = None
    app_name: str | None = None
    enabled: bool | None = None
    message: str | None = None
    space_id: str | None = None
    sub_type: FileType | None = None
    trigger: SharingTrigger | None = None
    start_time: Moment = None
    templates: list[SharingTemplate] | None = None
    expiration: Moment = None
    description: str | None = None
    email_content: SharingEmailContent | None = None
    retention_policy: SharingRetentionPolicy | None = None
    schedule_options: SharingScheduleOptions | None = None
    data_connection_id: Annotated[str | None, Field(alias="dataConnectionID")] = None
    share_point_folder: str | None = None
    execute_on_creation: bool | None = None
    transport_channels: list[TransportChannel] | None = None
    distribution_list_id: str | None = None


class SharingTaskCreate(SharingTaskBase):
    """A new sharing task."""

    name: Annotated[str | None, Needed()] = None
    type: Annotated[SharingTaskType | None, Needed()] = None
    state: Annotated[SharingState | None, Needed()] = None
    templates: Annotated[list[SharingTemplate] | None, Needed()] = None
    recipients: SharingRecipients | None = None
    cleanup_strategy: Annotated[str, one_of("noCleanup", "removeOldBookmarks")] | None = None


class SharingTask(SharingTaskBase):
    """A recurring report or subscription. `status_code` is the condition of the task, not of an execution."""

    id: str | None = None
    app_id: str | None = None
    owner: str | None = None
    tenant: str | None = None
    last_run: Moment = None
    created_by: str | None = None
    insight_id: Annotated[str | None, Field(alias="insightID")] = None
    owner_name: str | None = None
    thumbnail: str | None = None
    updated_by: str | None = None
    last_viewed: Moment = None
    recipients: PersistedRecipients | None = None
    status_code: str | None = None
    task_errors: list[SharingTaskError] | None = None
    template_id: str | None = None
    date_created: Moment = None
    last_updated: Moment = None
    status_label: str | None = None
    enabled_by_user: bool | None = None
    encrypted_state: EncryptedProperty | None = None
    byok_migration_id: str | None = None
    enabled_by_system: bool | None = None
    selection_errors: dict[str, Any] | None = None
    has_section_access: bool | None = None
    insight_direct_url: Annotated[str | None, Field(alias="insightDirectURL")] = None
    multi_insight_urls: Annotated[list[InsightLink] | None, Field(alias="multiInsightURLs")] = None
    next_scheduled_run: Moment = None
    report_properties: dict[str, Any] | None = None
    last_execution_date: Moment = None
    encrypted_templates: EncryptedProperty | None = None
    insight_fallback_url: Annotated[str | None, Field(alias="insightFallbackURL")] = None
    encrypted_email_content: EncryptedEmailContent | None = None
    failed_executions_count: int | None = None
    failed_verifications_count: int | None = None
    is_candidate_for_verification: bool | None = None
    persistent_bookmark_include_variables: bool | None = None
    links: SelfLinks | None = None
    latest_execution_url: Annotated[str | None, Field(alias="latestExecutionURL")] = None
    latest_execution_files_url: Annotated[list[str] | None, Field(alias="latestExecutionFilesURL")] = None


class SharingTaskList(SharingPage[SharingTask]):
    """A page of sharing tasks, with the recipients of all of them."""

    data: Annotated[list[SharingTask], Field(alias="sharingTasks", default_factory=list)]
    recipients: SharingRecipients | None = None


class SharingTaskPatchOperation(PatchOperation):
    """One change of a sharing task: an operation of RFC 6902."""

    op: Annotated[Annotated[str, one_of("replace", "remove")] | None, Needed()] = None
    path: Annotated[
        Annotated[
            str,
            one_of(
                *("/name", "/tags", "/ownerId", "/enabled", "/description", "/scheduleOptions", "/templates"),
                *("/recipients", "/recipient", "/sharePointFolder", "/dataConnectionID", "/transportChannels"),
                "/bookmarkId",
            ),
        ]
        | None,
        Needed(),
    ] = None


class SharingTaskExecute(Shape):
    """The body that executes a sharing task."""

    sharing_task_id: Annotated[str | None, Field(alias="sharingTaskID"), Needed()] = None


class SharingSettings(Shape):
    """The settings of the tenant for sharing and reports."""

    tenant_id: str | None = None
    max_recipients: Number = None
    enable_sharing: Annotated[bool | None, Field(alias="enable-sharing")] = None
    report_subscription_status: str | None = None
    max_subscription_recipients: int | None = None
    enable_report_subscription: Annotated[bool | None, Field(alias="enable-report-subscription")] = None
    reporting_service_license_status: Annotated[str | None, Field(alias="reporting-service-license-status")] = None
    report_subscription_status_change_time: Moment = None


class SharingSettingsUpdate(Shape):
    """The body that enables or disables sharing for the tenant."""

    enable_sharing: Annotated[bool | None, Field(alias="enable-sharing"), Needed()] = None


class SharingSettingsPatchOperation(PatchOperation):
    """One change of the two settings that can be patched: an operation of RFC 6902."""

    op: Annotated[Annotated[str, one_of("replace")] | None, Needed()] = None
    path: Annotated[Annotated[str, one_of("/enable-sharing", "/enable-report-subscription")] | None, Needed()] = None
