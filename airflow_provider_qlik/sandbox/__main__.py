"""Run a sandbox tenant as a process, until Ctrl-C: `python -m airflow_provider_qlik.sandbox`."""

from __future__ import annotations

import argparse
import signal
import threading
from urllib.parse import quote

from airflow_provider_qlik.sandbox.demo import fill
from airflow_provider_qlik.sandbox.server import serve
from airflow_provider_qlik.sandbox.tenant import Tenant


def main() -> None:
    """Run a tenant as the arguments of the process say."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_qlik.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port of 127.0.0.1; 0: any free one")
    parser.add_argument("--speed", type=float, default=1.0, help="sandbox seconds in one real second")
    parser.add_argument("--demo", action="store_true", help="add a few tasks and automations")
    serve_until_signal(**vars(parser.parse_args()))


def serve_until_signal(port: int, speed: float, demo: bool) -> None:
    """Run a tenant until SIGINT or SIGTERM, and print how to connect to it.

    :param port: the port of 127.0.0.1; 0: any free one.
    :param speed: sandbox seconds in one real second.
    :param demo: add the content of the demo.
    """
    stop_requested = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_requested.set())
    with serve(speed, port) as tenant:
        lines = _introduction(tenant)
        if demo:
            lines += ["", *fill(tenant)]
        print("\n".join([*lines, "", "Ready; Ctrl-C ends it."]), flush=True)
        stop_requested.wait()


def _introduction(tenant: Tenant) -> list[str]:
    connection = f"qlik-cloud://:{quote(tenant.api_key, safe='')}@{quote(tenant.url, safe='')}"
    return [
        f"url            {tenant.url}",
        f"api key        {tenant.api_key}",
        f"client id      {tenant.client_id}",
        f"client secret  {tenant.client_secret}",
        f"user subject   {tenant.user_subject}",
        "",
        f"export AIRFLOW_CONN_QLIK_CLOUD_DEFAULT='{connection}'",
    ]


if __name__ == "__main__":
    main()
