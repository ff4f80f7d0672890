"""How one copy gets from its source into its store: fetched, checked, stored, verified, recorded.

No SQL stands here: rows are read and written by `recordings.catalogue`.
"""
