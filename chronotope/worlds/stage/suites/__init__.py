"""The suites of the stage: which specs are asked for, in which words."""
