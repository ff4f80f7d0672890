"""What keeps an archive good: checks of what is stored, repairs, and a search for what was never announced.

No SQL, and nothing that runs by itself.
"""
