"""The shapes of tasks and their runs, on both paths: `/api/v1/tasks` and `/api/scheduling/tasks`.

https://qlik.dev/apis/rest/tasks/. A member or word that only the scheduling path has is read and written on both: the
same tasks stand behind them. What only the scheduling path takes (graphs, patches, creators) is in `scheduling`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from airflow_provider_qlik.cloud.models.lenient import decoded
from airflow_provider_qlik.cloud.models.members import Id, Needed, ReadOnly, one_of
from airflow_provider_qlik.cloud.models.moments import Moment
from airflow_provider_qlik.cloud.models.paging import Page
from airflow_provider_qlik.cloud.models.reading import KeptAsJson
from airflow_provider_qlik.cloud.models.shape import Reply, Shape

TaskUsage = Annotated[str, one_of("ANALYTICS", "DATA_PREPARATION", "DATAFLOW_PREP", "SINGLE_TABLE_PREP")]
TaskDisabledCode = Annotated[
    str,
    one_of(
        *("MANUALLY", "CONSECUTIVE-FAILURES", "APP-SCRIPT-UPDATED", "OWNER-DELETED", "OWNER-DISABLED"),
        *("APP-MOVED-SPACE", "OWNER-MOVED"),
    ),
]
TaskTriggerType = Annotated[int, one_of(0, 1, 2, 3, 4)]
"""Qlik's names: 0 TIME_SCHEDULE, 1 SINGLE_EVENT, 2 MULTI_EVENT, 3 MIXED, 4 AAO_DATA_UPDATED."""
TaskOrchestrationType = Annotated[int, one_of(0, 1, 2, 3)]
"""Qlik's names: 0 AUTOMATION, 1 DI_PIPELINE, 2 TEMPORAL, 3 MINIBUS."""


class TaskTriggerReference(Shape):
    """The trigger of a task in the scheduler."""

    id: Annotated[str | None, Needed()] = None
    type: Annotated[TaskTriggerType | None, Needed()] = None


class TaskLastRun(Shape):
    """A summary of the last run of a task, which only the scheduling path has; missing until a run has started.

    It is not documented how soon after its end a run is shown as ended here.
    """

    id: str | None = None
    status: str | None = None
    started_at: Annotated[Moment, ReadOnly()] = None
    ended_at: Annotated[Moment, ReadOnly()] = None
    executed_as: str | None = None
    triggered_by: str | None = None
    worker_id: str | None = None
    worker_type: str | None = None


class TaskOrchestrationReference(Shape):
    """The orchestration of a task in the scheduler."""

    id: Annotated[str | None, Needed()] = None
    type: Annotated[TaskOrchestrationType | None, Needed()] = None
    attrs: dict[str, Any] | None = None
    last_run: TaskLastRun | None = None


class TaskTopology(Shape):
    """The place of a task in a chain: whether another task starts it, and whether it starts others."""

    is_child: bool | None = None
    is_parent: bool | None = None


class TaskMetadata(Shape):
    """The bookkeeping around a task; a copy travels with every run. `disabled_code` says why it is disabled.

    Only the scheduling path has `topology`, `space_type`, `script_owner_id`, and the type of the resource.
    """

    usage: TaskUsage | None = None
    owner_id: str | None = None
    script_owner_id: str | None = None
    space_id: str | None = None
    space_type: Annotated[str, one_of("personal", "shared", "managed")] | None = None
    trigger: TaskTriggerReference | None = None
    tenant_id: str | None = None
    resource_name: str | None = None
    resource_type: str | None = None
    resource_sub_type: str | None = None
    created_at: Annotated[Moment, ReadOnly()] = None
    created_by: str | None = None
    deleted_at: Annotated[Moment, ReadOnly()] = None
    updated_at: Moment = None
    disabled_code: TaskDisabledCode | None = None
    migrated_from: str | None = None
    topology: TaskTopology | None = None
    orchestration: TaskOrchestrationReference | None = None


class TaskCronExpression(Shape):
    """A repeating cron expression and the moment (ISO 8601) after which it no longer fires."""

    expression: Annotated[str | None, Needed()] = None
    valid_until: str | None = None


