"""The demo world: a small grammar of plain English with good and bad answers in the same words."""
