"""The commands, one module a family: read options, make one call, print."""
