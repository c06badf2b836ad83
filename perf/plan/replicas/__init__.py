"""One replica under a traffic, and how many a traffic needs."""
