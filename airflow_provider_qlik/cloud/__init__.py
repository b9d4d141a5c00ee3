"""Qlik Cloud without Airflow: what can be asked (`api`), what comes back (`models`), how it is sent (`client`)."""

from airflow_provider_qlik.cloud.async_client import AsyncClient
from airflow_provider_qlik.cloud.call import Call, Flow, Pause, ask, pause
from airflow_provider_qlik.cloud.client import Client
from airflow_provider_qlik.cloud.credentials import (
    ApiKey,
    ClientCredentials,
    Credentials,
    Impersonation,
    PrivateKey,
)
from airflow_provider_qlik.cloud.errors import (
    BadRequest,
    Conflict,
    CouldNotConnect,
    Forbidden,
    InvalidArgument,
    NoAnswer,
    NotFound,
    QlikCloudError,
    Refused,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
    UnreadableAnswer,
)
from airflow_provider_qlik.cloud.retry import Patience
from airflow_provider_qlik.cloud.tenant import Tenant

__all__ = [
    "ApiKey",
    "AsyncClient",
    "BadRequest",
    "Call",
    "Client",
    "ClientCredentials",
    "Conflict",
    "CouldNotConnect",
    "Credentials",
    "Flow",
    "Forbidden",
    "Impersonation",
    "InvalidArgument",
    "NoAnswer",
    "NotFound",
    "Patience",
    "Pause",
    "PrivateKey",
    "QlikCloudError",
    "Refused",
    "ServerFailed",
    "Tenant",
    "TooManyRequests",
    "Unauthorized",
    "UnreadableAnswer",
    "ask",
    "pause",
]
