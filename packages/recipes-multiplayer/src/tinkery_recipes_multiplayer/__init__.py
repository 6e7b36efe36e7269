"""Games and preferences for several players. Nothing is here yet but the version."""
