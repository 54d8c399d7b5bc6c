"""What others wrote, on texts of ours; each module needs a library that is no dependency."""
