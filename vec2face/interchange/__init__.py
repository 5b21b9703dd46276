"""Datasets in and out: export to foreign formats, import from them, merge, take subsets, split."""
