"""Make a training set of any face set: align, leave out what is unusable, embed, and write shards.

`run.prepare(reader, options, out, ...)` is the whole of it; docs/training-data.md says what is written and left out.
Nothing is imported here, so that the processes which examine images need not load torch.
"""
