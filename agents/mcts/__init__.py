"""Batched Monte Carlo tree search for every game of games/rules.py: PUCT or a Gumbel root over any evaluator; no torch.

tree.py      the arrays, and what is done to one tree: open, expand, back up, prove, cut loose
simulate.py  selection, and the two kernels a step calls: collect the leaves of all trees, absorb their evaluations
root.py      what happens at the root only: noise, sequential halving, the move that is played, the improved policy
rollouts.py  random games to the end, as an evaluator or mixed with one
search.py    TreeSearch: many trees searched in step, kept from move to move
"""
