"""Where bytes rest: one file for each store, each a plugin like any stranger's.

A backend obeys: it is given a key and a source and makes no decision about a recording's life.
"""
