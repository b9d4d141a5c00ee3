"""Sensors that start in the triggerer: no worker is needed to defer what is known when the Dag is parsed.

Airflow stores the class and the arguments of the trigger with the Dag. When the task is scheduled, the scheduler itself
puts it into the state deferred (`start_from_trigger`). `execute` is never called then, so a sensor may only start in
this way if `execute` would do nothing else than to defer:

- The id of the resource and all that says which run is meant are literal. A name would have to be looked up, and
  a template to be rendered: the triggerer could render some, but not what is read from XComs.
- Nothing is to be called on a worker before: `pre_execute`, `on_execute_callback`.
- There is no `execution_timeout`. Airflow counts it as a time-out of the deferral, with no time left for the trigger to
  say how far the run has come.
- The triggers of the task may run in any triggerer: the scheduler does not hand on the queue of the task.

Airflow 3.1 and 3.2 ignore the setting. Airflow 2.11 and 3.0 have an earlier form of it, in which the scheduler renders
the context of the task; it is not used, so sensors are started by a worker before 3.3. So are mapped sensors: for them
Airflow reads the setting of the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_qlik.compat import renders_in_triggerer
from airflow_provider_qlik.lifecycle.deferral import DEFERRAL_TIMEOUT_MARGIN, Deferral, as_text
from airflow_provider_qlik.lifecycle.resources import literal
from airflow_provider_qlik.lifecycle.xcom import pull, push
from airflow_provider_qlik.validation import InvalidArgumentError, checked_id, checked_moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_qlik.sensors.run import QlikRunSensor

DEFERRAL_KEY = "qlik_deferral"
"""The XCom that holds what the two halves of a deferral share."""
MAX_TIMEOUT = timedelta(days=3650).total_seconds()
"""Seconds of the longest time-out of a sensor that starts in the triggerer: the sum with a date must be a date."""
TRIGGER = "airflow_provider_qlik.triggers.sensor.QlikSensorTrigger"


def can_start_in_triggerer(sensor: QlikRunSensor) -> bool:
    """Return True if `execute` of a sensor would do nothing else than to defer with arguments that are known now."""
    return (
        renders_in_triggerer()
        and sensor.deferrable
        and literal(getattr(sensor, sensor.id_argument))
        and (sensor.run_id is None or literal(sensor.run_id))
        and (sensor.started_after is None or _is_moment(sensor.started_after))
        and literal(sensor.qlik_conn_id)
        and sensor.execution_timeout is None
        and sensor.timeout is not None
        and sensor.timeout <= MAX_TIMEOUT
        and not _calls_before_execute(sensor)
        and not conf.getboolean("triggerer", "queues_enabled", fallback=False)
    )


def _is_moment(value: object) -> bool:
    """Return True if a value is a moment already. What is none is refused on a worker, with the task's own log."""
    try:
        checked_moment("started_after", value)
    except InvalidArgumentError:
        return False
    return True


def _calls_before_execute(sensor: QlikRunSensor) -> bool:
    overridden = type(sensor).pre_execute is not BaseOperator.pre_execute
    return overridden or sensor._pre_execute_hook is not None or bool(sensor.on_execute_callback)


def start_trigger_args(sensor: QlikRunSensor) -> StartTriggerArgs:
    """Return what Airflow stores with the Dag: the trigger, and the time-out of the deferral.

    Raises InvalidArgumentError.
    """
    after = sensor.started_after
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        trigger_kwargs={
            "kind": sensor.kind,
            "resource_id": checked_id(sensor.id_argument, getattr(sensor, sensor.id_argument)),
            "run_id": None if sensor.run_id is None else checked_id("run_id", sensor.run_id),
            "started_after": None if after is None else as_text(checked_moment("started_after", after)),
            **sensor.polling_arguments(),
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout) + DEFERRAL_TIMEOUT_MARGIN,
    )


def push_deferral(context: Context, resource_id: str, deferral: Deferral) -> None:
    """Push what `execute_complete` needs to know of the deferral."""
    push(context, DEFERRAL_KEY, {"resource_id": resource_id, "try_number": _try_number(context), **deferral.to_json()})


def pull_deferral(sensor: QlikRunSensor, context: Context) -> Mapping[str, Any] | None:
    """Return what the two halves of this deferral share, or None if that cannot be read.

    A sensor that has started in the triggerer has pushed nothing: its wait began when Airflow deferred the task
    instance, which has kept the moment as its start.
    """
    pushed = pull(context, DEFERRAL_KEY)
    readable = isinstance(pushed, Mapping) and isinstance(pushed.get("resource_id"), str)
    # Airflow deletes XComs when a worker starts an attempt; one that starts in the triggerer may find those of another.
    if readable and (not sensor.start_from_trigger or pushed.get("try_number") == _try_number(context)):
        found: Mapping[str, Any] = pushed
        return found
    if not sensor.start_from_trigger:
        return None
    resource_id = checked_id(sensor.id_argument, getattr(sensor, sensor.id_argument))
    deadline = context["ti"].start_date + timedelta(seconds=sensor.timeout)
    return {"resource_id": resource_id, **Deferral(deadline).to_json()}


def _try_number(context: Context) -> int | None:
    number: int | None = getattr(context["ti"], "try_number", None)
    return number
