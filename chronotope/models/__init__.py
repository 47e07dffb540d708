"""Neural networks as plain modules, and the packing of samples into one sequence. No input or output, no training."""
