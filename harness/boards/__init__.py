"""Board profiles: what a board is and how it wants to be flashed, as TOML."""
