"""Files: atomic writes, digests, deterministic tar, image encoding. No torch here."""
