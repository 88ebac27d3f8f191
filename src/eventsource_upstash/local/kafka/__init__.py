"""Kafka over REST, as Upstash had it until March 2025 and as Confluent's REST Proxy has it, over a real broker."""
