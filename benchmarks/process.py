"""Measure many waits from outside their process: its memory and its connections, without any code inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ESTABLISHED = "01"
SAMPLE_INTERVAL = 0.25
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The measurements of many waits."""

    waits: int
    ended: list[tuple[int, float, Any]]
    """Number of the wait, time of its event (seconds since the epoch), outcome."""
    unfinished: int
    failed: list[str]
    cpu: float
    seconds: float
    lag_p50: float
    lag_p99: float
    lag_max: float
    blocks: float
    """Python's blocks of memory in the median of the second half of the time, over those before the first wait."""
    connections: int
    """Open at the same time, at most."""
    grown: int
    """Bytes of resident memory at most, over those before the first wait."""
    log_lines: list[str]
    """The log lines of level WARNING and above."""

    @property
    def bytes_each(self) -> float:
        """Return the memory per wait in bytes."""
        return self.grown / self.waits


def watch(
    method: str,
    waits: list[dict[str, Any]],
    *,
    environment: Mapping[str, str],
    port: int,
    warm_up: list[dict[str, Any]] | None = None,
    seconds: float | None = None,
    before: Callable[[], object] = lambda: None,
) -> BulkResult:
    """Start waits at once in a process of their own, after *before* has returned, and return the measurements."""
    arguments = json.dumps({"waits": waits, "warm_up": warm_up or [], "seconds": seconds})
    command = [sys.executable, "-m", "benchmarks.event_loop", method]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING", **environment},
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _send(process, arguments)
            _read_until(process, "ready")
            before()
            sampler = _Sampler(process.pid, port)
            _send(process, "go")
            log_lines = _read_until(process, "done")
            sampler.end()
            *_, line = process.stdout
        finally:
            process.kill()
    outcome = json.loads(line)
    outcome["ended"] = [tuple(each) for each in outcome["ended"]]
    return BulkResult(
        waits=len(waits),
        connections=sampler.connections,
        grown=sampler.highest - sampler.first,
        log_lines=log_lines,
        **outcome,
    )


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _read_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Return the lines before that word."""
    assert process.stdout is not None
    log_lines: list[str] = []
    for line in process.stdout:
        if line.strip() == word:
            return log_lines
        log_lines.append(line)
    raise RuntimeError(f"the process ended before it printed {word}")


class _Sampler:
    """Samples a process at intervals, in a thread."""

    def __init__(self, pid: int, port: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self._remote = f":{port:04X}"
        self.first = self.highest = self._resident()
        self.connections = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _resident(self) -> int:
        return int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _open_connections(self) -> int:
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(line[2].endswith(self._remote) and line[3] == ESTABLISHED for line in lines)

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_INTERVAL):
            self.highest = max(self.highest, self._resident())
            self.connections = max(self.connections, self._open_connections())

    def end(self) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()
