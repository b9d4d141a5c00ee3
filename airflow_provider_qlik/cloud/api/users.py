"""The operations of the Users family that are needed here. https://qlik.dev/apis/rest/users/"""

from __future__ import annotations

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.users import User

_FAMILY = Family("/api/v1/users", reading=Tier.ONE, writing=Tier.TWO)


def me() -> Call[User]:
    """Get the user of the credentials; documented as a redirect to the user's own page."""
    return _FAMILY.call("get_me", "GET", "/me", User, follows_redirect=True)
