"""Inject faults, print the table, and fail on any difference: `python -m chaos [NUMBER ...] [--keep] [--write]`."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chaos import features, guard, postgres
from chaos.airflow import Airflow
from chaos.report import Report, Row
from chaos.scenarios import keys, kills, outages, pages, secrets, texts, timeouts, triggerers, users, watchers, workers
from chaos.scene import Scene

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario with its number, its title, and the maximum number of seconds that it takes."""

    number: int
    title: str
    act: Callable[[Scene], None]
    seconds: float


SCENARIOS = (
    Scenario(1, "workers are killed", workers.act, 420),
    Scenario(2, "a triggerer is killed", triggerers.act_on_one, 420),
    Scenario(3, "one of two triggerers is stopped, or killed", triggerers.act_on_two, 420),
    Scenario(4, "users clear and mark deferred tasks", users.act, 1500),
    Scenario(5, "deferrals time out", timeouts.act, 300),
    Scenario(6, "the tenant is unavailable, then limits requests", outages.act, 900),
    Scenario(7, "tokens are revoked, a secret is rotated", secrets.act, 300),
    Scenario(8, "texts that PostgreSQL refuses", texts.act, 600),
    Scenario(9, "a mistyped key, and a secret rotated too early", keys.act, 1200),
    Scenario(10, "a proxy responds with web pages", pages.act, 900),
    Scenario(11, "a thousand runs are to be cancelled", kills.act, 1200),
    Scenario(13, "Dags start when runs in Qlik Cloud end", watchers.act, 600),
)
WHOLE_RUN = 12
"""The number of the rows about the whole run of the tests."""
# Two at a time on two processors, since a scenario mostly waits. Overload would cause differences of its own.
GROUPS: tuple[tuple[int, ...], ...] = ((1, 5, 2, 3, 4, 8, 11), (6, 7, 9, 10, 13))
if not features.STORE:
    # On an older Airflow, only the scenarios that depend on its version. Without queues, the triggerers of one
    # scenario would run the triggers of another.
    GROUPS = ((1, 2, 3, 4), (6, 7)) if features.QUEUES else ((1, 2, 3, 4, 6, 7),)


def main() -> int:
    """Run the scenarios and return the exit status: 0 if every row is as expected."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="the scenarios to run; all by default")
    parser.add_argument("--keep", action="store_true", help="keep Airflow's folder with all its logs")
    parser.add_argument("--write", action="store_true", help=f"write the rows into {DOCUMENT.name}")
    arguments = parser.parse_args()
    numbers = arguments.numbers or sorted(number for group in GROUPS for number in group)
    signal.signal(signal.SIGTERM, _interrupt)
    began, report = time.monotonic(), Report()
    try:
        postgres.find_programs()
    except postgres.MissingServerError as error:
        print(error, file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="qlik-chaos-", dir="/tmp"))
    # PostgreSQL runs as another user, which needs to traverse the folder, but not to list it.
    home.chmod(0o711)
    with guard.guarded(home, arguments.keep):
        run(home, numbers, report)
    processes_left = len(guard.working_below(home))
    report.add(
        Row(WHOLE_RUN, "The test run has ended", "remaining processes", "0", str(processes_left), processes_left == 0)
    )
    if arguments.keep:
        print(f"Logs are in {home}.")
    minutes = (time.monotonic() - began) / 60
    print(report.as_text())
    print(f"\n{len(report.rows)} rows, {report.differences} different, {minutes:.1f} minutes")
    if arguments.write:
        version = importlib.metadata.version("apache-airflow")
        document = DOCUMENT if features.STORE else DOCUMENT.with_name("airflow-versions.md")
        minor = "" if features.STORE else version.rpartition(".")[0]
        about = f"Airflow {version}, {minutes:.0f} minutes, {os.cpu_count()} processors."
        report.write_into(document, about, minor, arguments.numbers)
    return 1 if report.differences else 0


def run(home: Path, numbers: list[int], report: Report) -> None:
    """Run the scenarios, the groups side by side."""
    stopping = threading.Event()
    with postgres.cluster(home) as database:
        airflow = Airflow(home, database)
        try:
            airflow.set_up()
            airflow.start()
            groups = [[each for each in group if each in numbers] for group in GROUPS]
            with ThreadPoolExecutor(len(groups)) as pool:
                try:
                    for done in [pool.submit(play, group, airflow, report, stopping) for group in groups]:
                        done.result()
                finally:
                    stopping.set()
            died = ", ".join(airflow.died()) or "none"
            report.add(
                Row(
                    WHOLE_RUN, "The test run has ended", "services that died unexpectedly", "none", died, died == "none"
                )
            )
        finally:
            airflow.stop()


def play(group: list[int], airflow: Airflow, report: Report, stopping: threading.Event) -> None:
    """Run the scenarios of a group in turn. A scenario that raises an error adds a difference; the next one is run."""
    for number in group:
        scenario = next(each for each in SCENARIOS if each.number == number)
        scene = Scene(number, airflow, report, time.monotonic() + scenario.seconds, stopping, scenario.title)
        began = time.monotonic()
        scene.write_log(scenario.title)
        try:
            scenario.act(scene)
        except Exception as error:
            if not stopping.is_set():
                traceback.print_exc()
            report.add(Row(number, scene.action, "the scenario", "completed", f"failed: {error}", False))
        scene.write_log(f"took {time.monotonic() - began:.0f} s")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
