"""The Users family: the caller, and users by id."""

from __future__ import annotations

from starlette.responses import Response

from airflow_provider_qlik.sandbox.errors import ApiError
from airflow_provider_qlik.sandbox.operations import ApiRequest, Operation, ok


def get_me(request: ApiRequest) -> Response:
    """`GET /users/me`: documented as a redirect to the user."""
    tenant_state, user = request.tenant_state, request.caller.user
    if tenant_state.switches.users_me == "direct":
        return ok(tenant_state.serializer.user(user))
    host = request.base_url if tenant_state.switches.users_me == "redirect" else tenant_state.switches.other_host
    return Response(status_code=301, headers={"location": f"{host}/api/v1/users/{user.id}"})


def get_user(request: ApiRequest) -> Response:
    """`GET /users/{id}`."""
    user = request.tenant_state.users.get(request.params["id"])
    if user is None:
        raise ApiError(404, "Not found", f"there is no user {request.params['id']}")
    return ok(request.tenant_state.serializer.user(user))


OPERATIONS = (
    Operation("get_me", "GET", ("/api/v1/users/me",), "users", "tier_1", get_me),
    Operation("get_user", "GET", ("/api/v1/users/{id}",), "users", "tier_1", get_user),
)
