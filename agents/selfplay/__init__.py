"""Learning from self-play alone: games of the tree search against itself, and a network that learns what it found."""
