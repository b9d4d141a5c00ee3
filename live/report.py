"""The report, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from airflow_provider_qlik import __version__
from airflow_provider_qlik.cloud.transport.base_client import API_VERSION
from airflow_provider_qlik.text import printable
from live.comparison import MISSING, NULL, TYPE, UNKNOWN, WORD
from live.questions import QUESTIONS, Observations
from live.recording import HEADERS

MAX_HEADER = 100
"""Characters of a header that are shown."""


def markdown(observations: Observations, failures: Sequence[str]) -> str:
    """Return the report on the observations of a tenant; *failures* are lines about calls that failed."""
    parts = [
        "# A tenant of Qlik Cloud, compared with airflow-provider-qlik",
        f"Version {__version__}, {date.today().isoformat()}, `qlik-api-version: {API_VERSION}` was sent."
        " This report holds names and types of members, Qlik's words and headers, and no other values.",
        *_section("Requests", _requests(observations)),
        *_section("Failed requests", [f"- {line}" for line in failures] or ["None."]),
        *_section("Real runs", _runs(observations)),
        *_section("Members that the models do not know", _differences(observations, "JSON type", UNKNOWN)),
        "Items, spaces and users are read in part: only the members that names and rights need.",
        *_section(
            "Required members that are missing or null", _differences(observations, "Required by", MISSING, NULL)
        ),
        *_section("Members of another type", _differences(observations, "Type", TYPE)),
        *_section("Words that are not listed", _differences(observations, "Word", WORD)),
        *_section("Open questions", _questions(observations)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> tuple[str, str]:
    return f"## {title}", "\n".join(lines)


def _requests(observations: Observations) -> list[str]:
    recording = observations.recording
    rows = []
    for name, counts in sorted(recording.counts.items()):
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
        seen_headers = recording.headers.get(name, {})
        headers = "; ".join(
            f"{header}: {printable(value, MAX_HEADER)}"
            for header in HEADERS
            for value in sorted(seen_headers.get(header, ()))
        )
        rows.append((f"`{name}`", recording.requests[name], statuses, headers))
    return _table(("Operation", "Request", "Responses", "Headers"), rows)


def _runs(observations: Observations) -> list[str]:
    rows = []
    for real in observations.runs:
        run = real.run
        seconds = "" if run is None or run.seconds is None else f"{run.seconds:.1f}"
        note = " ".join(filter(None, (real.problem, "It may still be active." if real.may_be_active else "")))
        rows.append((real.kind, str(run.state) if run else "none", seconds, str(real.log_lines), note))
    return _table(("Kind", "State", "Seconds", "Lines of its log", "Note"), rows)


def _differences(observations: Observations, detail: str, *kinds: str) -> list[str]:
    rows = [
        (f"`{found.operation}`", f"`{found.path}`", found.kind, found.detail, str(count))
        for found, count in observations.recording.findings.of(*kinds)
    ]
    return _table(("Operation", "Path", "Kind", detail, "Times"), rows)


def _questions(observations: Observations) -> list[str]:
    rows = []
    for question in QUESTIONS:
        answer = question.answer(observations)
        rows.append((question.text, "not observed" if answer is None else f"observed: {answer}"))
    return _table(("Question", "Answer"), rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(headings), _line(["---"] * len(headings)), *map(_line, rows)] if rows else ["None."]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
