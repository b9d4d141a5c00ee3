"""JSON Schemas of request bodies, after Qlik's API reference, and their validation."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import best_match

from airflow_provider_qlik.sandbox.errors import ApiError

Schema = dict[str, Any]

_MAX_DETAIL = 300
"""Characters of a validation error: jsonschema repeats the whole value in front of the rule that it breaks."""


def check(value: Any, schema: Schema, where: str = "body") -> None:
    """Raise ApiError (400) with the path of the member unless the value is valid under the schema.

    where: the name of the value in the error.
    """
    # Draft 4 is the draft of OpenAPI 3.0; in it 1.0 is not an integer.
    error = best_match(Draft4Validator(schema).iter_errors(value))
    if error is None:
        return
    path = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        raise ApiError(400, "Bad request", f"{path}.{missing} is missing")
    message = error.message if len(error.message) <= _MAX_DETAIL else f"…{error.message[-_MAX_DETAIL:]}"
    raise ApiError(400, "Bad request", f"{path}: {message}")


def object_of(*required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these members, of which some are required."""
    return {"type": "object", "required": list(required), "properties": properties}


def list_of(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list of such items."""
    return {"type": "array", "items": items, **more}


def one_of(*enum: Any) -> Schema:
    """Return the schema of an enumeration."""
    return {"enum": list(enum)}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 100}
DESCRIPTION: Schema = {"type": "string", "maxLength": 1024}

# Tasks. Both paths accept the words of the scheduling path: assumed, since both serve the same tasks, and v1 shows
# those that were created on the other path.
_LAST_RUN = object_of(
    *("id", "status", "workerId", "workerType", "triggeredBy"),
    id=STRING,
    status=STRING,
    executedAs=STRING,
    triggeredBy=STRING,
    workerId=STRING,
    workerType=STRING,
)
_TRIGGER = object_of("id", "type", id=STRING, type=one_of(0, 1, 2, 3, 4))
_ORCHESTRATION = object_of("id", "type", id=STRING, type=one_of(0, 1, 2, 3), attrs=OBJECT, lastRun=_LAST_RUN)
_METADATA = object_of(
    usage=one_of("ANALYTICS", "DATA_PREPARATION", "DATAFLOW_PREP", "SINGLE_TABLE_PREP"),
    ownerId=STRING,
    spaceId=STRING,
    scriptOwnerId=STRING,
    spaceType=one_of("personal", "shared", "managed"),
    resourceName=STRING,
    resourceType=STRING,
    resourceSubType=STRING,
    topology=object_of(isChild=BOOLEAN, isParent=BOOLEAN),
    trigger=_TRIGGER,
    tenantId=STRING,
    createdBy=STRING,
    updatedAt=STRING,
    disabledCode=one_of(
        *("MANUALLY", "CONSECUTIVE-FAILURES", "APP-SCRIPT-UPDATED", "OWNER-DELETED", "OWNER-DISABLED"),
        *("APP-MOVED-SPACE", "OWNER-MOVED"),
    ),
    migratedFrom=STRING,
    orchestration=_ORCHESTRATION,
)
_SCHEDULE_RULE = object_of(
    cron={"anyOf": [STRING, object_of("expression", expression=STRING, validUntil=STRING)]},
    interval=STRING,
    recurrence=STRING,
    timezone=STRING,
    startDateTime=STRING,
    endDateTime=STRING,
)
_EVENT = object_of(
    name=STRING,
    type=one_of("com.qlik.v1.task.run.finished", "com.qlik/active-analytics-orch"),
    source=one_of("system-events.task", "dataset.updated"),
    dataOnly=BOOLEAN,
    correlation=list_of(
        object_of(
            "contextAttributeName",
            contextAttributeName=one_of("id", "status", "appId", "spaceId", "datasetId"),
            contextAttributeValue=STRING,
        )
    ),
)
_FUNCTION = object_of(refName=one_of("app.reload", "AppReload"), invoke=one_of("SYNC", "ASYNC"), selectionSet=STRING)
_ACTION = object_of(
    name=STRING,
    condition=STRING,
    functionRef={"anyOf": [STRING, _FUNCTION]},
    retryRef=STRING,
    retryableErrors=list_of(STRING),
    nonRetryableErrors=list_of(STRING),
)
_STATE = object_of(
    name=STRING,
    type=one_of("EVENT", "event"),
    end=BOOLEAN,
    exclusive=BOOLEAN,
    onEvents=list_of(
        object_of(
            "eventRefs",
            eventRefs=list_of(STRING),
            actions=list_of(_ACTION),
            actionMode=one_of("SEQUENTIAL", "PARALLEL"),
        )
    ),
    timeouts=object_of(eventTimeout=STRING, stateExecTimeout=STRING, actionExecTimeout=STRING),
    compensatedBy=STRING,
)
TASK = object_of(
    "name",
    "specVersion",
    key=STRING,
    name=STRING,
    start=object_of("schedule", schedule={"anyOf": [STRING, _SCHEDULE_RULE]}, stateName=STRING),
    events=list_of(_EVENT),
    states=list_of(_STATE),
    enabled=BOOLEAN,
    version=STRING,
    metadata=_METADATA,
    keepActive=BOOLEAN,
    annotations=list_of(STRING),
    description=STRING,
    specVersion=STRING,
)
SCHEDULING_TASK = {**TASK, "properties": {**TASK["properties"], "name": NAME, "description": DESCRIPTION}}
TASK_PATCH = list_of(
    object_of("op", "path", op=one_of("add", "remove", "replace", "move", "copy"), path=STRING, **{"from": STRING})
)

_CREATION = {"name": NAME, "description": DESCRIPTION, "enabled": BOOLEAN, "partial": BOOLEAN}
RELOAD_ON_SCHEDULE = object_of(
    "recurrence",
    **_CREATION,
    recurrence={"anyOf": [STRING, list_of(STRING)]},
    timezone=STRING,
    startDateTime=STRING,
    endDateTime=STRING,
)
RELOAD_AFTER_TASK = object_of(
    "onTaskId", **_CREATION, onTaskId=STRING, onTaskStatus=one_of("succeeded", "failed", "any")
)
RELOAD_ON_DATASET_UPDATE = object_of(**_CREATION)

_SCHEDULE = object_of(startAt=STRING, stopAt=STRING, interval=INTEGER, timezone=STRING)
AUTOMATION_UPDATE = object_of(
    name=STRING, schedules=list_of(_SCHEDULE), workspace=OBJECT, description=STRING, maxConcurrentRuns=INTEGER
)
AUTOMATION_CREATE = {
    **AUTOMATION_UPDATE,
    "required": ["name"],
    "properties": {**AUTOMATION_UPDATE["properties"], "spaceId": STRING},
}
AUTOMATION_COPY = object_of("name", name=STRING)
AUTOMATION_OWNER_CHANGE = object_of("userId", userId=STRING)
AUTOMATION_SPACE_CHANGE = object_of("spaceId", spaceId=STRING)
AUTOMATION_RUN_CREATE = object_of("context", context=one_of("api"))
AUTOMATION_SETTINGS = object_of(maxConcurrentRunsPerAutomation=INTEGER)

RELOAD_CREATE = object_of(
    "appId",
    appId=STRING,
    partial=BOOLEAN,
    weight=INTEGER,
    variables=OBJECT,
    resourceType=one_of("api", "reload-tasks", "tasks", "automate"),
    resourceId=STRING,
)

RELOAD_TASK = {
    "appId": STRING,
    "partial": BOOLEAN,
    "timeZone": STRING,
    "autoReload": BOOLEAN,
    "recurrence": list_of(STRING),
    "endDateTime": STRING,
    "startDateTime": STRING,
    "autoReloadPartial": BOOLEAN,
}
RELOAD_TASK_CREATE = object_of("appId", "timeZone", **RELOAD_TASK, type=one_of("scheduled_reload"))
RELOAD_TASK_UPDATE = object_of(**RELOAD_TASK, state=one_of("Enabled", "Disabled", "Completed"))
