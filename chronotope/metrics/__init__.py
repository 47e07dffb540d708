"""Pure measures of pixels and of rates; they know no world and no model."""