class TaskScheduleRule(Shape):
    """A schedule as an object."""

    cron: str | TaskCronExpression | None = None
    interval: str | None = None
    recurrence: str | None = None
    timezone: str | None = None
    start_date_time: str | None = None
    end_date_time: str | None = None


class TaskStart(Shape):
    """The start of the workflow: a repeating ISO 8601 interval in UTC, or a schedule object."""

    schedule: Annotated[str | TaskScheduleRule | None, Needed()] = None
    state_name: str | None = None


class TaskEventCorrelation(Shape):
    """An attribute of an event to match on."""

    context_attribute_name: Annotated[
        Annotated[str, one_of("id", "status", "appId", "spaceId", "datasetId")] | None, Needed()
    ] = None
    context_attribute_value: str | None = None


class TaskEvent(Shape):
    """A cloud event that the task waits for or emits."""

    name: str | None = None
    type: Annotated[str, one_of("com.qlik.v1.task.run.finished", "com.qlik/active-analytics-orch")] | None = None
    source: Annotated[str, one_of("system-events.task", "dataset.updated")] | None = None
    data_only: bool | None = None
    correlation: list[TaskEventCorrelation] | None = None


class TaskFunctionReference(Shape):
    """The function that an action calls."""

    # The documented list has only the first word, Qlik's own examples have the second.
    ref_name: Annotated[str, one_of("app.reload", "AppReload")] | None = None
    arguments: Any = None
    invoke: Annotated[str, one_of("SYNC", "ASYNC")] | None = None
    selection_set: str | None = None


class TaskAction(Shape):
    """An action of a state."""

    name: str | None = None
    condition: str | None = None
    function_ref: str | TaskFunctionReference | None = None
    retry_ref: str | None = None
    retryable_errors: list[str] | None = None
    non_retryable_errors: list[str] | None = None


class TaskOnEvents(Shape):
    """Events by name, and the actions that they start."""

    event_refs: Annotated[list[str] | None, Needed()] = None
    actions: list[TaskAction] | None = None
    action_mode: Annotated[str, one_of("SEQUENTIAL", "PARALLEL")] | None = None


class TaskStateTimeouts(Shape):
    """The time-outs of a state: ISO 8601 durations or expressions."""

    event_timeout: str | None = None
    state_exec_timeout: str | None = None
    action_exec_timeout: str | None = None


class TaskState(Shape):
    """One state of the workflow: wait for events, then act."""

    name: str | None = None
    # As above.
    type: Annotated[str, one_of("EVENT", "event")] | None = None
    end: bool | None = None
    exclusive: bool | None = None
    on_events: list[TaskOnEvents] | None = None
    timeouts: TaskStateTimeouts | None = None
    compensated_by: str | None = None


class Task(Shape):
    """A task: a small workflow around one target resource, such as "reload this app every morning".

    In a response the workflow (`start`, `events`, `states`) is plain JSON, as Qlik Cloud has sent it.
    """

    id: Annotated[str | None, ReadOnly()] = None
    key: str | None = None
    name: Annotated[str | None, Needed()] = None
    start: Annotated[Any, KeptAsJson(TaskStart)] = None
    events: Annotated[Any, KeptAsJson(list[TaskEvent])] = None
    states: Annotated[Any, KeptAsJson(list[TaskState])] = None
    enabled: bool | None = None
    version: str | None = None
    metadata_json: Annotated[Any, KeptAsJson(TaskMetadata)] = Field(default=None, alias="metadata")
    keep_active: bool | None = None
    resource_id: str | None = None
    annotations: list[str] | None = None
    description: str | None = None
    spec_version: Annotated[str | None, Needed()] = None

    @property
    def metadata(self) -> TaskMetadata | None:
        """Return the metadata without its invalid members; None if there is none that can be read."""
        return TaskMetadata.from_member(self.metadata_json)


class TaskStarted(Shape):
    """The response to an accepted start. It contains no run; `timestamp` is the server's clock.

    Only `message` is documented; the other members were observed in a response with the code CHO-000.
    """

    message: str | None = None
    timestamp: Moment = None
    status_code: Annotated[int | None, Field(alias="status_code")] = None
    code: str | None = None
    title: str | None = None
    context: str | None = None
    value: dict[str, Any] | None = None
    trace_id: str | None = None

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
    """The log of a task run, as text: wrapped in JSON or bare, whichever Qlik sends."""

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
