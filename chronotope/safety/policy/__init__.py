"""The policy of prompts: rules as data and a small classifier decide what a text may be used for."""
