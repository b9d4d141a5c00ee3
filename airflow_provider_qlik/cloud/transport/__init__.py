"""HTTP: clients, authentication, retries, responses, time-outs."""
