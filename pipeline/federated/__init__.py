"""Training at several sites that keep their data: each asks its own gate, only clipped updates leave."""
