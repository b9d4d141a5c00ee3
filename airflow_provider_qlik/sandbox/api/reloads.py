"""Reloads, as far as they are the workers of task runs."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Operation, nothing, ok
from airflow_provider_qlik.sandbox.records import Reload


def get_reload(asked: Asked) -> Response:
    """`GET /reloads/{id}`."""
    return ok(asked.world.view.reload(_reload(asked)))


def cancel_reload(asked: Asked) -> Response:
    """`POST /reloads/{id}/actions/cancel`."""
    if not asked.world.stop_worker(_reload(asked)):
        raise Refused(409, "Conflict", f"reload {asked.params['id']} has ended")
    return nothing(asked.world.switches.cancel_reply)


def get_reload_log(asked: Asked) -> Response:
    """`GET /apps/{appId}/reloads/logs/{id}`."""
    reload = _reload(asked)
    if reload.app_id != asked.params["appId"]:
        raise Refused(404, "Not found", f"app {asked.params['appId']} has no reload {reload.id}")
    return PlainTextResponse("\n".join(reload.life.log(asked.world.now)))


def _reload(asked: Asked) -> Reload:
    reload = asked.world.reloads.get(asked.params["id"])
    if reload is None:
        raise Refused(404, "Not found", f"there is no reload {asked.params['id']}")
    return reload


OPERATIONS = (
    Operation("get_reload", "GET", ("/api/v1/reloads/{id}",), "reloads", "tier_1", get_reload),
    Operation(
        "cancel_reload",
        "POST",
        ("/api/v1/reloads/{id}/actions/cancel",),
        "reloads",
        "reload_cancel",
        cancel_reload,
    ),
    Operation(
        "get_reload_log",
        "GET",
        ("/api/v1/apps/{appId}/reloads/logs/{id}",),
        "reloads",
        "tier_1",
        get_reload_log,
    ),
)
