"""Raw videos -> clips: shots, scores, near-duplicates, rights, and a manifest that accounts for every file."""
