"""The Users family, as far as it is needed. https://qlik.dev/apis/rest/users/"""

from __future__ import annotations

from airflow_provider_qlik.cloud.call import Call, Family, Tier
from airflow_provider_qlik.cloud.models.users import User

_FAMILY = Family("/api/v1/users", reading=Tier.ONE, writing=Tier.TWO)


def me() -> Call[User]:
    """The user we are signed in as; documented as a redirect to the user's own page."""
    return _FAMILY.call("get_me", "GET", "/me", User, follows_redirect=True)
