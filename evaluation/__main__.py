"""`python -m evaluation`: evaluate an agent on a data set, compare, gate, report; see `evaluation.offline.command`."""

import sys

from evaluation.offline.command import main

if __name__ == "__main__":
    sys.exit(main())
