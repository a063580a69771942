"""``python -m medgenesis``: the same as the console script ``medgenesis``."""

import sys

from medgenesis.cli import main

sys.exit(main())
