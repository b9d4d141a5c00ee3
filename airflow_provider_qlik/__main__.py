"""The command line without the program `airflow`: `python -m airflow_provider_qlik check`, on every Airflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from airflow_provider_qlik.cli.definition import COMMANDS, HELP, Command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in the arguments (of the process, if None). Ends with SystemExit, as `airflow` does."""
    parsed = _parser().parse_args(arguments)
    module, _, function = parsed.function_path.rpartition(".")
    getattr(import_module(module), function)(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_qlik", description=HELP)
    groups = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in COMMANDS:
        if isinstance(command, Command):
            _add(groups, command)
            continue
        group = groups.add_parser(command.name, help=command.help, description=command.help)
        inner = group.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
        for action in command.commands:
            _add(inner, action)
    return parser


def _add(parsers: Any, command: Command) -> None:
    parser = parsers.add_parser(command.name, help=command.help, description=command.help)
    for option in command.options:
        parser.add_argument(*option.flags, **option.settings)
    parser.set_defaults(function_path=command.path)


if __name__ == "__main__":
    main(sys.argv[1:])
