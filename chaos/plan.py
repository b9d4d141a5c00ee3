"""The tasks of each scenario, for its Dag and its tenant."""

from __future__ import annotations

from chaos.bulk import ADAPTERS, bulk
from chaos.features import API_SERVER, STORE

# Workers are killed before a response, before the run is stored, and while they wait.
# Where Airflow stores nothing between tries, the next try recognises the run by its marker alone.
_FOUND_AGAIN = dict.fromkeys(ADAPTERS if STORE else ("task",), 1)
UNANSWERED, WAITING = bulk("unanswered", **_FOUND_AGAIN), bulk("waiting", **_FOUND_AGAIN)
# A worker of Airflow 2 writes into the database itself: there is no server to freeze between the two.
UNSTORED = bulk("unstored", **_FOUND_AGAIN) if API_SERVER else []

# Fifty waits in one triggerer. Those that fail do so in Qlik Cloud; those that are watched were started by others.
SHORT = bulk("short", task=5, automation=5, reload=4, sharing_task=3)
LONG = bulk("long", task=5, automation=5, reload=4, sharing_task=3)
FAILING = bulk("failing", task=4, automation=4, reload=3, sharing_task=1)
WATCHED = bulk("watched", task=2, automation=2)
ALONE = [*SHORT, *LONG, *FAILING]

# Waits of two triggerers.
PAIR = bulk("pair", 8)

# One new wait for each triggerer at the end of a scenario, by its queue.
QUEUES = ("workers", "alone", "pair", "users", "timeouts", "outages", "secrets", "texts", "keys", "pages", "kills")
FRESH = bulk("fresh", 1)

# What users do with deferred tasks, and with some that had succeeded.
MARKED_FAILED, MARKED_SUCCESS, CLEARED = bulk("failed", 5), bulk("passed", 5), bulk("cleared", 5)
SUCCEEDED = bulk("succeeded", 1)
# A task of Airflow 2 needs twice the CPU before it defers.
_MANY = 150 if API_SERVER else 50
MANY_TASKS, MANY_AUTOMATIONS = bulk("many", task=_MANY), bulk("many", automation=_MANY)

# Deadlines expire: that of the trigger; that of Airflow, with a triggerer; that of Airflow, without one.
OWN_LIMIT, AIRFLOWS_LIMIT, NO_TRIGGERER = bulk("own", 1), bulk("theirs", 1), bulk("nobody", 1)

# Waits through an outage, deferred and on workers. The early ones end in Qlik Cloud while it is unavailable.
EARLY_DEFERRED, LATE_DEFERRED = bulk("early_deferred", 2), bulk("late_deferred", 2)
EARLY_ON_WORKERS, LATE_ON_WORKERS = bulk("early_held", 1), bulk("late_held", 1)

# Waits while tokens are revoked and the secret is rotated.
DEFERRED, ON_WORKERS = bulk("deferred", 2), bulk("held", 1)

# Runs that fail with texts that PostgreSQL refuses, runs that succeed under such names, and runs without them.
ODD_FAILING, ODD_NAMED = bulk("odd_failing", 2), bulk("odd_named", 1)
ODD_WATCHED = bulk("odd_watched", task=1)
HEALTHY, NEXT = bulk("healthy", 2), bulk("next", 1)

# Waits while a mistyped key is saved; two of them are marked failed meanwhile. Waits while the secret is rotated.
MISTYPED_DEFERRED, MISTYPED_MARKED = bulk("mistyped_deferred", task=6, automation=6, reload=6), bulk("marked", task=2)
MISTYPED_ON_WORKERS = bulk("mistyped_held", task=1, automation=1)
ROTATED_DEFERRED, ROTATED_ON_WORKERS = bulk("rotated_deferred", 1), bulk("rotated_held", task=1, automation=1)

# Waits and starts while a proxy responds in place of the tenant.
PAGES_DEFERRED, PAGES_ON_WORKERS = bulk("pages_deferred", 3), bulk("pages_held", 1)
PAGES_STARTED_DEFERRED, PAGES_STARTED_ON_WORKERS = bulk("pages_started", 1), bulk("pages_started_held", 1)

# A thousand runs that are to be cancelled at once.
THOUSAND = bulk("thousand", automation=1000)

# Automations whose ends start Dags, by watchers of assets. Seconds between two polls.
WATCHED_AUTOMATION, WATCHED_AUTOMATIONS = "ended_alone", tuple(f"ended_{number}" for number in range(50))
WATCH_INTERVAL = 5.0
