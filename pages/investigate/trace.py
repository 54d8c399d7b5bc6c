"""trace."""

from pages.parts import frame

here = frame.open_screen("trace")
