"""The truth, and all SQL: what was announced, each copy's row, which is its job, and what was delivered.

Everything that writes a row lives here. What the rows lead to (fetching, storing) does not.
"""
