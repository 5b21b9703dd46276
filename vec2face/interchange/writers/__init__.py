"""A writer for each format: all are fed blocks of images, and can go on where a stopped run ended."""
