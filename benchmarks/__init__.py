"""Speed as ratios, in one run: the floor by hand, this library and its peers."""
