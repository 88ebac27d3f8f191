"""The verbs: one file per arrow of command -> events -> log -> notification -> catch-up -> folds -> view -> query.

Written once, as coroutines over ports. The faces run them.
"""
