"""Engines: how a function is run over partitions. `local` uses this machine's threads."""
