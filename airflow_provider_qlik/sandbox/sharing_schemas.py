"""The request bodies of the Sharing tasks family."""

from __future__ import annotations

from airflow_provider_qlik.sandbox.schemas import BOOLEAN, INTEGER, OBJECT, STRING, Schema, list_of, object_of, one_of

_NUMBER: Schema = {"type": "number"}
_ANY: Schema = {}
_STRINGS = list_of(STRING)

TYPES = ("chart-monitoring", "chart-sharing", "sheet-sharing", "template-sharing")
ROLES = ("owner", "recipient")

_USER = object_of(
    value=STRING,
    groups=_STRINGS,
    enabled=BOOLEAN,
    subscribed=BOOLEAN,
    taskRecipientErrors=list_of(OBJECT),
    alertingTaskRecipientErrors=list_of(OBJECT),
)
_ANY_LIST: Schema = {"type": "array"}
_RECIPIENTS = object_of(DLUsers=_ANY_LIST, userIds=list_of(_USER), DLGroups=_ANY_LIST, emailAddresses=_STRINGS)
_SELECTION = object_of(
    "name",
    "values",
    "isNumeric",
    "stateName",
    name=STRING,
    values=_STRINGS,
    isNumeric=BOOLEAN,
    stateName=STRING,
    displayName=STRING,
    displayValues=_STRINGS,
)
_STATE = object_of(fields=list_of(OBJECT), queryItems=list_of(OBJECT), selections=list_of(_SELECTION))
_TRIGGER = object_of(
    "recurrence",
    recurrence=_STRINGS,
    executeOnAppReload=BOOLEAN,
    executionHistoryInterval=one_of("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"),
)
_SCHEDULE = object_of(timezone=STRING, recurrence=list_of(STRING, maxItems=5), endDateTime=STRING, startDateTime=STRING)
_CHART = object_of(
    appId=STRING,
    jsOpts=OBJECT,
    outDpi=INTEGER,
    outZoom=_NUMBER,
    patches=list_of(OBJECT),
    sheetId=STRING,
    widthPx=INTEGER,
    heightPx=INTEGER,
    objectId=STRING,
    objectDef=OBJECT,
    persistentBookmarkIncludeVariables=BOOLEAN,
)
_SHEET_MEMBERS: dict[str, Schema] = {
    "appId": STRING,
    "jsOpts": OBJECT,
    "sheetId": STRING,
    "widthPx": INTEGER,
    "heightPx": INTEGER,
    "isPrivate": BOOLEAN,
    "sheetName": STRING,
    "jsOptsById": OBJECT,
    "patchesById": OBJECT,
}
_SHEET = object_of(
    **_SHEET_MEMBERS,
    resizeType=one_of("none", "fit", "autofit"),
    persistentBookmarkIncludeVariables=BOOLEAN,
)
_TEMPLATE = object_of(
    "type",
    type=one_of(
        "file", "chart", "story", "sheet", "multi-sheet", "excel", "pixel-perfect", "html", "powerpoint", "word"
    ),
    subType=one_of("image", "snapshot", "pdf", "pptx", "xlsx", "qpxp", "qhtml", "docx"),
    fileName=STRING,
    chartData={"anyOf": [{"type": "null"}, _CHART]},
    fileAlias=STRING,
    sheetData=object_of(**_SHEET_MEMBERS),
    storyData=object_of(appId=STRING, storyId=STRING),
    templateId=STRING,
    fileTimeStamp=one_of("yyyy-MM-dd", "yyyy-MM-dd_HH-mm", "yyyyMMdd", "yyyyMMdd_HH-mm"),
    multiSheetData=list_of(_SHEET),
)
_CHANNELS = list_of(one_of("email", "sharepoint"))

SHARING_TASK = {
    "name": STRING,
    "tags": _STRINGS,
    "type": one_of(*TYPES),
    "state": _STATE,
    "appName": STRING,
    "enabled": BOOLEAN,
    "message": STRING,
    "spaceId": STRING,
    "subType": one_of("pdf", "pptx", "xlsx", "html", "docx"),
    "trigger": _TRIGGER,
    "startTime": STRING,
    "templates": list_of(_TEMPLATE),
    "expiration": STRING,
    "description": STRING,
    "emailContent": object_of(body=STRING, subject=STRING),
    "retentionPolicy": object_of(historySize=INTEGER, overrideInterval=STRING),
    "scheduleOptions": _SCHEDULE,
    "dataConnectionID": STRING,
    "sharePointFolder": STRING,
    "executeOnCreation": BOOLEAN,
    "transportChannels": _CHANNELS,
    "distributionListId": STRING,
    "recipients": _RECIPIENTS,
}
"""The members of a sharing task that a caller may write, and that are read again."""
CREATE = object_of(
    "name",
    "type",
    "state",
    "templates",
    **SHARING_TASK,
    cleanupStrategy=one_of("noCleanup", "removeOldBookmarks"),
)

VALUES_BY_PATH = {
    "/name": STRING,
    "/tags": {"anyOf": [STRING, _STRINGS]},
    "/ownerId": STRING,
    "/enabled": BOOLEAN,
    "/description": STRING,
    "/scheduleOptions": _SCHEDULE,
    "/templates": list_of(_TEMPLATE),
    "/recipients": _RECIPIENTS,
    "/recipient": _ANY,
    "/sharePointFolder": STRING,
    "/dataConnectionID": STRING,
    "/transportChannels": _CHANNELS,
    "/bookmarkId": _ANY,
}
"""The schema of the value of a patch, by its path."""
PATCH = list_of(
    object_of("op", "path", op=one_of("replace", "remove"), path=one_of(*VALUES_BY_PATH)),
)
EXECUTE = object_of("sharingTaskID", sharingTaskID=STRING)

_SWITCH_PATHS = ("/enable-sharing", "/enable-report-subscription")
SETTINGS_PATCH = list_of(
    object_of("op", "path", "value", op=one_of("replace"), path=one_of(*_SWITCH_PATHS), value=BOOLEAN),
)
SETTINGS_UPDATE = object_of("enable-sharing", **{"enable-sharing": BOOLEAN})
