# pyright: reportUnusedImport=false
# ruff: noqa: F401, I001
# --8<-- [start:imports]
from eventsource_upstash import Registry, connect  # and everything else but:
from eventsource_upstash.web import asgi_app
from eventsource_upstash.testing import given
from eventsource_upstash.ports import Log, Views
# --8<-- [end:imports]
