"""What starts a server somewhere: its command line, its processes, the files that say so."""
