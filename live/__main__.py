"""Compare the responses of a tenant with the models: `python -m live [--app ID] [--task ID] [--automation ID]`.

The tenant and the credentials are read from the environment. Exit status: 0 if all calls and runs succeeded, whatever
the report says; 1 if not; 2 if nothing is configured; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_qlik.cloud import InvalidArgumentError, QlikCloudError
from airflow_provider_qlik.runs import STARTABLE_ADAPTERS
from airflow_provider_qlik.validation import checked_id
from live.questions import Observations
from live.recording import Recording, RecordingClient
from live.report import markdown
from live.runs import RealRun, Runner
from live.settings import USAGE, NotConfiguredError, tenant_and_credentials
from live.survey import Survey

NAMED = {"app": "reload", "task": "task", "automation": "automation"}
"""Resources of which a real run can be made, and the kind of run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the tenant, write the report, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        named = {name: checked_id(name, value) for name in NAMED if (value := getattr(options, name)) is not None}
        tenant, credentials = tenant_and_credentials(os.environ)
    except NotConfiguredError as error:
        _say("\n".join((*filter(None, map(str, error.args)), *USAGE)))
        return 2
    except InvalidArgumentError as error:
        _say(f"Nothing was sent: {error}.")
        return 2
    recording, runs = Recording(), list[RealRun]()
    observations = Observations(recording, runs, tenant.url)
    status = 0
    with RecordingClient(tenant, credentials, recording) as client:
        survey = Survey(client, _say)
        runner = Runner(client, survey, options.timeout, _say)
        try:
            survey.read_all(named)
            for name, resource_id in named.items():
                runner.perform(STARTABLE_ADAPTERS[NAMED[name]], resource_id, runs)
        except QlikCloudError as error:
            _say(f"There is no report: {error}")
            return 1
        except KeyboardInterrupt:
            status = 130
    text = markdown(observations, survey.failures)
    status = status or int(any(real.problem for real in runs))
    return status if _write(text, options.output) else status or 1


def _write(text: str, output: Path | None) -> bool:
    """Write the report to a file, or print it. Return False if the file could not be written."""
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            _say(f"The report cannot be written to {output} ({error.strerror}): here it is.")
        else:
            _say(f"The report is in {output}.")
            return True
    print(text, end="")
    return output is None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m live", description="\n".join(USAGE))
    for name, kind in NAMED.items():
        parser.add_argument(f"--{name}", metavar="ID", help=f"make one real run: a {kind} run of this {name}")
    parser.add_argument("--timeout", type=_seconds, default=600.0, help="seconds that each run may take (%(default)g)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the report goes, in place of the output")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # SIGINT, too: a background process of a shell ignores it by default, and a run would not be cancelled.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    sys.exit(main())
