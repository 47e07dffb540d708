"""A student that samples in few steps, without guidance, what its teacher samples in many with guidance."""
