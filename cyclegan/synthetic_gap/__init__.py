"""How much of the synthetic gap a translation closes, as a network that reads labels measures it."""
