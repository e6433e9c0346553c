"""The gate: is this slower than that, by how much, and is there enough data to say so."""
