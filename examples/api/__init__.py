"""A small API with what people put beside one: sessions, limits, ranks, jobs, reminders, a nightly clean-up."""
