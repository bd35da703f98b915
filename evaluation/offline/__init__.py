"""Offline evaluation: a data set through an agent, scored, compared with another configuration, and held to a gate."""
