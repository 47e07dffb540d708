"""Sample the prompts of other benchmarks into the folders that those benchmarks read."""
