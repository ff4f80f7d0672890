"""The catalogue: the database of recordings, their copies, calls and deliveries, and all SQL of the program.

The row of a copy is also its job: workers claim these rows. Everything that reads or writes a row lives here. What
happens because of a row (fetching, storing) lives in `recordings.archive`.
"""
