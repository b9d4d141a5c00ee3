"""How requests, processor time and memory grow from a hundred to ten thousand waits in one event loop.

Each size waits for two minutes for runs that do not end meanwhile; a third each are tasks, automations and reports.

Memory is counted twice. What Python's objects take, in blocks, is exact. Resident memory, as seen from outside, holds
what no object takes, too: part of what the first hundred waits need is there already, left free by the warm-up. So
that is compared by what each further wait adds to it.
"""

from __future__ import annotations

from itertools import pairwise

from benchmarks import tenant as tenants
from benchmarks.plot import panels
from benchmarks.process import BulkResult, watch
from benchmarks.report import ROOT, Finding, Row, table
from benchmarks.servers import port_of, sandbox

SIZES = (100, 300, 1000, 3000, 10_000)
SECONDS = 120.0
LINEAR = 1.1
"""Grown by no more than this times what the waits have grown by: figures of a minute or two are not exact."""
PLOT = ROOT / "docs" / "growth.svg"


def measured(number: int, seconds: float) -> tuple[BulkResult, int, int]:
    """Return the measurements of so many waits for so many seconds, their requests, and how many met a rate limit."""
    with sandbox() as tenant:
        waits = tenants.add_waits(tenant, number, None)
        result = watch(
            "qlik",
            waits,
            environment=tenants.environment(tenant),
            port=port_of(tenant.url),
            warm_up=tenants.warm_up(tenant),
            seconds=seconds,
            before=tenant.clear_request_log,
        )
        by_operation, _, refused = tenants.requests(tenant)
    return result, sum(by_operation.values()), refused


def run(short: bool = False) -> dict[str, Finding]:
    """Return the section that this benchmark writes, with its plot."""
    seconds, sizes = (20.0, SIZES[:3]) if short else (SECONDS, SIZES)
    names = ("requests", "CPU, seconds", "memory, MB", "memory, thousand blocks")
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    lines: list[list[str]] = []
    refusals = 0
    for number in sizes:
        result, requests, refused = measured(number, seconds)
        refusals += refused
        of = (float(requests), result.cpu, result.grown / 2**20, result.blocks / 1000)
        for points, value in zip(figures.values(), of, strict=True):
            points.append((number, value))
        lines.append(
            [
                str(number),
                str(requests),
                f"{result.cpu:.2f}",
                f"{of[2]:.1f}",
                f"{requests / number:.2f}",
                f"{1000 * result.cpu / number:.1f}",
                f"{result.bytes_each / 1024:.1f}",
                f"{result.blocks / number:.1f}",
                str(result.connections),
            ]
        )
        print(lines[-1], result.failed[:3], flush=True)
    headings = (
        *("Waits", "Requests", "CPU, s", "Memory, MB", "Requests each", "CPU each, ms", "Memory each, KB"),
        "Blocks each",
    )
    finding = Finding(
        about=f"{seconds:.0f} s for each size.\n\n"
        + table((*headings, "Connections"), lines)
        + "\n\n![Requests, CPU and memory by the number of waits](growth.svg)"
    )
    finding.rows.append(Row("responses 429, all sizes", "0", str(refusals), "", refusals == 0))
    resident = figures["memory, MB"]
    for name, points in figures.items():
        if points is resident:
            continue
        for (few, little), (many, much) in ((points[0], points[-1]), (points[-2], points[-1])):
            ratio = much / little / (many / few)
            finding.rows.append(
                Row(
                    f"{name}, {few:.0f} → {many:.0f} waits",
                    f"at most {many / few:.1f} times",
                    f"{much / little:.1f} times",
                    f"{ratio:.2f}",
                    ratio <= LINEAR,
                )
            )
    added = [1024 * (much - little) / (many - few) for (few, little), (many, much) in pairwise(resident)]
    finding.rows.append(
        Row(
            "resident memory, KB for each wait that is added",
            f"at most {LINEAR} times the first",
            " / ".join(f"{each:.1f}" for each in added),
            f"{max(added) / added[0]:.2f}",
            max(added) <= LINEAR * added[0],
        )
    )
    if not short:
        del figures["memory, thousand blocks"]
        each = {name: [(number, value / number) for number, value in points] for name, points in figures.items()}
        scaled = {
            "requests": each["requests"],
            "CPU, ms": [(number, 1000 * value) for number, value in each["CPU, seconds"]],
            "memory, KB": [(number, 1024 * value) for number, value in each["memory, MB"]],
        }
        PLOT.write_text(panels([("In all", figures), ("Per wait", scaled)]), encoding="utf-8")
    return {"growth": finding}
