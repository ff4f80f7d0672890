"""Benchmarks: `make bench`, or `python -m bench [NAME …] [--quick] [--checkout FOLDER] [--to FILE]`.

Each measures the program as it is deployed, most of them beside an alternative, in the same run and in turns. Without a
name all of them run, and `report` writes docs/benchmarks.md. With `--checkout` the application of another checkout is
measured, under that checkout's own `.venv`. Nothing here asserts by the clock: a goal that a slow machine misses is
shown, with its reason where that is known, and fails nothing. What lives elsewhere: the pretend Vonage that serves the
audio (`simulator`), and every promise that does not depend on speed (`tests`).
"""
