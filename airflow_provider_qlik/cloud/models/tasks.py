"""The shapes of the Tasks family. https://qlik.dev/apis/rest/tasks/"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from airflow_provider_qlik.cloud.models.lenient import decoded
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.reading import ReadWhenLookedAt
from airflow_provider_qlik.cloud.models.shape import Id, Moment, Needed, ReadOnly, Reply, Shape, one_of

TaskUsage = Annotated[str, one_of("ANALYTICS", "DATA_PREPARATION", "DATAFLOW_PREP", "SINGLE_TABLE_PREP")]
TaskDisabledCode = Annotated[
    str, one_of("MANUALLY", "CONSECUTIVE-FAILURES", "APP-SCRIPT-UPDATED", "OWNER-DELETED", "OWNER-DISABLED")
]
SchedulerNumber = Annotated[int, one_of(0, 1, 2, 3)]


class TaskTriggerReference(Shape):
    """Where the scheduler keeps the trigger of a task."""

    id: Annotated[str | None, Needed()] = None
    type: Annotated[SchedulerNumber | None, Needed()] = None


class TaskOrchestrationReference(Shape):
    """Where the scheduler keeps the orchestration of a task."""

    id: Annotated[str | None, Needed()] = None
    type: Annotated[SchedulerNumber | None, Needed()] = None
    attrs: dict[str, Any] | None = None


class TaskMetadata(Shape):
    """The bookkeeping around a task; a copy travels with every run. `disabled_code` says why it is switched off."""

    usage: TaskUsage | None = None
    owner_id: str | None = None
    space_id: str | None = None
    trigger: TaskTriggerReference | None = None
    tenant_id: str | None = None
    created_at: Annotated[Moment, ReadOnly()] = None
    created_by: str | None = None
    deleted_at: Annotated[Moment, ReadOnly()] = None
    updated_at: Moment = None
    disabled_code: TaskDisabledCode | None = None
    migrated_from: str | None = None
    orchestration: TaskOrchestrationReference | None = None


class TaskCronExpression(Shape):
    """A repeating cron expression and the moment (ISO 8601) after which it no longer fires."""

    expression: Annotated[str | None, Needed()] = None
    valid_until: str | None = None


class TaskScheduleRule(Shape):
    """A schedule given as an object."""

    cron: str | TaskCronExpression | None = None
    interval: str | None = None
    recurrence: str | None = None
    timezone: str | None = None
    start_date_time: str | None = None
    end_date_time: str | None = None


class TaskStart(Shape):
    """How the workflow begins: a repeating ISO 8601 interval in UTC, or a schedule object."""

    schedule: Annotated[str | TaskScheduleRule | None, Needed()] = None
    state_name: str | None = None


class TaskEventCorrelation(Shape):
    """An attribute of an event to match on."""

    context_attribute_name: Annotated[Annotated[str, one_of("id", "status")] | None, Needed()] = None
    context_attribute_value: str | None = None


class TaskEvent(Shape):
    """A cloud event that the task waits for or emits."""

    name: str | None = None
    type: Annotated[str, one_of("com.qlik.v1.task.run.finished")] | None = None
    source: Annotated[str, one_of("system-events.task")] | None = None
    data_only: bool | None = None
    correlation: list[TaskEventCorrelation] | None = None


class TaskFunctionReference(Shape):
    """The function that an action calls."""

    ref_name: Annotated[str, one_of("app.reload")] | None = None
    arguments: Any = None
    invoke: Annotated[str, one_of("SYNC", "ASYNC")] | None = None
    selection_set: str | None = None


class TaskAction(Shape):
    """What a state does."""

    name: str | None = None
    condition: str | None = None
    function_ref: str | TaskFunctionReference | None = None
    retry_ref: str | None = None
    retryable_errors: list[str] | None = None
    non_retryable_errors: list[str] | None = None


class TaskOnEvents(Shape):
    """Events by name, and what to do on them."""

    event_refs: Annotated[list[str] | None, Needed()] = None
    actions: list[TaskAction] | None = None
    action_mode: Annotated[str, one_of("SEQUENTIAL", "PARALLEL")] | None = None


class TaskStateTimeouts(Shape):
    """How long parts of a state may take: ISO 8601 durations or expressions."""

    event_timeout: str | None = None
    state_exec_timeout: str | None = None
    action_exec_timeout: str | None = None


class TaskState(Shape):
    """One state of the workflow: wait for events, then act."""

    name: str | None = None
    type: Annotated[str, one_of("EVENT")] | None = None
    end: bool | None = None
    exclusive: bool | None = None
    on_events: list[TaskOnEvents] | None = None
    timeouts: TaskStateTimeouts | None = None
    compensated_by: str | None = None


class Task(Shape):
    """A task: a small workflow around one target resource, such as "reload this app every morning"."""

    id: Annotated[str | None, ReadOnly()] = None
    key: str | None = None
    name: Annotated[str | None, Needed()] = None
    start: Annotated[TaskStart | None, ReadWhenLookedAt()] = None
    events: Annotated[list[TaskEvent] | None, ReadWhenLookedAt()] = None
    states: Annotated[list[TaskState] | None, ReadWhenLookedAt()] = None
    enabled: bool | None = None
    version: str | None = None
    metadata: Annotated[TaskMetadata | None, ReadWhenLookedAt()] = None
    keep_active: bool | None = None
    resource_id: str | None = None
    annotations: list[str] | None = None
    description: str | None = None
    spec_version: Annotated[str | None, Needed()] = None


class TaskStarted(Shape):
    """That a start was accepted. It names no run; `timestamp` is the server's clock, from body or Date header."""

    message: str | None = None
    timestamp: Moment = None

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        started = super().from_reply(reply) if reply.content.strip() else cls()
        return started if started.timestamp else started.model_copy(update={"timestamp": reply.server_time})


class TaskRun(Shape):
    """One run of a task. `worker_id` is the reload or automation run that does the work."""

    id: Id
    status: str
    log: str | None = None
    task_id: str | None = None
    ended_at: Moment = None
    action_id: str | None = None
    task_meta: TaskMetadata | None = None
    task_name: str | None = None
    worker_id: str | None = None
    started_at: Moment = None
    executed_as: str | None = None
    resource_id: str | None = None
    worker_type: str | None = None
    triggered_by: str | None = None


class TaskRunLog(Shape):
    """The log of a task run, as text: wrapped in JSON or bare, whichever way Qlik sends it."""

    keep_end: ClassVar[bool] = True
    log_content: str | None = None

    @classmethod
    def from_reply(cls, reply: Reply) -> Self:
        if reply.left_out:
            return cls(log_content=reply.log_text)
        try:
            content = decoded(reply.content)
        except ValueError:
            return cls(log_content=reply.text)
        if isinstance(content, dict):
            return super().from_reply(reply)
        return cls(log_content=content if isinstance(content, str) else reply.text)


class TaskList(Page[Task]):
    """A page of tasks."""


class TaskRunList(Page[TaskRun]):
    """A page of task runs."""
