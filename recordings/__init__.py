"""The heart: what a recording is and what happens to it.

Here live the catalogue, the authorised fetch, the retrieval pipeline and its jobs. No Flask and no cloud SDK may be
imported here: the doors (`webhooks`, `console`) call in, the backends are handed in.
"""
