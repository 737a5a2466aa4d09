"""What the tests share: the corpus, a small host, child processes, messages."""
