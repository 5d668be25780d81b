"""GTP, the Go Text Protocol, version 2 (Farnebäck 2002), from both sides.

protocol.py   lines, ids, responses and errors as text
session.py    what the engine knows: the game so far, the clock, the player that thinks
engine.py     the engine's loop: one response for every command line, analysis that ends with the next input
commands.py   the commands of the standard and what clients add to it: set-up, moves, the end of the game, KGS
analysis.py   lz-analyze, kata-analyze and their kind
gogui.py      maps of policy, value and ownership for GoGui
clock.py      time settings, and how long the next move may take
client.py     the other side: an outside engine as a player
"""
