"""The shapes of requests and responses of Qlik Cloud, one module for each family."""
