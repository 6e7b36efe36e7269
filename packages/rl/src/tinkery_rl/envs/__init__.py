"""Kinds of environments: bring a problem, a judge or a game, and the rest is here."""
