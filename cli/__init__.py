"""The command line, installed as `vec2face`."""
