"""Qlik Cloud without Airflow: its operations (`api`), their responses (`models`), and the clients (`transport`)."""

from airflow_provider_qlik.cloud.call import Call
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
from airflow_provider_qlik.cloud.flow import Flow, Pause, pause, send
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
    "BadRequestError",
    "Call",
    "Client",
    "ClientCredentials",
    "ConflictError",
    "ConnectError",
    "Credentials",
    "Flow",
    "ForbiddenError",
    "Impersonation",
    "InvalidArgumentError",
    "InvalidResponseError",
    "NoResponseError",
    "NotFoundError",
    "Pause",
    "PrivateKey",
    "QlikCloudError",
    "RetryPolicy",
    "ServerError",
    "StatusError",
    "Tenant",
    "TooManyRequestsError",
    "UnauthorizedError",
    "pause",
    "send",
]
