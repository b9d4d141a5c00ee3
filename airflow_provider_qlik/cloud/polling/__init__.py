"""Polls of many runs, batched, within the rate limits of the tenant."""
