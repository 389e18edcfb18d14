"""The retry model: 20 states, 8 actions, values learned on a simulator of failures (policy iteration by Monte Carlo).

`model.json` holds the value of each action in each state with its standard error: small, readable, no pickle. It only
chooses among what the rules of fetch_retry allow, and leaves it to them where it is not sure or not there.
"""
