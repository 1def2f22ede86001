"""File formats of items: identification by content, and parsers that refuse what they do not know."""
