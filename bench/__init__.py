"""Benchmarks: `make bench`, or `python -m bench [memory|throughput|acknowledge|stores|finding] [--quick]`.

Each measures the program as it is deployed, beside an alternative, in the same run and in turns, and prints a table.
Nothing here asserts by the clock: a goal that a slow machine misses is shown, and fails nothing. What lives elsewhere:
the pretend Vonage that serves the audio (`simulator`), and every promise that does not depend on speed (`tests`).
"""
