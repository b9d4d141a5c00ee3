"""The provider info, which Airflow reads in every process: standard library only."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik import __version__
from airflow_provider_qlik.connection import CONNECTION_NAME, CONNECTION_TYPE, conn_fields, field_behaviour

_PACKAGE = "airflow_provider_qlik"
_INTEGRATION = "Qlik Cloud"


def get_provider_info() -> dict[str, Any]:
    """Return the provider info, valid against Airflow's `provider_info.schema.json`."""

    def modules(*names: str) -> list[dict[str, Any]]:
        return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]

    asset_uris = [
        {
            "schemes": ["qlik"],
            "handler": f"{_PACKAGE}.assets.uri.sanitize_uri",
            "factory": f"{_PACKAGE}.assets.factories.create_asset",
            "to_openlineage_converter": f"{_PACKAGE}.assets.uri.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "airflow-provider-qlik",
        "name": "Qlik Cloud",
        "description": "Run tasks, automations, reloads and reports of Qlik Cloud, and wait for their outcome.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://qlik.dev/apis/rest/",
                "tags": ["service"],
            }
        ],
        "operators": modules(
            "operators.tasks",
            "operators.automations",
            "operators.reloads",
            "operators.sharing_tasks",
            "operators.call",
        ),
        "sensors": modules(
            "sensors.tasks",
            "sensors.automations",
            "sensors.reloads",
            "sensors.sharing_tasks",
            "sensors.reload_tasks",
        ),
        "hooks": modules("hooks.qlik_cloud"),
        "triggers": modules("triggers.run", "triggers.run_event", "triggers.sensor", "triggers.task_chain"),
        # Airflow 3.2 and later; earlier versions ignore it.
        "cli": [f"{_PACKAGE}.cli.definition.get_qlik_cli_commands"],
        "notifications": [f"{_PACKAGE}.notifications.automation.QlikAutomationNotifier"],
        "asset-uris": asset_uris,
        # The same for Airflow 2.
        "dataset-uris": asset_uris,
        "extra-links": [f"{_PACKAGE}.links.run.QlikRunLink"],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.qlik_cloud.QlikCloudHook",
                "hook-name": CONNECTION_NAME,
                "ui-field-behaviour": field_behaviour("hidden-fields"),
                "conn-fields": conn_fields(),
            }
        ],
    }
