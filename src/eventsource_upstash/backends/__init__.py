"""One package per backend, the same file names in each: `log`, `views`, `notices` where it has them, and `backend`."""
