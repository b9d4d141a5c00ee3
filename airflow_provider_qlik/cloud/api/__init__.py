"""The operations of Qlik Cloud: one function for each, which returns the request as a `Call` and sends nothing."""
