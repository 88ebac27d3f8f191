"""`python -m eventsource_upstash.cli`."""

import sys

from .main import main

sys.exit(main())
