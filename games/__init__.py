"""Games: rules kernels, notations and Gymnasium environments. Knows no torch, no network, no agent.

Importing the package registers the environments; the kernels are imported when one is made.
"""

import gymnasium

ENVIRONMENTS = {"playfield/Checkers-v0": "checkers", "playfield/ConnectFour-v0": "connect_four"}

for _environment_id, _game_name in ENVIRONMENTS.items():
    gymnasium.register(
        _environment_id,
        entry_point="games.board_env:BoardEnv",
        vector_entry_point="games.vector_env:BoardVectorEnv",
        kwargs={"game": _game_name},
    )

# Go with size and komi as arguments: gymnasium.make("playfield/Go-v0", size=9, komi=7).
gymnasium.register(
    "playfield/Go-v0", entry_point="games.go_env:go_env", vector_entry_point="games.go_env:go_vector_env"
)
# Atari games by name: gymnasium.make("playfield/Atari-v0", game="pong", protocol="nature").
gymnasium.register("playfield/Atari-v0", entry_point="games.atari_env:AtariEnv")
