"""The Kafka backend: the log is a topic; the views are another backend's."""
