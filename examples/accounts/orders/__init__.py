"""The order service: another bounded context, with a log of its own."""
