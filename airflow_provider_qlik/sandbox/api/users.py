"""Users: who the caller is, and who somebody is."""

from __future__ import annotations

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import Refused
from airflow_provider_qlik.sandbox.operations import Asked, Operation, ok


def get_me(asked: Asked) -> Response:
    """`GET /users/me`: documented as a redirect to the user."""
    world, user = asked.world, asked.caller.user
    if world.switches.users_me == "direct":
        return ok(world.view.user(user))
    host = asked.base_url if world.switches.users_me == "redirect" else world.switches.elsewhere
    return Response(status_code=301, headers={"location": f"{host}/api/v1/users/{user.id}"})


def get_user(asked: Asked) -> Response:
    """`GET /users/{id}`."""
    user = asked.world.users.get(asked.params["id"])
    if user is None:
        raise Refused(404, "Not found", f"there is no user {asked.params['id']}")
    return ok(asked.world.view.user(user))


OPERATIONS = (
    Operation("get_me", "GET", ("/api/v1/users/me",), "users", "tier_1", get_me),
    Operation("get_user", "GET", ("/api/v1/users/{id}",), "users", "tier_1", get_user),
)
