"""Who works when: the threads of a worker, how they are woken, and which tasks they run periodically.

What is done with a copy is in `recordings.archive`.
"""
