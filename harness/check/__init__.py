"""Will it run? What speaks against a model on a board, before anything is flashed, and what it will take."""
