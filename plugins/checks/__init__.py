"""What every storage backend promises: one check for each promise. The docstring of the check is the promise.

A check works in a `plugins.sandbox.Sandbox`. It raises `PromiseBroken` with what the backend did instead, or `NotTried`
with the reason. Nothing is promised about an object of no bytes: an empty recording is never fetched. How the checks
are run and reported is in `plugins.contract`.
"""

from . import putting, reading  # in the order in which the checks run
from .registry import CHECKS, Check, Level

__all__ = ["CHECKS", "Check", "Level", "putting", "reading"]
