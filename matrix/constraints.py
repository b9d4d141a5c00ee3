"""Resolve the versions that `matrix` installs, into `constraints/`: `python -m matrix.constraints [VERSION ...]`.

An old Airflow does not run by itself with what its dependencies have become since, so each is solved as of the week
after its release. Not so the provider that bridges the versions of Airflow: users of an old one get it as it is today.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from matrix.__main__ import LOWEST, ROOT

BRIDGE = "apache-airflow-providers-common-compat"
OLD = {
    # The newest patch of each, a week after its release, and what must be installed beside it.
    "2.11": ("2.11.2", "2026-03-22", ()),
    # Its connection form needs WTForms, which comes with this provider.
    "3.0": ("3.0.6", "2025-09-06", ("apache-airflow-providers-fab",)),
    "3.1": ("3.1.8", "2026-03-19", ()),
    "3.2": ("3.2.2", "2026-06-06", ()),
}
LOWEST_DATE = "2025-08-01"


def solve(version: str) -> str:
    """Return the pinned requirements of a version, one a line."""
    airflow, date, more = OLD.get(version, ("", LOWEST_DATE, ()))
    selector = [f"{ROOT}[sandbox]", *more, *([f"apache-airflow=={airflow}"] if airflow else [])]
    options = ["--python-version", "3.11", "--exclude-newer", date, "--exclude-newer-package", f"{BRIDGE}=9999-01-01"]
    if version == LOWEST:
        options += ["--resolution", "lowest-direct"]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as requirements:
        requirements.write("\n".join(selector))
        requirements.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", *options]
        command += ["--group", f"{ROOT / 'pyproject.toml'}:test", requirements.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{version}: {done.stderr}")
    # This project itself is named by its folder.
    return "".join(line for line in done.stdout.splitlines(keepends=True) if "==" in line)


def main() -> int:
    """Write a file for each version."""
    for version in sys.argv[1:] or [*OLD, LOWEST]:
        place = Path(ROOT / "constraints" / f"{version}.txt")
        place.write_text(solve(version))
        print(f"{place.relative_to(ROOT)}: {len(place.read_text().splitlines())} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
