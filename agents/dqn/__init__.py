"""Q-learning from pixels: DQN (Mnih et al. 2013, 2015), its line up to Rainbow, and learning without replay (PQN)."""
