"""Faults on the wire, between an app and its Upstash."""

from __future__ import annotations

from docs.snippets.todo import CreateTask, Task, registry, task, tasks


# --8<-- [start:proxy]
def test_nothing_is_lost_on_a_bad_wire() -> None:
    from eventsource_upstash import App, UpstashRedis
    from eventsource_upstash.local import LocalUpstash
    from eventsource_upstash.testing.proxy import FaultyProxy, Listed, Strike

    faults = Listed([None, "lose-answer", "reset-answer", Strike("late-duplicate", seconds=60)])
    with LocalUpstash() as upstash, FaultyProxy(upstash.redis_url, faults=faults) as proxy:
        app = App(UpstashRedis(proxy.url, upstash.redis_token), registry, None)
        for number in "1234":
            app.event_store.execute(task, f"task-{number}", CreateTask("Do the dishes"))
        proxy.settle()  # what is held back arrives now
        app.projector.catch_up()
        assert app.event_store.head() == 4
        assert app.projection_store.view(tasks).get("task-4") == Task("Do the dishes")
        assert proxy.struck == {"lose-answer": 1, "reset-answer": 1, "late-duplicate": 1}
    # --8<-- [end:proxy]
