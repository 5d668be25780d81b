"""AlphaGo's second and third stage: a policy improved by its own games, and a network that judges them."""
