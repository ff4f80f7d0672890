"""One copy's way from its source to its store: fetched, checked, stored, verified, recorded.

No SQL: rows are read and written by `recordings.catalogue`.
"""
