"""How strangers join: the hooks, the loader, and the contract that every storage backend must keep.

Nothing here knows a particular store; the built-in ones come through the same hooks as anybody's.
"""
