"""A package and not only a folder: kronfluence's wheel installs a package of this name, which would be found instead."""
