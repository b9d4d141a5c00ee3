"""Polls of many runs, batched into few requests, within the rate limits of the tenant.

`dispatcher` sends the polls. `queue` says which is due and which of them one request answers, `bulk_list` when one list
may answer for many resources. `permits` grants the permits: tokens of the `rate_limiter` of a tier, and `slots`.
`poll` holds a pending poll and delivers its result. Of these, `queue`, `bulk_list`, `rate_limiter` and `slots` only
decide, without an event loop.
"""
