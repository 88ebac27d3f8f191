"""The to-do app on a local Upstash, used by many at once, with faults all the time. `python -m benchmarks.soak`."""
