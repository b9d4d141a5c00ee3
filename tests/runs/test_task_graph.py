"""The tasks of a chain, made of the graph that Qlik Cloud shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_qlik.cloud.models.scheduling import TaskGraph
from airflow_provider_qlik.cloud.models.shape import Reply
from airflow_provider_qlik.runs.run import RunState
from airflow_provider_qlik.runs.task_graph import ChainedTask, Expectation, TaskTrigger, chained_tasks

S, F, C = RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED
STARTS, MAY_START, NOT = Expectation.STARTS, Expectation.MAY_START, Expectation.DOES_NOT_START


def graph(shown: dict[str, list[str]], hidden: dict[str, list[str]], *, to_root: bool = True) -> TaskGraph:
    """Return the graph of task a, from the parents of tasks that show their members and of those that do not."""
    parents = {**shown, **hidden}
    depths, wave = {"a": 0}, ["a"]
    while wave:
        found = [id for id in parents for parent in parents[id] if parent in wave and id not in depths]
        depths.update(dict.fromkeys(found, depths[wave[0]] + 1))
        wave = found
    vertices: list[dict[str, Any]] = []
    for id in parents:
        vertex: dict[str, Any] = {"taskId": id, "attrs": {"depth": depths[id]}}
        if id in shown:
            event = {"type": "com.qlik.v1.task.run.finished"}
            events = [
                {**event, "correlation": [{"contextAttributeName": "id", "contextAttributeValue": parent}]}
                for parent in parents[id]
            ]
            vertex["task"] = {"name": id.upper(), "specVersion": "1", "enabled": True, "events": events}
        vertices.append(vertex)
    pairs = [(id, parent) if to_root else (parent, id) for id in parents for parent in parents[id]]
    edges = [{"source": source, "target": target} for source, target in pairs]
    content = json.dumps({"taskId": "a", "vertices": vertices, "edges": edges})
    return TaskGraph.from_reply(Reply(200, content=content.encode()))


@pytest.mark.parametrize("to_root", [True, False], ids=["edges to the root", "edges downstream"])
@pytest.mark.parametrize(
    ("shown", "hidden", "expected", "cut"),
    [
        ({"a": [], "b": ["a"], "c": ["b"]}, {}, {"a": [], "b": ["a"], "c": ["b"]}, {}),
        (
            {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
            {},
            {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
            {},
        ),
        ({"a": [], "c": ["b"]}, {"b": ["a"]}, {"a": [], "b": ["a"], "c": ["b"]}, {}),
        ({"a": []}, {"b": ["a"], "c": ["b"]}, {"a": [], "b": ["a"], "c": ["b"]}, {}),
        ({"a": ["b"], "b": ["a"]}, {}, {"a": [], "b": ["a"]}, {"a": ["b"]}),
        ({"a": ["a"]}, {}, {"a": []}, {"a": ["a"]}),
        ({"a": [], "b": ["a", "c"], "c": ["b"]}, {}, {"a": [], "b": ["a"], "c": ["b"]}, {"b": ["c"]}),
        # b and c are as far from a, and only the members of c say which of them comes first.
        ({"a": [], "b": ["a"], "c": ["a", "b"]}, {}, {"a": [], "b": ["a"], "c": ["a", "b"]}, {}),
    ],
    ids=["a line", "a diamond", "hidden", "two hidden", "a cycle", "a loop", "a cycle below", "a short cut"],
)
def test_tasks_come_after_their_parents_and_cycles_are_cut(
    shown: dict[str, list[str]],
    hidden: dict[str, list[str]],
    expected: dict[str, list[str]],
    cut: dict[str, list[str]],
    to_root: bool,
) -> None:
    tasks = chained_tasks(graph(shown, hidden, to_root=to_root), "a")

    assert {task.id: sorted(task.parents) for task in tasks} == expected
    assert {task.id: list(task.cut_parents) for task in tasks if task.cut_parents} == cut
    ids = [task.id for task in tasks]
    assert all(ids.index(parent) < ids.index(task.id) for task in tasks for parent in task.parents)
    assert {task.id: task.name for task in tasks} == {id: id.upper() if id in shown else None for id in ids}
    assert {task.id for task in tasks if not task.visible} == set(hidden)


@pytest.mark.parametrize(
    ("triggers", "any_trigger", "ends", "expected"),
    [
        ([("a", "succeeded")], True, {"a": [S]}, STARTS),
        ([("a", "succeeded")], True, {"a": [F]}, NOT),
        ([("a", "failed")], True, {"a": [F]}, STARTS),
        ([("a", "failed")], True, {"a": [C]}, MAY_START),
        ([("a", "succeeded")], True, {"a": [C]}, NOT),
        ([("a", None)], True, {"a": [C]}, STARTS),
        ([("a", "skipped")], True, {"a": [S]}, MAY_START),
        ([("a", None)], True, {"a": []}, NOT),
        ([("a", None), ("b", None)], True, {"a": [S], "b": []}, STARTS),
        ([("a", None), ("b", None)], False, {"a": [S], "b": []}, NOT),
        ([("a", None), ("b", None)], False, {"a": [S], "b": [F]}, STARTS),
        ([("a", None), ("b", None)], None, {"a": [S], "b": []}, MAY_START),
        ([("a", None), ("b", None)], None, {"a": [S], "b": [S]}, STARTS),
        ([("a", None), ("elsewhere", None)], False, {"a": [S]}, MAY_START),
        ([("a", None), ("elsewhere", None)], True, {"a": [S]}, STARTS),
        ([("a", "failed"), ("elsewhere", None)], True, {"a": [S]}, NOT),
        ([("a", "succeeded"), ("a", "failed")], True, {"a": [F]}, STARTS),
        ([], None, {"a": [F]}, MAY_START),
        ([], None, {"a": []}, NOT),
    ],
)
def test_a_task_is_expected_to_start_by_its_condition(
    triggers: list[tuple[str, str | None]],
    any_trigger: bool | None,
    ends: dict[str, list[RunState]],
    expected: Expectation,
) -> None:
    task = ChainedTask(
        id="c", triggers=tuple(TaskTrigger(*trigger) for trigger in triggers), any_trigger=any_trigger, parents=(*ends,)
    )

    assert task.expectation(ends) is expected
