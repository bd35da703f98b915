"""Python's garbage collector in a replica.

A replica starts with a million objects that live as long as it does: Ray, LangChain, the graphs. Every full collection would
look through all of them, and hold up every stream of the replica meanwhile.
"""

import gc

YOUNG = 10_000
"""Objects that are new before they are looked through. Python's 700 is one run's worth: what it finds is still at work."""


def keep() -> None:
    """Take all there is for what stays. For the end of a replica's start: later, it would keep garbage too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
