"""What a view over HTTP does where nothing else is said: one value for every adapter."""

from __future__ import annotations

from typing import Final

TIMEOUT: Final = 5.0
"""Seconds that bringing a view up to `at_least` may take."""

MAX_DURATION: Final = 240.0
"""Seconds after which a feed ends: below what proxies let an answer last."""

LAMBDA_MAX_DURATION: Final = 20.0
"""The same where the answer is sent when it is complete: below the limit of API Gateway."""

RETRY: Final = 2_000
"""Milliseconds after which a reader of a feed comes back."""
