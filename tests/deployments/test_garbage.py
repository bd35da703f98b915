"""What a replica starts with is kept out of the garbage collector's way, and garbage is still collected."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from deployments import garbage

class Node: pass

stays = [Node() for _ in range(1000)]
garbage.keep()
print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)
node = Node()
node.itself, seen = node, weakref.ref(node)
del node
for _ in range(2 * garbage.YOUNG):
    stays.append(Node())
print(seen() is None)
"""


def test_what_is_there_is_not_looked_through_again() -> None:
    """In a process of its own: it changes the collector for good."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
