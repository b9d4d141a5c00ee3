"""Run the tests on each supported Airflow, in an environment of its own: `python -m matrix [VERSION ...]`.

An environment is `.venvs/VERSION`, made by uv from `constraints/VERSION.txt` when one of them has changed. "lowest" is
the lowest of each dependency that `pyproject.toml` declares, 3.3 is what `make test` uses, too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
AIRFLOWS = ("2.11", "3.0", "3.1", "3.2", "3.3")
LOWEST = "lowest"
DOCUMENT = ROOT / "docs" / "airflow-versions.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->"
SMOKE = ("tests/provider", "tests/runs/test_layers.py", "tests/test_operations.py")
"""Tests that depend on the version of Airflow: operators, sensors, triggers, hook, connection, provider info."""


@dataclass(slots=True)
class Result:
    """The outcome of the tests in one environment. `skipped` counts by reason."""

    version: str
    airflow: str
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    expected_failures: int = 0
    seconds: float = 0.0
    crashed: str = ""

    @property
    def good(self) -> bool:
        """Return True if every test that ran has passed, and any ran."""
        return not self.failed and not self.crashed and self.passed > 0


def main() -> int:
    """Return the exit status: 0 if all tests pass on all versions."""
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("versions", nargs="*", choices=[*AIRFLOWS, LOWEST, []], metavar="VERSION")
    parser.add_argument("--smoke", action="store_true", help="only the tests that depend on the version of Airflow")
    parser.add_argument("--write", action="store_true", help=f"write the table into {DOCUMENT.name}")
    parser.add_argument("--set-up", action="store_true", help="make the environments, and run nothing")
    parser.add_argument("--workers", default="4", help="test processes at a time")
    arguments = parser.parse_args()
    versions = arguments.versions or list(AIRFLOWS)
    if arguments.write and (arguments.smoke or versions != list(AIRFLOWS)):
        parser.error("only the table of all tests on all versions is written")
    pythons = {version: environment(version) for version in versions}
    if arguments.set_up:
        return 0
    results = []
    for version, python in pythons.items():
        results.append(run(version, python, SMOKE if arguments.smoke else ("tests",), arguments.workers))
        print(as_text(results[-1]), flush=True)
    print(table(results))
    if arguments.write:
        write(results)
    return 0 if all(result.good for result in results) else 1


def environment(version: str) -> Path:
    """Return the Python of an environment, which is made if what it is made from has changed."""
    place, constraints = ROOT / ".venvs" / version, ROOT / "constraints" / f"{version}.txt"
    made_from = hashlib.sha256(constraints.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp, python = place / "made-from", place / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == made_from):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
        # Every package is pinned there: nothing is solved here.
        install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, "--requirement", str(constraints)], check=True)
        subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True)
        stamp.write_text(made_from)
    return python


def run(version: str, python: Path, tests: tuple[str, ...], workers: str) -> Result:
    """Return what the tests say in an environment."""
    airflow = _output(python, "-c", "import importlib.metadata as m; print(m.version('apache-airflow'))")
    report = ROOT / ".venvs" / f"{version}.xml"
    report.unlink(missing_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    began = time.monotonic()
    parallel = ["-n", workers, "--dist", "worksteal"]
    report_to = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
    command = [str(python), "-m", "pytest", *parallel, *report_to, *tests]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    result = Result(version, airflow, seconds=time.monotonic() - began)
    if not report.exists():
        result.crashed = (done.stdout + done.stderr)[-2000:]
        return result
    for case in ET.parse(report).getroot().iter("testcase"):  # our own file
        name = f"{case.get('file') or case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed.append(name)
        elif skipped is None:
            result.passed += 1
        elif skipped.get("type") == "pytest.xfail":
            result.expected_failures += 1
        else:
            result.skipped[reason(skipped)] += 1
    return result


def reason(skipped: ET.Element) -> str:
    """Return the reason of a skip as the test gives it; the message about a skipped file has it in the text alone."""
    message = skipped.get("message") or ""
    if message == "collection skipped":
        message = (skipped.text or "").rpartition("Skipped: ")[2].rstrip("')")
    return message.removeprefix("Skipped: ").strip() or "no reason given"


def as_text(result: Result) -> str:
    """Return a result as lines: the figures, and which tests failed."""
    lines = [
        f"Airflow {result.airflow} ({result.version}): {result.passed} passed, {len(result.failed)} failed,"
        f" {sum(result.skipped.values())} skipped, {result.seconds:.0f} s"
    ]
    lines += [f"  FAILED {name}" for name in result.failed]
    lines += [f"  {count} skipped: {why}" for why, count in sorted(result.skipped.items())]
    return "\n".join(lines + ([result.crashed] if result.crashed else []))


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = ["| Airflow | Passed | Failed | Skipped |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {result.airflow} | {result.passed} | {len(result.failed)} | {sum(result.skipped.values())} |"
        for result in results
    ]
    reasons = sorted({why for result in results for why in result.skipped})
    lines += ["", "| Skipped because | " + " | ".join(result.version for result in results) + " |"]
    lines += ["| --- |" + " --- |" * len(results)]
    for why in reasons:
        lines.append(f"| {why} | " + " | ".join(str(result.skipped[why] or "-") for result in results) + " |")
    return "\n".join(lines) + "\n"


def write(results: list[Result]) -> None:
    """Put the table into the documentation."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + BEGIN + table(results) + END + after)


def _output(*command: object) -> str:
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
