"""The notifier that runs an automation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.notifier import BaseNotifier

from airflow_provider_qlik.connection import DEFAULT_CONNECTION_ID
from airflow_provider_qlik.imports import load_modules
from airflow_provider_qlik.lifecycle.failures import message
from airflow_provider_qlik.lifecycle.resources import AutomationArguments
from airflow_provider_qlik.lifecycle.task_log import log_callback, write
from airflow_provider_qlik.text import REASON_LENGTH, printable
from airflow_provider_qlik.validation import InvalidArgumentError, checked_name, checked_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.cloud.transport.tenant import Tenant
    from airflow_provider_qlik.lifecycle.automation_start import AutomationStart
    from airflow_provider_qlik.runs import Run

MODULES = ("airflow_provider_qlik.hooks.qlik_cloud", "airflow_provider_qlik.lifecycle.automation_start")
"""Modules that a start needs and a Dag file does not."""


class QlikAutomationNotifier(AutomationArguments, BaseNotifier):
    """Run an automation when a task or a Dag fails or succeeds, or when a deadline is missed.

    Give it as `on_failure_callback`, `on_success_callback` or the like, or as the callback of a deadline alert, by its
    class: ``AsyncCallback(QlikAutomationNotifier, kwargs={"automation_id": …})`` (Airflow 3.1 and later), or
    ``SyncCallback`` (3.2 and later).

    The automation is started once and not waited for. A start whose response is lost is not repeated, since it may have
    been executed. Whatever goes wrong is an ERROR in the log, with the reason, and never an exception.

    :param automation_id: the id of the automation.
    :param automation_name: its name instead.
    :param space_name: the space of the automation, beside its name.
    :param inputs: the values of its input blocks. They need an automation in run mode "triggered". Values that are no
        JSON, such as a datetime, become texts.
    :param qlik_conn_id: the Airflow connection.
    :param timeout: seconds for all requests together.
    :param context: the context, which Airflow passes to the callback of a deadline.

    All but the last two are template fields. The context of a deadline has ``dag_run`` and ``deadline`` only: where a
    template of `inputs` names what the context lacks, the text says so. Airflow stores the arguments of a deadline's
    callback in its database, unencrypted.
    """

    template_fields: Sequence[str] = (*AutomationArguments.arguments(), "inputs", "qlik_conn_id")

    def __init__(
        self,
        *,
        automation_id: str | None = None,
        automation_name: str | None = None,
        space_name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        qlik_conn_id: str = DEFAULT_CONNECTION_ID,
        timeout: float | timedelta = 30.0,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        # Airflow before 3.1 has no argument for it.
        self.context = context or {}
        self.automation_id = automation_id
        self.automation_name = automation_name
        self.space_name = space_name
        self.inputs = inputs
        self.qlik_conn_id = qlik_conn_id
        self.timeout = checked_seconds("timeout", timeout, least=1.0)
        self._unrendered: InvalidArgumentError | None = None
        self.check_resource()
        if inputs is not None:
            _checked_inputs(inputs)

    # Called by Airflow

    def __call__(self, *args: Any) -> None:
        """Render the templates and start the automation; called with the context."""
        # On a copy: the templates of this one are needed again, where it is the callback of several tasks.
        notifier = copy(self)
        try:
            BaseNotifier.__call__(notifier, *args)
        except Exception as error:  # a callback must not fail: Airflow has more of them to call
            notifier._log_failure(error, None, {})

    def __await__(self) -> Generator[Any, None, None]:
        """Render the templates and start the automation, without blocking the event loop."""
        return copy(self)._render_and_notify().__await__()

    def notify(self, context: Context) -> None:
        """Start the automation. Nothing is raised: a failure is an ERROR in the log."""
        start: AutomationStart | None = None
        try:
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

            start = self._start()
            with QlikCloudHook(self.qlik_conn_id) as hook:
                deadline = datetime.now(UTC) + timedelta(seconds=self.timeout)
                run = hook.run_flow(start.flow(log_callback(self.log)), start.retry_policy, deadline=deadline)
                self._log_start(start, run, hook.get_conn().tenant, context)
        except Exception as error:  # as above
            self._log_failure(error, start, context)

    async def async_notify(self, context: Context) -> None:
        """Start the automation as `notify` does, without blocking the event loop."""
        start: AutomationStart | None = None
        try:
            await load_modules(*MODULES)
            from airflow_provider_qlik.hooks.qlik_cloud import QlikCloudHook

            start = self._start()
            async with QlikCloudHook(self.qlik_conn_id) as hook:
                try:
                    async with asyncio.timeout(self.timeout) as limit:
                        run = await hook.arun_flow(start.flow(log_callback(self.log)), start.retry_policy)
                except TimeoutError as error:
                    raise (start.timed_out() if limit.expired() else error) from None
                self._log_start(start, run, (await hook.get_async_conn()).tenant, context)
        except Exception as error:  # as above
            self._log_failure(error, start, context)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the templates in place. Those of `inputs` never fail, see `lifecycle.partial_templates`."""
        import jinja2

        from airflow_provider_qlik.lifecycle.partial_templates import MissingValue, rendered

        dag: Any = context.get("dag")
        # Where the scheduler calls a callback, as in `dag.test()`, it passes its own form of the Dag, which has none.
        environment = jinja_env or self.get_template_env(dag=dag if hasattr(dag, "get_template_env") else None)
        lenient, strict = (environment.overlay(undefined=each) for each in (MissingValue, jinja2.StrictUndefined))
        self.inputs = rendered(self.inputs, lambda text: self.render_template(text, context, lenient))
        for name in self.template_fields:
            if name == "inputs" or not isinstance(template := getattr(self, name), str):
                continue
            try:
                setattr(self, name, self.render_template(template, context, strict))
            except Exception as error:  # a template may call anything
                reason = f"the template {template!r} cannot be rendered for this callback: {error}"
                self._unrendered = self._unrendered or InvalidArgumentError(name, None, reason)

    # Steps

    async def _render_and_notify(self) -> None:
        try:
            self._update_context(self.context)
            self.render_template_fields(self.context)
        except Exception as error:  # as above
            self._log_failure(error, None, self.context)
        else:
            await self.async_notify(self.context)

    def _start(self) -> AutomationStart:
        """Return the start that the rendered arguments describe. Raises InvalidArgumentError."""
        from airflow_provider_qlik.lifecycle.automation_start import AutomationStart

        if self._unrendered is not None:
            raise self._unrendered
        self.read_resource()
        self.qlik_conn_id = checked_name("qlik_conn_id", self.qlik_conn_id)
        return AutomationStart(
            automation_id=self.automation_id,
            automation_name=self.automation_name,
            space_name=self.space_name,
            inputs=None if self.inputs is None else _as_json(_checked_inputs(self.inputs)),
            timeout=self.timeout,
        )

    def _log_start(self, start: AutomationStart, run: Run | None, tenant: Tenant, context: Context) -> None:
        link = f"{tenant.url}/automations/{start.automation_id}"
        what = f"Started: {run}" if run is not None else "Started an automation with inputs"
        write(self.log, logging.INFO, f"{what}. {link} ({self._identifiers(start, context)})")

    def _log_failure(self, error: Exception, start: AutomationStart | None, context: Context) -> None:
        what = "The automation was not started"
        if start is not None and getattr(error, "outcome_unknown", False):
            from airflow_provider_qlik.cloud.errors import NoResponseError

            what = "The automation may have been started, and was not started again: look at its runs in Qlik Cloud"
            if self.inputs is not None and isinstance(error, NoResponseError):
                # Qlik's help says so of automations in run mode "triggered".
                what += ". One that is not set to run asynchronously answers at its end only"
        reason = message(error).rstrip(". ") or type(error).__name__
        text = f"{reason}. {what} ({self._identifiers(start, context)})"
        write(self.log, logging.ERROR, text)

    def _identifiers(self, start: AutomationStart | None, context: Context) -> str:
        """Return the ids that tell which start this was, and for what."""
        by_id = (start and start.automation_id) or self.automation_id
        automation = f"automation {by_id}" if by_id is not None else f"automation {self.automation_name!r}"
        dag_run: Any = context.get("dag_run")
        task_instance: Any = context.get("ti")
        found = {
            "connection": self.qlik_conn_id,
            "Dag": _member(dag_run, "dag_id") or _member(context.get("dag"), "dag_id"),
            "Dag run": _member(dag_run, "run_id") or context.get("run_id"),
            "task": _member(task_instance, "task_id"),
        }
        names = (f"{what} {str(name)!r}" for what, name in found.items() if name)
        return printable(", ".join((automation, *names)), 4 * REASON_LENGTH)


def _checked_inputs(inputs: object) -> dict[str, Any]:
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise InvalidArgumentError("inputs", inputs, "a mapping of names to values")
    return dict(inputs)


def _as_json(inputs: dict[str, Any]) -> Any:
    """Return the inputs as plain JSON; values of other types, such as a datetime, become texts."""
    try:
        return json.loads(json.dumps(inputs, default=str, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError("inputs", None, f"must be writable as JSON ({error})") from None


def _member(value: Any, name: str) -> Any:
    """Return an attribute of an object, or the item of a mapping: a deadline's Dag run is plain JSON."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
