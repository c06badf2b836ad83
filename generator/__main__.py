"""`python -m tritonsmith.generator` is the command `tritonsmith`."""

from tritonsmith.generator.cli import main

main()
