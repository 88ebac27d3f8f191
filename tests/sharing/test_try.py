from tests.sharing.support import *


def test_basic():
    game = Game(teams=True)
    backend = kafka(4)
    a = app(game, backend)
    for i, name in enumerate(names(20)):
        for j in range(3):
            a.event_store.append(name, Scored(i * 10 + j, "red" if i % 2 else "blue"))
    done = a.projector.catch_up()
    print(done)
    view = a.projection_store.view(game.players)
    assert view.get("player-3") == Player("player-3", 93, (30, 31, 32))
    assert [k for k, _ in view.items()] == sorted(names(20))
    assert view.count() == 20
    print(view.index("score").top(3))
    assert [k for k, _ in view.index("score").top(20)] == names(20)[::-1]
    assert [k for k, _ in view.index("score").range()] == names(20)
    for i, name in enumerate(names(20)):
        assert view.index("score").rank(name) == 20 - i
        assert view.index("score").rank(name, lowest=True) == i + 1
    assert view.index("score").count(100, 300) == sum(100 <= i * 30 + 3 <= 300 for i in range(20))
    for s in a.projection_store.status():
        print(s)
    print(view.version())
    assert done.complete
    token = a.event_store.append("player-3", Scored(7))
    assert view.get("player-3", at_least=token.position).score == 100
    assert view.get("player-4", at_least=token.position).score == 123
    strong = a.projection_store.view(game.players, consistency="strong")
    a.event_store.append("player-4", Scored(7))
    assert strong.get("player-4").score == 130
    assert strong.index("score").rank("player-19") == 1
    print(a.projector.rebuild(game.players, progress=print))
    print(a.projection_store.status()[0])
    print(a.projector.go_back(game.players))
    print(a.projector.drop_generations(game.players))
    print(a.projection_store.status()[0])
    game.bad.add("player-5")
    a.event_store.append("player-5", Scored(7))
    a.event_store.append("player-6", Scored(7))
    try:
        a.projector.catch_up()
    except Exception as e:
        print(repr(e), e.result)
    print(a.projection_store.status()[0])
