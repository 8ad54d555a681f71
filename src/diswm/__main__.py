"""``python -m diswm`` is ``diswm``."""

import sys

from diswm.cli import main

sys.exit(main())
