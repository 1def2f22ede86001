"""How rarely a scenario fails, with an honest error, from few runs of its simulator.

Only whether a run passes or fails is read. Limit states of driving jump and have plateaus (a least gap of 0 is
every collision), and methods that climb their values report small errors around wrong answers.
"""
