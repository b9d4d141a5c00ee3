"""Templates of callbacks, whose context may lack what they name.

The context of a callback differs from caller to caller: a failed task has all of it, a failed Dag has less, and a
deadline has `dag_run` and `deadline` only. A notification with a gap is better than none, so a template is rendered
with a note in place of what is missing, and no error is raised. Airflow's own rendering raises, or leaves a blank.

Not imported when a Dag file is parsed: it imports Jinja.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from airflow_provider_qlik.text import REASON_LENGTH, shortened


class MissingValue(jinja2.Undefined):
    """The value of a name that the context does not have: the text "(ti.task_id is not available here)".

    Attributes, items and results of it are missing, too. The filter ``default`` replaces it.
    """

    # Jinja asks an object for marks of its own by attributes with two underscores, and by these.
    _MARKS = frozenset({"unsafe_callable", "alters_data", "jinja_pass_arg"})

    def __str__(self) -> str:
        return f"({self._undefined_name or 'a value'} is not available here)"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._MARKS:
            raise AttributeError(name)
        return MissingValue(name=f"{self._undefined_name}.{name}")

    def __getitem__(self, key: object) -> Any:
        return MissingValue(name=f"{self._undefined_name}[{key!r}]")

    def __call__(self, *_: object, **__: object) -> Any:
        return MissingValue(name=f"{self._undefined_name}()")


def rendered(value: Any, render: Callable[[str], Any]) -> Any:
    """Return a value with all templates in it rendered, at any depth; one that fails becomes a text that says why.

    :param render: renders one template.
    """
    if isinstance(value, str):
        try:
            result = render(value)
        except Exception as error:  # a template may call anything
            return f"(could not be rendered: {_reason(error)})"
        # Rendered to a native object, a missing value stays what it is.
        return str(result) if isinstance(result, jinja2.Undefined) else result
    if isinstance(value, Mapping):
        return {key: rendered(item, render) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(item, render) for item in value]
    return value


def _reason(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, REASON_LENGTH)
