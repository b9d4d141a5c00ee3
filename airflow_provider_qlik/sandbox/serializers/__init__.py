"""The responses of the sandbox: its state in the members and words of the API."""
