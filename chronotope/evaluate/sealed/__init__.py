"""Evaluation by outsiders: prompts that stay secret until the outputs of a model are committed by hash."""
