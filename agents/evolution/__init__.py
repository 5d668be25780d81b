"""Co-evolution of checkers evaluators."""
