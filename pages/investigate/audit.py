"""audit."""

from pages.parts import frame

here = frame.open_screen("audit")
