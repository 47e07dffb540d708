"""Neural networks as plain modules, and the packing of samples into one sequence. No files, training or distribution here."""
