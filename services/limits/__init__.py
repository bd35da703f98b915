"""How much each user and each tenant may ask for: rates, runs at once, budgets."""
