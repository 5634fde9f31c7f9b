"""Where a number came from: file hashes, run records, tracking."""
