"""How plugins join: the hooks, the loader, and the contract that every storage backend must keep.

Nothing here knows a particular store: the built-in backends register through the same hook as any other plugin.
"""
