"""What only the garbage collector would free: objects that hold each other."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

OURS = ("services.", "graphs.", "deployments.", "evaluation.")


@contextmanager
def left_over() -> Iterator[list[object]]:
    """Fill the list, at the end of the block, with objects of our classes that were let go of in it and are not gone."""
    found: list[object] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests have left, whichever they were
        gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
    finally:
        gc.set_debug(0)
        found.extend(each for each in gc.garbage if type(each).__module__.startswith(OURS))
        gc.garbage.clear()
        gc.enable()
