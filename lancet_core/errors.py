"""Everything that LANCET raises on purpose.

    LancetError
    ├── ConfigError      a setting is unknown, out of range or contradicts another
    ├── DataError        a file, row, sample or query cannot be used
    ├── ModelError       a model or scorer cannot be loaded, or is of an unknown layout
    ├── NumericalError   a result is undefined or diverged
    ├── StoreError       a study, pair or decision is missing, or somebody else was faster
    └── JobError         a run or the model host failed

    Cancelled            a person stopped the run; not an error

A message says what is wrong, the value, what is accepted and what to do next. It is shown as text in two places: the
command line and the page frame.
"""


class LancetError(Exception):
    """The parent of all errors that a person can read and act on."""


class ConfigError(LancetError):
    """A setting is unknown, out of range or contradicts another."""


class DataError(LancetError):
    """A file, row, sample or query cannot be used."""


class ModelError(LancetError):
    """A model or scorer cannot be loaded, or is of an unknown layout."""


class NumericalError(LancetError):
    """A result is undefined or diverged."""


class StoreError(LancetError):
    """A study, pair or decision is missing, or somebody else was faster."""


class JobError(LancetError):
    """A run or the model host failed."""


class Cancelled(Exception):
    """A person stopped the run."""
