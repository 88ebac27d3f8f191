"""QStash as an app sees it, on one machine: for development and tests only.

One process holds the state in memory and keeps it in Valkey; a change is in Valkey before it is answered or acted on.
A file per noun: `records` what is kept, `store` where, `publishing` what comes in, `dispatching` when it goes out,
`delivering` how, `settling` what follows from an answer, `routes_*` the HTTP API.
"""
