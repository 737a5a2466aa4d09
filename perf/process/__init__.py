"""A process rank against a pipe to a process."""
