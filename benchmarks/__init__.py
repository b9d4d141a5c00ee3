"""The cost of the package, measured beside similar packages: `make bench`, or `python -m benchmarks` with names."""
