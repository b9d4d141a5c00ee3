"""The shapes that Qlik Cloud's operations take and give, one module a family."""
