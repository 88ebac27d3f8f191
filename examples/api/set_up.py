"""Once for each deployment: `python -m examples.api.set_up` looks at what the app stands on, and sets its schedules."""

from __future__ import annotations

import asyncio
import sys

from eventsource_upstash import EventSourceError

from .service import Service
from .settings import Settings


async def main() -> None:
    service = Service(Settings.from_env())
    try:
        for doubt in await service.app.check():
            print(doubt, file=sys.stderr)
        await service.set_up()
        if service.billed:
            await service.app.schedules.ensure_sweep()  # catches up what no notification announced
    finally:
        await service.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (EventSourceError, ValueError) as error:
        sys.exit(f"It cannot be set up: {error}")
