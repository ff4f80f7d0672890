"""The heart: what a recording is and what happens to it.

`catalogue` is the database, `archive` brings one copy into its storage, `engine` runs the threads that do so, `care`
checks and repairs what is stored. No Flask and no cloud SDK may be imported here: the doors (`webhooks`, `console`,
`commands`) call this package, and the backends are given to it.
"""
