"""What keeps an archive good: checks of what is stored, repairs, and a search for what was never announced.

No SQL stands here, and nothing here runs by itself: commands and periodic tasks call it.
"""
