"""Agents: players, searches and learners; ties games and nets together."""
