"""What the whole suite shares: how Hypothesis searches."""

import os

from hypothesis import settings

# No deadline: a slow machine is no failure. In CI an example that failed is printed as a line that reproduces it
# anywhere, since the database of examples is gone with the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=False, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
