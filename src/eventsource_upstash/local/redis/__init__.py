"""Upstash Redis over REST, on a real engine: `create_app` is what is served."""
