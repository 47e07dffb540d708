"""The suites of the stage: specs with their prompts."""
