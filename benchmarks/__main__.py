"""Measure, print tables and write `docs/performance.md`: `python -m benchmarks [NAME …] [--short]`."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.report import Finding, write_section

NAMES = ("parsing", "waits", "growth", "paging", "overhead", "download", "real_triggerer", "worker_starts")


def main() -> int:
    """Run the benchmarks, and return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--short", action="store_true", help="smaller and quicker, to try it; writes nothing")
    arguments = parser.parse_args()
    missed: list[str] = []
    for name in arguments.names or NAMES:
        findings: dict[str, Finding] = importlib.import_module(f"benchmarks.{name}").run(arguments.short)
        for section, finding in findings.items():
            print(f"\n{section}\n\n{finding.as_text()}", flush=True)
            if not arguments.short:
                write_section(section, finding.as_markdown())
            missed += [f"{section}: {row.metric}" for row in finding.missed]
    print("\nEvery goal was met." if not missed else "\nMissed:\n" + "\n".join(missed), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
