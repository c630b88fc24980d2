"""Last stage: say what happened. Turns a pass into the decision log, tables a person can read, and JSON."""
