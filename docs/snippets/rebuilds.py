"""Rebuilds: another version, another build, going back, and what is kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from eventsource_upstash import (
    App,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    Projector,
    Rebuilding,
    Registry,
    UpstashRedis,
    connect,
)
from eventsource_upstash.local import LocalUpstash


@dataclass(frozen=True)
class Sold:
    sku: str
    pieces: int
    gift: bool = False


@dataclass(frozen=True)
class Product:
    sold: int = 0


@dataclass(frozen=True)
class Sales:
    """The events, and no projection yet: each test registers what the code of its day would."""

    registry: Registry

    def version(self, number: int) -> Projection[Product]:
        products = self.registry.projection("products", Product, version=number)
        if number == 1:
            products.on(Sold, key="sku")(
                lambda product, event: Product((product.sold if product else 0) + event.pieces)
            )
        return products


def code() -> Sales:
    registry = Registry()
    registry.event("sold")(Sold)
    return Sales(registry)


def old_app(backend: Memory | str) -> App:
    sales = code()
    sales.version(1)
    app = connect(backend, sales.registry)
    app.event_store.append("till-1", Sold("tea", 2), Sold("tea", 1, gift=True), Sold("pot", 1))
    app.projector.catch_up()
    return app


def test_version(in_empty_folder: None) -> None:
    old_app("sqlite:shop.db").close()
    registry = code().registry
    # --8<-- [start:version]
    products = registry.projection("products", Product, version=2)  # was 1

    @products.on(Sold, key="sku")
    def sold(product: Product | None, event: Sold) -> Product:
        before = product.sold if product else 0
        return Product(before + (0 if event.gift else event.pieces))  # gifts do not count now

    app = connect("sqlite:shop.db", registry)
    view = app.projection_store.view(products)
    assert view.get("tea") == Product(sold=3)  # version 1 answers, until 2 has caught up

    app.projector.catch_up()
    assert view.get("tea") == Product(sold=2)
    # --8<-- [end:version]
    # --8<-- [start:drop_version]
    app.projector.drop_version("products", 1)
    # --8<-- [end:drop_version]
    app.close()


def test_both(in_empty_folder: None) -> None:
    old_app("sqlite:shop.db").close()
    registry = code().registry
    # --8<-- [start:both]
    old = registry.projection("products", Product)
    products = registry.projection("products", Product, version=2)

    @old.on(Sold, key="sku")
    def sold_1(product: Product | None, event: Sold) -> Product:
        before = product or Product()
        return replace(before, sold=before.sold + event.pieces)

    @products.on(Sold, key="sku")
    def sold(product: Product | None, event: Sold) -> Product:
        before = product or Product()
        return replace(before, sold=before.sold + (0 if event.gift else event.pieces))

    # --8<-- [end:both]
    app = connect("sqlite:shop.db", registry)
    app.event_store.append("till-1", Sold("tea", 10))
    view = app.projection_store.view(products)
    assert view.get("tea") == Product(3)
    # With both, the old one is brought up where a read asks for it.
    assert view.get("tea", at_least=4) == Product(13)
    (first, second) = app.projection_store.status()
    assert (first.version, first.checkpoint, second.version, second.live) == (1, 4, 2, False)
    app.projector.catch_up()
    assert view.get("tea") == Product(12)
    app.close()


def test_rebuild() -> None:
    app = old_app(Memory())
    (products,) = app.projection_store.registry.projections
    # --8<-- [start:rebuild]
    rebuilt = app.projector.rebuild(products)
    assert (rebuilt.generation, rebuilt.complete) == (2, True)
    # --8<-- [end:rebuild]
    # --8<-- [start:status]
    (status,) = app.projection_store.status()
    assert (status.generation, status.state) == (2, "current")
    assert [kept.generation for kept in status.kept] == [1]
    # --8<-- [end:status]
    # --8<-- [start:back]
    assert app.projector.go_back(products) == 1  # generation 1 serves again
    # --8<-- [end:back]
    # --8<-- [start:drop]
    dropped = app.projector.drop_generations(products)
    assert dropped.generations == (2,)
    # --8<-- [end:drop]
    try:
        app.projector.go_back(products)
    except Misuse as error:
        assert "nothing to go back to" in str(error)
    else:
        raise AssertionError


def test_progress() -> None:
    app = old_app(Memory())
    (products,) = app.projection_store.registry.projections
    # --8<-- [start:progress]

    def tell(at: Rebuilding) -> None:
        left = "" if at.remaining is None else f", {at.remaining:.0f} s left"
        print(f"\r{at.projection}: {at.fraction:.0%}{left}   ", end="", file=sys.stderr)

    app.projector.rebuild(products, progress=tell)
    # --8<-- [end:progress]


def test_within_a_budget(upstash: LocalUpstash) -> None:
    sales = code()
    products = sales.version(1)
    app = App(UpstashRedis(upstash.redis_url, upstash.redis_token), sales.registry, None)
    for number in range(30):
        app.event_store.append(f"till-{number % 3}", Sold("tea", 1))
    app.projector.catch_up()
    projector = Projector(app.event_store, app.projection_store, page_size=10)
    # --8<-- [start:budget]

    def some_of_it() -> bool:
        """What one invocation of a function does. Answers whether the new build serves."""
        return projector.rebuild(products, time_budget=20).complete

    # --8<-- [end:budget]
    rebuilt = projector.rebuild(products, time_budget=0)
    assert not rebuilt.complete
    (status,) = app.projection_store.status()
    assert status.rebuilding is not None
    assert (status.generation, status.rebuilding.generation) == (1, 2)
    assert 0 < status.rebuilding.checkpoint < 30
    app.event_store.append("till-1", Sold("tea", 5))
    view = app.projection_store.view(products)
    assert view.get("tea", at_least=31) == Product(35)  # kept up by its readers
    (status,) = app.projection_store.status()
    assert status.rebuilding is not None  # who folded the one that serves only
    assert some_of_it()
    (status,) = app.projection_store.status()
    assert (status.generation, status.rebuilding, status.checkpoint) == (2, None, 31)
    # Each page is a load and a commit: that is all it costs, once the scripts are known.
    rebuilt = projector.rebuild(products)
    assert (rebuilt.complete, rebuilt.receipt.requests) == (True, 10)  # 4 pages, begin, pull


def test_fold_fails() -> None:
    backend = Memory()
    old_app(backend)
    registry = code().registry
    products = registry.projection("products", Product)

    @products.on(Sold, key="sku")
    def sold(product: Product | None, event: Sold) -> Product:
        return Product(1 // (event.pieces - 1))

    app = connect(backend, registry)
    # --8<-- [start:fails]
    try:
        app.projector.rebuild(products)
    except ProjectionStopped as stopped:
        assert stopped.position == 2

    (status,) = app.projection_store.status()
    assert status.state == "current"  # what serves is as it was
    assert status.rebuilding is not None
    assert status.rebuilding.stopped is not None

    app.projector.drop_generations(products, generation=status.rebuilding.generation)  # give it up
    # --8<-- [end:fails]
    (status,) = app.projection_store.status()
    assert status.rebuilding is None
    assert app.projection_store.view(products).get("tea") == Product(3)
