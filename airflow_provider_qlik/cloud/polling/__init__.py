"""Polls of many runs, batched into few requests, within the rate limits of the tenant.

`poll` holds the polls that are due or will be, `dispatcher` decides which of them one request answers, `bulk_list`
whether one list may answer for many resources, `rate_limiter` when a request may be sent, and `slots` how many may be
in flight.
"""
