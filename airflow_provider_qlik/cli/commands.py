"""The functions of the commands, which end the process with its exit code. Loaded only when a command runs.

Airflow ignores what the function of a command returns, so the exit code is that of SystemExit. Errors are one line on
stderr, without a traceback: 1 is an error, 2 a wrong use of options.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn, TypeAlias

from airflow_provider_qlik.cli.output import abandon_stdout, only_data_on_stdout, say

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
"""Exit codes; `running.EXIT_CODES` has those for the outcomes of a run."""

CommandFunction: TypeAlias = Callable[[Namespace], NoReturn]


def _command(module: str, name: str) -> CommandFunction:
    """Return the function of a command, which imports its module when it is called."""

    def function(args: Namespace) -> NoReturn:
        sys.exit(_exit_code(module, name, args))

    return function


def _exit_code(module: str, name: str, args: Namespace) -> int:
    """Run a command, and return its exit code. Every error becomes one line on stderr."""
    try:
        with only_data_on_stdout(args.verbose):
            # The imports may fail, too: of Airflow with a wrong configuration, of the sandbox without its packages.
            run: Callable[[Namespace], int] = getattr(import_module(f"{__package__}.{module}"), name)
            code = run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        return FAILED
    except KeyboardInterrupt:
        say("Interrupted.")
        return INTERRUPTED
    except Exception as error:
        return _report(error)
    return code


def _report(error: Exception) -> int:
    from airflow_provider_qlik.cli.session import CommandError, UsageError
    from airflow_provider_qlik.cloud.errors import InvalidArgumentError, QlikCloudError

    text = " ".join([str(error), *getattr(error, "__notes__", ())]).strip()
    if not isinstance(error, (CommandError, InvalidArgumentError, QlikCloudError)):
        # Of Airflow, its database or the environment: the class says what the text may not.
        first_line = text.partition("\n")[0]
        text = f"{first_line} ({type(error).__name__})" if first_line else type(error).__name__
    say(f"Error: {text}")
    return WRONG_USE if isinstance(error, UsageError) else FAILED


check = _command("checking", "check")
list_apps = _command("listing", "list_apps")
list_automations = _command("listing", "list_automations")
list_tasks = _command("listing", "list_tasks")
list_sharing_tasks = _command("listing", "list_sharing_tasks")
list_runs = _command("running", "list_runs")
show_log = _command("running", "show_log")
cancel_run = _command("running", "cancel_run")
watch_run = _command("running", "watch_run")
serve_sandbox = _command("serving", "serve_sandbox")
