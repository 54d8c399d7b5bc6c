"""The acts of the workbench, shared by the screens and the command line."""
