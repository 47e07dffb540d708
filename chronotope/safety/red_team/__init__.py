"""The red-team set: prompts that are to be refused, look-alikes that are not, and ways to disguise both."""
