"""Checks a request body against its shape in the contract: the part of JSON schema needed here."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.sandbox.errors import ApiError

Schema = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def check(value: Any, shape: Schema, where: str = "body") -> None:
    """Refuse with 400 what does not fit, naming the member."""
    problem = _error(value, shape, where)
    if problem:
        raise ApiError(400, "Bad request", problem)


def _error(value: Any, shape: Schema, where: str) -> str | None:
    if "either" in shape:
        problems = [_error(value, one, where) for one in shape["either"]]
        return None if None in problems else problems[-1]
    kind = shape.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"{where} must be of type {kind}"
    if "enum" in shape and value not in shape["enum"]:
        return f"{where} must be one of {', '.join(str(word) for word in shape['enum'])}"
    if isinstance(value, dict):
        for name in shape.get("required", ()):
            if name not in value:
                return f"{where}.{name} is missing"
        for name, inner in shape.get("properties", {}).items():
            if name in value and (problem := _error(value[name], inner, f"{where}.{name}")):
                return problem
    if isinstance(value, str) and not shape.get("minLength", 0) <= len(value) <= shape.get("maxLength", len(value)):
        return f"{where} must have from {shape.get('minLength', 0)} to {shape['maxLength']} characters"
    if isinstance(value, list) and len(value) > shape.get("maxItems", len(value)):
        return f"{where} has more than {shape['maxItems']} items"
    if isinstance(value, list) and "items" in shape:
        for place, item in enumerate(value):
            if problem := _error(item, shape["items"], f"{where}[{place}]"):
                return problem
    return None


def object_of(*required: str, **properties: Schema) -> Schema:
    """An object with these members, of which some are required."""
    return {"type": "object", "required": required, "properties": properties}


def list_of(items: Schema, **more: Any) -> Schema:
    """A list of such items."""
    return {"type": "array", "items": items, **more}


def one_of(*enum: Any) -> Schema:
    """One of these values."""
    return {"enum": enum}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 100}
DESCRIPTION: Schema = {"type": "string", "maxLength": 1024}

# Tasks. The words are those of the scheduling path on both paths: assumed, since the same tasks stand behind both, and
# v1 shows those that were made on the other path.
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
    cron={"either": [STRING, object_of("expression", expression=STRING, validUntil=STRING)]},
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
    functionRef={"either": [STRING, _FUNCTION]},
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
    start=object_of("schedule", schedule={"either": [STRING, _SCHEDULE_RULE]}, stateName=STRING),
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
    recurrence={"either": [STRING, list_of(STRING)]},
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
    "required": ("name",),
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
