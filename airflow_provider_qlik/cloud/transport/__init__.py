"""HTTP: clients, authentication, retries, responses, time-outs.

The way of a refusal, such as a 429, through the modules:

1. `responses` tells Qlik Cloud's own refusal from that of a proxy, reads `Retry-After`, and raises an error of
   `cloud.errors`, which knows if it is transient.
2. `async_client` pauses the tier for all requests of this user, and slows polls down (`polling.rate_limiter`).
3. `retry` repeats the one request, or lets the error pass if it must not be repeated.
"""
