"""What each scenario runs: known to its Dag and to its tenant alike."""

from __future__ import annotations

from chaos.crowd import ADAPTERS, crowd
from chaos.features import API_SERVER, STORE

# Workers are killed before an answer, before it is kept, while waiting.
# Where Airflow keeps nothing from try to try, only the marker of a task's run tells the next try about it.
_FOUND_AGAIN = dict.fromkeys(ADAPTERS if STORE else ("task",), 1)
UNANSWERED, WAITING = crowd("unanswered", **_FOUND_AGAIN), crowd("waiting", **_FOUND_AGAIN)
# A worker of Airflow 2 writes into the database itself: there is no server to freeze between the two.
UNTOLD = crowd("untold", **_FOUND_AGAIN) if API_SERVER else []

# Fifty waits in one triggerer. Those that fail do so in Qlik Cloud; those that are watched were started by others.
SHORT = crowd("short", task=5, automation=5, reload=4, sharing_task=3)
LONG = crowd("long", task=5, automation=5, reload=4, sharing_task=3)
FAILING = crowd("failing", task=4, automation=4, reload=3, sharing_task=1)
WATCHED = crowd("watched", task=2, automation=2)
ALONE = [*SHORT, *LONG, *FAILING]

# Waits of two triggerers.
PAIR = crowd("pair", 8)

# One fresh wait for each triggerer that a scenario is through with, by its queue.
QUEUES = ("workers", "alone", "pair", "users", "timeouts", "outages", "secrets", "texts", "keys", "pages", "kills")
FRESH = crowd("fresh", 1)

# What users do with deferred tasks, and with some that had succeeded.
MARKED_FAILED, MARKED_SUCCESS, CLEARED = crowd("failed", 5), crowd("passed", 5), crowd("cleared", 5)
SUCCEEDED = crowd("succeeded", 1)
# Before it defers, a task of Airflow 2 costs twice the CPU.
_MANY = 150 if API_SERVER else 50
MANY_TASKS, MANY_AUTOMATIONS = crowd("many", task=_MANY), crowd("many", automation=_MANY)

# Time runs out: by the trigger's deadline; by Airflow's, with a triggerer that is well; by Airflow's, without one.
OWN_LIMIT, AIRFLOWS_LIMIT, NO_TRIGGERER = crowd("own", 1), crowd("theirs", 1), crowd("nobody", 1)

# Waits through an outage, deferred and on workers. The early ones end in Qlik Cloud while it is away.
EARLY_DEFERRED, LATE_DEFERRED = crowd("early_deferred", 2), crowd("late_deferred", 2)
EARLY_HELD, LATE_HELD = crowd("early_held", 1), crowd("late_held", 1)

# Waits while tokens are revoked and the secret is rotated.
DEFERRED, HELD = crowd("deferred", 2), crowd("held", 1)

# Texts that PostgreSQL refuses: of runs that fail with one, of runs that end well under such names, and of none.
ODD_FAILING, ODD_NAMED = crowd("odd_failing", 2), crowd("odd_named", 1)
ODD_WATCHED = crowd("odd_watched", task=1)
HEALTHY, NEXT = crowd("healthy", 2), crowd("next", 1)

# Waits while a mistyped key is saved; two of them are marked failed meanwhile. Waits while the secret is rotated.
MISTYPED_DEFERRED, MISTYPED_MARKED = crowd("mistyped_deferred", task=6, automation=6, reload=6), crowd("marked", task=2)
MISTYPED_HELD = crowd("mistyped_held", task=1, automation=1)
ROTATED_DEFERRED, ROTATED_HELD = crowd("rotated_deferred", 1), crowd("rotated_held", task=1, automation=1)

# Waits and starts while a proxy answers for the tenant.
PAGES_DEFERRED, PAGES_HELD = crowd("pages_deferred", 3), crowd("pages_held", 1)
PAGES_STARTED_DEFERRED, PAGES_STARTED_HELD = crowd("pages_started", 1), crowd("pages_started_held", 1)

# A thousand runs that are to be cancelled at once.
THOUSAND = crowd("thousand", automation=1000)
