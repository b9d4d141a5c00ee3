"""A fake of dbt Cloud that serves runs, in a process of its own: `python -m benchmarks.dbt_cloud`."""

from __future__ import annotations

import socket
import time
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

RUNNING, SUCCESS = 3, 10


class Runs:
    """All runs end at one moment; counts requests, and the connections that they used."""

    def __init__(self) -> None:
        self.end_at = float("inf")
        self.requests = 0
        self.first_polled: dict[int, float] = {}
        self.connections: set[tuple[str, int]] = set()

    async def run(self, request: Request) -> JSONResponse:
        """`GET /api/v2/accounts/{account}/runs/{run}/`, with the members that dbt Cloud has of a run."""
        self.requests += 1
        self.first_polled.setdefault(int(request.path_params["run"]), time.time())
        assert request.client is not None
        self.connections.add((request.client.host, request.client.port))
        ended = time.time() >= self.end_at
        data: dict[str, Any] = {
            "id": int(request.path_params["run"]),
            "account_id": int(request.path_params["account"]),
            "status": SUCCESS if ended else RUNNING,
            "status_humanized": "Success" if ended else "Running",
            "is_complete": ended,
            "is_success": ended,
            "is_error": False,
            "is_cancelled": False,
            "in_progress": not ended,
            "job_definition_id": 1,
            "git_branch": "main",
            "created_at": "2026-01-01 00:00:00.000000+00:00",
            "href": f"https://cloud.getdbt.com/#/accounts/1/projects/1/runs/{request.path_params['run']}/",
        }
        return JSONResponse({"status": {"code": 200, "is_success": True}, "data": data})

    async def end(self, request: Request) -> JSONResponse:
        """Let all runs end at a time, in seconds since the epoch, and reset the counts."""
        self.end_at, self.requests = float(request.path_params["moment"]), 0
        self.connections.clear()
        self.first_polled.clear()
        return JSONResponse({})

    async def count(self, _: Request) -> JSONResponse:
        """Return the requests since then, and the connections."""
        return JSONResponse({"requests": self.requests, "connections": len(self.connections)})

    async def first_polls(self, _: Request) -> JSONResponse:
        """Return the time of the first request for each run, in seconds since the epoch."""
        return JSONResponse(self.first_polled)


def main() -> None:
    """Serve until terminated."""
    runs = Runs()
    app = Starlette(
        routes=[
            Route("/api/v2/accounts/{account:int}/runs/{run:int}/", runs.run),
            Route("/control/end/{moment:float}", runs.end, methods=["POST"]),
            Route("/control/count", runs.count),
            Route("/control/first-polls", runs.first_polls),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"url http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", backlog=4096)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
