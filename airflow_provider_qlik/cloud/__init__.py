"""Qlik Cloud without Airflow: what can be asked (`api`), what comes back (`models`), how it is sent (`client`)."""

from airflow_provider_qlik.cloud.call import Call, Flow, Pause, ask, pause
from airflow_provider_qlik.cloud.errors import (
    BadRequestError,
    ConflictError,
    ConnectError,
    ForbiddenError,
    InvalidArgumentError,
    InvalidResponseError,
    NoResponseError,
    NotFoundError,
    QlikCloudError,
    ServerError,
    StatusError,
    TooManyRequestsError,
    UnauthorizedError,
)
from airflow_provider_qlik.cloud.transport.async_client import AsyncClient
from airflow_provider_qlik.cloud.transport.client import Client
from airflow_provider_qlik.cloud.transport.credentials import (
    ApiKey,
    ClientCredentials,
    Credentials,
    Impersonation,
    PrivateKey,
)
from airflow_provider_qlik.cloud.transport.retry import RetryPolicy
from airflow_provider_qlik.cloud.transport.tenant import Tenant

__all__ = [
    "ApiKey",
    "AsyncClient",
    "BadRequest",
    "Call",
    "Client",
    "ClientCredentials",
    "Conflict",
    "ConnectError",
    "Credentials",
    "Flow",
    "Forbidden",
    "Impersonation",
    "InvalidArgumentError",
    "InvalidResponseError",
    "NoResponseError",
    "NotFound",
    "Patience",
    "Pause",
    "PrivateKey",
    "QlikCloudError",
    "Refused",
    "ServerError",
    "Tenant",
    "TooManyRequestsError",
    "Unauthorized",
    "ask",
    "pause",
]
