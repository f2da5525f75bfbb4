"""Notes of one's own and posts for all: a service on a PicoBase instance."""
