"""``python -m cs3collab``."""

import sys

from cs3collab.cli import main

sys.exit(main())
