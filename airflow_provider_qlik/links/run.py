"""The link from a task to Qlik's own page about its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_qlik.text import storable

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

LINK_KEY = "qlik_link"
"""The XCom that holds the link: pushed when the run has started, so that the button works while the run is active."""


class QlikRunLink(BaseOperatorLink):
    """Link to Qlik's page about the app, automation or task of the run."""

    name = "Qlik Cloud"

    @property
    def xcom_key(self) -> str:
        """Return the key of the XCom that holds the link."""
        return LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the link, or an empty text if no run has started."""
        # When a task ends, Airflow calls this on its worker and stores the result: no XCom is read there.
        if hasattr(operator, "link"):
            return storable(str(operator.link or ""))
        from airflow.providers.common.compat.sdk import XCom

        return storable(str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""))
