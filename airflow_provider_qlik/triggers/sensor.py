"""The trigger of a sensor that starts in the triggerer, without a worker (Airflow 3.3 and later)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_qlik.lifecycle.deferral import DEFERRAL_TIMEOUT_MARGIN, as_text
from airflow_provider_qlik.triggers.run import QlikRunTrigger

if TYPE_CHECKING:
    from airflow_provider_qlik.lifecycle.trigger_event import RunEvent


class QlikSensorTrigger(QlikRunTrigger):
    """Wait for the run of a sensor that Airflow has deferred itself, when its task was scheduled.

    Its arguments are stored with the Dag, so they cannot contain a deadline. It is that of Airflow's deferral, which
    Airflow stores with the task instance, less the margin: so it stays the same when the triggerer is restarted.
    The arguments are those of `QlikRunTrigger`.
    """

    timeout_after: datetime | None = None
    """The moment at which Airflow ends the deferral. A triggerer sets it when it has made the trigger."""

    async def _wait(self) -> RunEvent:
        if self.deadline is None and self.timeout_after is not None:
            moment = self.timeout_after if self.timeout_after.tzinfo else self.timeout_after.replace(tzinfo=UTC)
            self.deadline = as_text(moment - DEFERRAL_TIMEOUT_MARGIN)
        return await super()._wait()
