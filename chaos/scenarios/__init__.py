"""The scenarios, one module for each kind of fault."""
