"""Virtual boards: processes behind a port that behave as the board does from reset on."""
