"""Tests; a package, so that they import their references and the toy game by one name."""
