"""`python -m engine` is the shopbell command."""

from engine.cli import main

main()
