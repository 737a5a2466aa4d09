"""The hand-off to a rank on a thread of its own: isoexec's queue, a bare futex, a bare ring."""
