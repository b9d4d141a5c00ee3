"""The commands about runs: list them, show a log, cancel one, wait for the end of one.

All of it goes through the adapters and flows of `runs/`, by which operators and sensors work, too.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_qlik.cli.output import print_line, print_rows, say
from airflow_provider_qlik.cli.session import CommandError, CommandHook, UsageError, adapter_of, open_hook, resource_id
from airflow_provider_qlik.cloud.errors import NotFoundError
from airflow_provider_qlik.runs import Outcome, Run, RunSelector, RunState, RunWait, WaitTimeoutError, outcome
from airflow_provider_qlik.runs.adapter import ListedRunAdapter, RunAdapter
from airflow_provider_qlik.runs.cancelling import cancel, cancels_together
from airflow_provider_qlik.runs.capabilities import ConsistsOfItems, HasLog
from airflow_provider_qlik.runs.listing import MAX_PAGES, check_resource_exists, collect_runs
from airflow_provider_qlik.text import printable
from airflow_provider_qlik.validation import checked_id

EXIT_CODES = {RunState.SUCCEEDED: 0, RunState.FAILED: 3, RunState.CANCELLED: 4}
"""The exit code of `runs watch` by the outcome of the run."""
STILL_ACTIVE = 5
"""The exit code of `runs watch` for a run that has not ended within `--timeout`."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
PAGE_SIZE = 100
"""Runs on a page of a list; Qlik Cloud allows no fewer than 10 for automations."""
MAX_LISTED = MAX_PAGES * PAGE_SIZE
"""The largest `--limit`: as many runs are read at most."""
MAX_POLL_INTERVAL = 60.0
"""Seconds up to which the interval between two polls grows with the age of the run."""


def list_runs(args: Namespace) -> int:
    """Print the last runs of a resource, latest first."""
    if args.limit > MAX_LISTED:
        raise UsageError(f"--limit is at most {MAX_LISTED} for runs")
    adapter = adapter_of(args)
    with open_hook(args) as hook:
        resource = resource_id(hook, args)
        try:
            runs = hook.run_flow(collect_runs(adapter, resource, _until(adapter, args.limit), PAGE_SIZE))
        except NotFoundError:
            # A resource that never ran may have no list. One that does not exist is an error.
            hook.run_flow(check_resource_exists(adapter, resource))
            runs = []
    print_rows([_row(run) for run in runs[: args.limit]], args.output)
    return 0


def _until(adapter: RunAdapter, limit: int) -> Callable[[Sequence[Run]], bool]:
    """Return a check for the page after which enough runs were read."""
    found: set[str] = set()
    # Where a run consists of several items, the last run is complete when there is one more.
    enough = limit + 1 if isinstance(adapter, ConsistsOfItems) else limit

    def is_last(page: Sequence[Run]) -> bool:
        found.update(run.id for run in page)
        return len(found) >= enough

    return is_last


def _row(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "state": str(run.state),
        "status": run.status,
        "started_at": run.moment,
        "ended_at": run.ended_at,
        "seconds": run.seconds,
        "triggered_by": run.triggered_by,
        "reason": run.reason,
    }


def show_log(args: Namespace) -> int:
    """Print the log of a run."""
    adapter = adapter_of(args)
    if not isinstance(adapter, HasLog):
        raise CommandError(f"Qlik Cloud keeps no log for runs of a {args.kind}")
    with open_hook(args) as hook:
        text = hook.run_flow(adapter.log(_run(hook, adapter, args)))
    for line in text.splitlines():
        print_line(line)
    return 0


def cancel_run(args: Namespace) -> int:
    """Cancel a run, after a confirmation unless there is `--yes`. A run that has ended already is no error."""
    adapter = adapter_of(args)
    with open_hook(args) as hook:
        run = _run(hook, adapter, args)
        if run.ended:
            print_line(f"There is nothing to cancel: {run} has ended.")
            return 0
        if not args.yes and not _confirmed(adapter, run):
            raise CommandError("Nothing was cancelled, since it was not confirmed; --yes does without a confirmation")
        done = hook.run_flow(cancel(adapter, run))
    print_line(f"{done}.")
    return 0


def _confirmed(adapter: RunAdapter, run: Run) -> bool:
    together = (
        f" Qlik Cloud cancels all active runs of this {adapter.name} with it." if cancels_together(adapter) else ""
    )
    print(f"Cancel the {printable(str(run))}?{together} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def watch_run(args: Namespace) -> int:
    """Wait for the end of a run, print each change of its status, and return the exit code for its outcome."""
    deadline = None if args.timeout is None else datetime.now(UTC) + timedelta(seconds=args.timeout)
    adapter = adapter_of(args)
    with open_hook(args) as hook:
        run = _run(hook, adapter, args)
        wait = RunWait(adapter, RunSelector.of(run), _write, deadline=deadline, known_run=run, log_end=False)
        try:
            if not run.ended:
                say(f"Waiting for the end of the {run}. Ctrl-C ends the wait, and not the run.")
                interval = args.poll_interval
                flow = wait.until_end(interval, max(interval, MAX_POLL_INTERVAL))
                run = hook.run_flow(flow, deadline=deadline)
        except KeyboardInterrupt:
            say(f"The wait was ended by Ctrl-C, and the run goes on ({wait.run or run}).")
            return INTERRUPTED
        except WaitTimeoutError:
            say(f"The run has not ended within {args.timeout:g} s, and goes on ({wait.run or run}).")
            return STILL_ACTIVE
        ended = _outcome(hook, adapter, run, args.verbose)
    say(f"{ended.message}.")
    print_rows([{**_row(ended.run), "link": ended.link}], args.output)
    return EXIT_CODES[ended.run.state]


def _outcome(hook: CommandHook, adapter: RunAdapter, run: Run, with_log: bool) -> Outcome:
    """Return the outcome with its reason. The end of the run's log is shown on demand; `runs log` has all of it."""
    write = _write if with_log else lambda _level, _text: None
    return hook.run_flow(outcome(adapter, run, hook.get_conn().tenant.url, write))


def _write(_level: int, text: str) -> None:
    say(text)


def _run(hook: CommandHook, adapter: ListedRunAdapter[Any], args: Namespace) -> Run:
    """Return the run of `--run-id`, or the last one. Raises CommandError if there is none."""
    run_id = None if args.run_id is None else checked_id("--run-id", args.run_id)
    resource = resource_id(hook, args)
    run = hook.run_flow(adapter.poll(RunSelector(resource_id=resource, run_id=run_id)))
    if run is None:
        which = f"no run {run_id}" if run_id else "no run yet"
        raise CommandError(f"There is {which} of the {args.kind} {resource} that this user can see")
    return run
