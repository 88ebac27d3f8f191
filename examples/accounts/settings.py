"""What each function is told by its environment. Nothing else ties them to each other."""

from __future__ import annotations

import os


def accounts_backend() -> str:
    """Where the accounts' events are kept: `sqlite:FILE` or `upstash:NAMESPACE`."""
    return os.environ.get("ACCOUNTS_BACKEND") or "sqlite:accounts.db"


def orders_backend() -> str:
    """Where the order service keeps its own: another file, or another namespace."""
    return os.environ.get("ORDERS_BACKEND") or "sqlite:orders.db"


def orders_url() -> str:
    """Where the order service is, as seen from whoever delivers messages."""
    return (os.environ.get("ORDERS_URL") or "http://127.0.0.1:8004").rstrip("/")
