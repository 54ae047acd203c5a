"""Measurements. `make bench` runs all, `make bench BENCH_ARGS="writes pages"` some, `python -m bench.broadcast` one.

A figure here is a ratio against a peer or a limit of the same run, the median of interleaved rounds; what is absolute
stands beside the machine and its load, and means nothing without them.
"""
