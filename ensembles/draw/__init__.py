"""Pipelines drawn: graph data from a repository, and three renderers of it: SVG, Mermaid, text."""
