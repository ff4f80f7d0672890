"""Who works when: the threads of a worker, how they hear of work, and what they do now and then.

What is done to a copy stands in `recordings.archive`.
"""
