"""A to-do application, event sourced: the README beside this file says how to run it and in which order to read it."""
