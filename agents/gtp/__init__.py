"""GTP, the Go Text Protocol, version 2 (Farnebäck 2002), from both sides.

protocol.py   lines, ids, responses and errors as text
arguments.py  colours, vertices and numbers of a command
session.py    what the engine knows: the game so far, the clock, the player that thinks
clock.py      time settings, and how long the next move may take
engine.py     the engine's loop: one response for every command line, analysis that ends with the next input
setup.py      commands that set a game up and show it: boards, rules, handicap, records
moves.py      commands that make a player move and a game end
analysis.py   lz-analyze, kata-analyze and their kind
gogui.py      maps of policy, value and ownership for GoGui
serve.py      the engine on standard input and output
client.py     the other side: an outside engine as a player
"""
