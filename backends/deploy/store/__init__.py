"""An object store: a repository pushed so that a server never sees half of one, and pulled again."""
