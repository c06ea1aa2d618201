"""AWS: the only room that speaks to it. Observe, act, and what can be launched where."""
