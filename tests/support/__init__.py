"""What several tests share: real input laid out as replay.yaml says, fleet repos, and the command line as users call it."""
