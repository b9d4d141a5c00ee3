"""End the remaining processes of a test run, however that ended: `python -m chaos.guard FOLDER`.

It waits until its parent closes its standard input or has ended, even by a SIGKILL. Then it ends every process that
works below the folder, and removes the folder.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def guarded(home: Path, keep: bool) -> Iterator[None]:
    """Guarantee that no process working below *home* outlives the block, or this process."""
    command = [sys.executable, "-m", "chaos.guard", str(home), *(["keep"] if keep else [])]
    # A session of its own: an interrupt from the terminal goes to all that belong to this one.
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guard.communicate()


def working_below(home: Path) -> list[psutil.Process]:
    """Return the processes whose working directory is the folder or below it."""
    found = []
    for process in psutil.process_iter():
        try:
            folder = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if folder == home or home in folder.parents:
            found.append(process)
    return found


def sweep(home: Path) -> None:
    """Kill every process below the folder; PostgreSQL by SIGQUIT, since it shares memory with its children."""
    until = time.monotonic() + 20
    signalled: set[int] = set()
    while (processes := working_below(home)) and time.monotonic() < until:
        for process in processes:
            try:
                is_postgres = process.name() == "postgres"
                if not is_postgres:
                    process.kill()
                elif process.pid not in signalled:
                    signalled.add(process.pid)
                    process.send_signal(signal.SIGQUIT)
            except psutil.Error:
                continue
        psutil.wait_procs(processes, timeout=1)
    for process in processes:
        process.kill()


def main(folder: str, *options: str) -> None:
    """Wait for the end of the run, then sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    home = Path(folder)
    sweep(home)
    if not options:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
