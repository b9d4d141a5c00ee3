"""What the package costs, measured beside like packages: `make bench`, or `python -m benchmarks` with names."""
