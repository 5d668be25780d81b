"""The scores that Atari agents are measured by: random play, a professional human tester, and DQN, of 49 games.

Mnih et al., *Human-level control through deep reinforcement learning*, Nature 518 (2015), extended data table 2. Games
begin with up to 30 no-ops and end after 5 minutes; DQN's are means and standard deviations of 30 games with an epsilon
of 0.05. Its random player holds each action for 6 frames, the human plays at 60 frames a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

_TABLE = """
game                    random     human       dqn       std
alien                    227.8    6875.4      3069      1093
amidar                     5.8    1675.8     739.5      3024
assault                  222.4    1496.4      3359       775
asterix                    210    8503.3      6012      1744
asteroids                719.1   13156.7      1629       542
atlantis                 12850     29028     85641     17600
bank_heist                14.2     734.4     429.7       650
battle_zone               2360     37800     26300      7725
beam_rider               363.9    5774.7      6846      1619
bowling                   23.1     154.8      42.4        88
boxing                     0.1       4.3      71.8       8.4
breakout                   1.7      31.8     401.2      26.9
centipede               2090.9     11963      8309      5237
chopper_command            811      9882      6687      2916
crazy_climber            10780     35410    114103     22797
demon_attack             152.1      3401      9711      2406
double_dunk              -18.6     -15.5     -18.1       2.6
enduro                       0     309.6     301.8      24.6
fishing_derby            -91.7       5.5      -0.8        19
freeway                      0      29.6      30.3       0.7
frostbite                 65.2    4334.7     328.3       250
gopher                   257.6      2321      8520      3279
gravitar                   173      2672     306.7       224
hero                      1027     25762     19950       158
ice_hockey               -11.2       0.9      -1.6       2.5
jamesbond                   29     406.7     576.7       175
kangaroo                    52      3035      6740      2959
krull                     1598    2394.6      3805      1033
kung_fu_master           258.5     22736     23270      5955
montezuma_revenge            0    4366.7         0         0
ms_pacman                307.3   15693.4      2311       525
name_this_game          2292.3      4076      7257       547
pong                     -20.7       9.3      18.9       1.3
private_eye               24.9     69571      1788      5473
qbert                    163.9     13455     10596      3294
riverraid               1338.5     13513      8316      1049
road_runner               11.5      7845     18257      4268
robotank                   2.2      11.9      51.6       4.7
seaquest                  68.4   20181.8      5286      1310
space_invaders             148    1652.3      1976       893
star_gunner                664     10250     57997      3152
tennis                   -23.8      -8.9      -2.5       1.9
time_pilot                3568      5925      5947      1600
tutankham                 11.4     167.6     186.7      41.9
up_n_down                533.4      9082      8456      3162
venture                      0    1187.5       380       239
video_pinball            16257     17298     42684     16287
wizard_of_wor            563.5    4756.5      3393      2019
zaxxon                    32.5      9173      4977      1235
"""


@dataclass(frozen=True)
class Published:
    """A row of the table, in points a game."""

    random: float
    human: float
    dqn: float
    dqn_std: float

    def human_normalised(self, score: float) -> float:
        """Return a score as a share of the way from random play, 0, to the human, 1."""
        return (score - self.random) / (self.human - self.random)


def _parse(table: str) -> dict[str, Published]:
    _, *lines = table.strip().splitlines()
    rows = (line.split() for line in lines)
    return {name: Published(*map(float, scores)) for name, *scores in rows}


SCORES_2015 = MappingProxyType(_parse(_TABLE))  # by the ROM's name
