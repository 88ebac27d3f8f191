"""Bring the table in step by hand, with a progress bar: `python -m examples.quota.sync [--full]`.

Stop it whenever you like, however hard: the next run goes on where this one was, and the table is exact after it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventsource_upstash.sql import Syncing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.quota.sync", description="Bring the SQL table in step.")
    parser.add_argument("--full", action="store_true", help="copy the whole view, whatever is in the table")
    full: bool = parser.parse_args().full
    try:
        bring_in_step(full=full)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of a command that Ctrl+C has ended


def bring_in_step(*, full: bool) -> None:
    # Here, and not above: this takes a second, in which somebody may press Ctrl+C.
    from sqlalchemy.exc import SQLAlchemyError
    from tqdm import tqdm

    from eventsource_upstash import EventSourceError, LogRewound

    from .service import Quota, why
    from .table import metadata

    try:
        quota = Quota()
    except (EventSourceError, SQLAlchemyError, ImportError) as error:
        sys.exit(f"The table cannot be brought in step: {why(error)}")
    try:
        metadata.create_all(quota.engine)
        with tqdm(unit=" users" if full else "", unit_scale=True, desc="api_usage") as bar:

            def progress(syncing: Syncing) -> None:
                bar.total = syncing.total
                bar.unit = " users" if syncing.full else " events"
                bar.update(syncing.done - bar.n)

            synced = quota.copy(None, progress, full=full)
    except LogRewound as error:
        sys.exit(f"The table cannot be brought in step: {why(error)}. Here, --full is full=True.")
    except (EventSourceError, SQLAlchemyError, ImportError) as error:
        sys.exit(f"The table cannot be brought in step: {why(error)}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What is in the table holds together; the next run goes on from there.")
    finally:
        quota.close()
    print(f"{synced.upserted:,} rows written, {synced.deleted:,} deleted; in step with position {synced.position:,}.")


if __name__ == "__main__":
    main()
