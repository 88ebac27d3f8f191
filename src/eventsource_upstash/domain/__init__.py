"""The nouns: events, streams, positions, folds. Pure: nothing in this room waits, reads a clock or touches a disk."""
