"""The commands of provenance and policy."""
