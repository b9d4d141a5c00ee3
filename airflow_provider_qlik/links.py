"""The button on a task that leads to Qlik's own page about its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_qlik.text import storable

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

LINK_KEY = "qlik_link"
"""The XCom that holds the link: pushed as soon as there is a run, so that the button works while it goes on."""


class QlikRunLink(BaseOperatorLink):
    """Qlik's page about the app, automation or task of the run."""

    name = "Qlik Cloud"

    @property
    def xcom_key(self) -> str:
        """Where the link is."""
        return LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The link, or an empty text where no run has started."""
        # When a task ends Airflow asks once more and stores the answer: the one who just ran need not look it up.
        if hasattr(operator, "link"):
            return storable(str(operator.link or ""))
        from airflow.providers.common.compat.sdk import XCom

        return storable(str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""))
