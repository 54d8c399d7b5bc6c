"""The command line: what can be done with a study, from a shell."""
