"""Checks a request body against its shape in the contract: the part of JSON schema needed here."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik.sandbox.errors import Refused

Shape = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def check(value: Any, shape: Shape, where: str = "body") -> None:
    """Refuse with 400 what does not fit, naming the member."""
    problem = _problem(value, shape, where)
    if problem:
        raise Refused(400, "Bad request", problem)


def _problem(value: Any, shape: Shape, where: str) -> str | None:
    if "either" in shape:
        problems = [_problem(value, one, where) for one in shape["either"]]
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
            if name in value and (problem := _problem(value[name], inner, f"{where}.{name}")):
                return problem
    if isinstance(value, list) and "items" in shape:
        for place, item in enumerate(value):
            if problem := _problem(item, shape["items"], f"{where}[{place}]"):
                return problem
    return None


def _object(*required: str, **properties: Shape) -> Shape:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: Shape) -> Shape:
    return {"type": "array", "items": items}


def _word(*enum: Any) -> Shape:
    return {"enum": enum}


STRING: Shape = {"type": "string"}
INTEGER: Shape = {"type": "integer"}
BOOLEAN: Shape = {"type": "boolean"}
OBJECT: Shape = {"type": "object"}

_REFERENCE = _object("id", "type", id=STRING, type=_word(0, 1, 2, 3), attrs=OBJECT)
_METADATA = _object(
    usage=_word("ANALYTICS", "DATA_PREPARATION", "DATAFLOW_PREP", "SINGLE_TABLE_PREP"),
    ownerId=STRING,
    spaceId=STRING,
    trigger=_REFERENCE,
    tenantId=STRING,
    createdBy=STRING,
    updatedAt=STRING,
    disabledCode=_word("MANUALLY", "CONSECUTIVE-FAILURES", "APP-SCRIPT-UPDATED", "OWNER-DELETED", "OWNER-DISABLED"),
    migratedFrom=STRING,
    orchestration=_REFERENCE,
)
_SCHEDULE_RULE = _object(
    cron={"either": [STRING, _object("expression", expression=STRING, validUntil=STRING)]},
    interval=STRING,
    recurrence=STRING,
    timezone=STRING,
    startDateTime=STRING,
    endDateTime=STRING,
)
_EVENT = _object(
    name=STRING,
    type=_word("com.qlik.v1.task.run.finished"),
    source=_word("system-events.task"),
    dataOnly=BOOLEAN,
    correlation=_list(
        _object("contextAttributeName", contextAttributeName=_word("id", "status"), contextAttributeValue=STRING)
    ),
)
_FUNCTION = _object(refName=_word("app.reload"), invoke=_word("SYNC", "ASYNC"), selectionSet=STRING)
_ACTION = _object(
    name=STRING,
    condition=STRING,
    functionRef={"either": [STRING, _FUNCTION]},
    retryRef=STRING,
    retryableErrors=_list(STRING),
    nonRetryableErrors=_list(STRING),
)
_STATE = _object(
    name=STRING,
    type=_word("EVENT"),
    end=BOOLEAN,
    exclusive=BOOLEAN,
    onEvents=_list(
        _object(
            "eventRefs",
            eventRefs=_list(STRING),
            actions=_list(_ACTION),
            actionMode=_word("SEQUENTIAL", "PARALLEL"),
        )
    ),
    timeouts=_object(eventTimeout=STRING, stateExecTimeout=STRING, actionExecTimeout=STRING),
    compensatedBy=STRING,
)
TASK = _object(
    "name",
    "specVersion",
    key=STRING,
    name=STRING,
    start=_object("schedule", schedule={"either": [STRING, _SCHEDULE_RULE]}, stateName=STRING),
    events=_list(_EVENT),
    states=_list(_STATE),
    enabled=BOOLEAN,
    version=STRING,
    metadata=_METADATA,
    keepActive=BOOLEAN,
    annotations=_list(STRING),
    description=STRING,
    specVersion=STRING,
)

_SCHEDULE = _object(startAt=STRING, stopAt=STRING, interval=INTEGER, timezone=STRING)
AUTOMATION_UPDATE = _object(
    name=STRING, schedules=_list(_SCHEDULE), workspace=OBJECT, description=STRING, maxConcurrentRuns=INTEGER
)
AUTOMATION_CREATE = {
    **AUTOMATION_UPDATE,
    "required": ("name",),
    "properties": {**AUTOMATION_UPDATE["properties"], "spaceId": STRING},
}
AUTOMATION_COPY = _object("name", name=STRING)
AUTOMATION_OWNER_CHANGE = _object("userId", userId=STRING)
AUTOMATION_SPACE_CHANGE = _object("spaceId", spaceId=STRING)
AUTOMATION_RUN_CREATE = _object("context", context=_word("api"))
AUTOMATION_SETTINGS = _object(maxConcurrentRunsPerAutomation=INTEGER)
