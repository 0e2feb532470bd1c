"""How the shipped weights are made: rendering of training pictures, and the two training loops."""
