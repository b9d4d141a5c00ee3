"""The command that serves the sandbox."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_qlik.cli.output import data_on_stdout
from airflow_provider_qlik.cli.session import CommandError


def serve_sandbox(args: Namespace) -> int:
    """Run a sandbox tenant until SIGINT or SIGTERM. Raises CommandError if its packages are not installed."""
    try:
        from airflow_provider_qlik.sandbox.__main__ import serve_until_signal
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The sandbox needs the package {error.name}: install airflow-provider-qlik[sandbox]"
        ) from None
    with data_on_stdout():
        serve_until_signal(port=args.port, speed=args.speed, demo=args.demo)
    return 0
