"""Byte layouts of foreign face sets, read and written one record at a time; no images are decoded here."""
