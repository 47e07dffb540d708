"""The words of prompts: a reviewed table, the small words of English, symbols and typing errors."""
