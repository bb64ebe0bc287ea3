"""`python -m memsdk` is the command line `memsdk`."""

from memsdk.cli.main import main

main()
