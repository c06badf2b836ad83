"""The highest load under a service level objective."""
