"""How one copy gets from its source into its storage: it is fetched, checked, stored, verified, and recorded.

No SQL stands here: rows are read and written by `recordings.catalogue`.
"""
