"""Agents: players, searches and learners; ties games and nets together."""

import os

# OpenMP reads this when torch loads. Threads that wait for each other while awake, as they do by default, take turns
# with whatever else the machine does: beside one other program small batches were learnt at an eighth of the speed.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
