"""Make many users, to see how the sync does: `python -m examples.quota.fill 100000`."""

from __future__ import annotations

import argparse
import sys

from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from eventsource_upstash import EventSourceError

from .domain import CallCounted, UserRegistered, stream_of
from .service import Quota, why


def fill(quota: Quota, users: int, *, show: bool = False) -> None:
    """Append a user and a few calls for each number. Again, it does nothing again."""
    month = quota.month
    for number in tqdm(range(users), desc="users", unit="", unit_scale=True, disable=not show):
        user = f"user-{number:06}"
        calls = [CallCounted(user, "/v1/search", month, 1 + number % 7) for _ in range(number % 3)]
        quota.app.event_store.append(
            stream_of(user), UserRegistered(user, "team"), *calls, idempotency_key=f"fill-{user}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.quota.fill", description="Make many users.")
    parser.add_argument("users", type=int, help="how many")
    arguments = parser.parse_args()
    if arguments.users < 1:
        parser.error("users: at least 1")
    try:
        quota = Quota()
    except (EventSourceError, SQLAlchemyError, ImportError) as error:
        sys.exit(f"It does not work: {why(error)}")
    try:
        fill(quota, arguments.users, show=True)
        print("Folding them into the view ...")
        quota.app.projector.catch_up()
    except EventSourceError as error:
        sys.exit(f"It does not work: {why(error)}")
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    finally:
        quota.close()


if __name__ == "__main__":
    main()
