"""`check --live`: the server's own verdict on a repository as it is, beside ours."""
