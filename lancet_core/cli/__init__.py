"""The command line: the acts of the workbench from a shell."""
