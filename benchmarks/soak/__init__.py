"""The soak: the to-do app on a local Upstash, many at once, with faults on all the time. `python -m benchmarks.soak`."""
