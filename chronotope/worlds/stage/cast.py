"""Who can appear on the stage: shapes, colours, and the nouns of the emoji cast, one row each."""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = ["CAST", "SHAPES", "Noun"]

Facing = Literal["left", "right", "front", "up-right"]
Gait = Literal["walk", "hop", "fly", "float", "swim", "drive", "sail", "roll", "crawl", "slither", "stand"]


SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "hexagon", "cross")


@dataclasses.dataclass(frozen=True)
class Noun:
    """One kind of actor: its word, its drawing, where the drawing looks, how it gets about, and its size in life (0 tiny .. 4 huge)."""

    word: str
    icon: str
    facing: Facing
    gait: Gait
    bulk: int
    group: str


# word, icon in @iconify-json/fluent-emoji or in drawings.py, facing of the drawing (l left, r right, f front, u nose to the
# upper right), gait, bulk, group
_ROWS = """
fox            own-fox             r walk    2 animal
dog            dog                 l walk    2 animal
cat            cat                 l walk    1 animal
rabbit         rabbit              l hop     1 animal
mouse          mouse               l walk    0 animal
hamster        hamster             f walk    0 animal
squirrel       chipmunk            l hop     1 animal
hedgehog       hedgehog            l walk    1 animal
bear           bear                f walk    3 animal
polar bear     polar-bear          f walk    3 animal
panda          panda               f walk    3 animal
koala          koala               f walk    2 animal
tiger          tiger               l walk    3 animal
lion           lion                f walk    3 animal
leopard        leopard             l walk    3 animal
wolf           own-wolf            r walk    2 animal
raccoon        raccoon             f walk    1 animal
horse          horse               l walk    3 animal
zebra          zebra               l walk    3 animal
unicorn        unicorn             l walk    3 animal
deer           deer                l walk    3 animal
cow            cow                 l walk    3 animal
ox             ox                  l walk    3 animal
pig            pig                 l walk    2 animal
boar           boar                l walk    2 animal
sheep          ewe                 l walk    2 animal
ram            ram                 l walk    2 animal
goat           goat                l walk    2 animal
llama          llama               l walk    3 animal
camel          camel               l walk    3 animal
giraffe        giraffe             l walk    4 animal
elephant       elephant            l walk    4 animal
mammoth        mammoth             l walk    4 animal
rhino          rhinoceros          l walk    4 animal
hippo          hippopotamus        l walk    4 animal
monkey         monkey              f walk    2 animal
gorilla        gorilla             l walk    3 animal
kangaroo       kangaroo            l hop     3 animal
badger         badger              l walk    1 animal
skunk          skunk               l walk    1 animal
donkey         donkey              l walk    3 animal
bison          bison               l walk    4 animal
turtle         turtle              l crawl   1 animal
snake          snake               l slither 1 animal
dinosaur       sauropod            l walk    4 animal
t-rex          t-rex               l walk    4 animal
frog           frog                f hop     0 animal
snail          snail               l crawl   0 animal
rooster        rooster             l walk    1 animal
chick          baby-chick          l walk    0 animal
duck           duck                l walk    1 animal
swan           swan                l swim    2 bird
goose          goose               l walk    1 animal
flamingo       flamingo            l walk    2 animal
peacock        peacock             f walk    2 animal
penguin        penguin             f walk    1 animal
turkey         turkey              l walk    1 animal
dodo           dodo                l walk    1 animal
bird           bird                l fly     0 bird
parrot         parrot              l fly     1 bird
owl            owl                 f fly     1 bird
eagle          eagle               l fly     2 bird
dove           dove                l fly     1 bird
crow           blackbird           r fly     1 bird
bat            bat                 f fly     1 bird
butterfly      butterfly           f fly     0 bird
bee            honeybee            l fly     0 bird
fish           tropical-fish       l swim    1 sea
blue fish      fish                l swim    1 sea
pufferfish     blowfish            l swim    1 sea
shark          shark               l swim    3 sea
dolphin        dolphin             l swim    3 sea
whale          whale               l swim    4 sea
octopus        octopus             f swim    2 sea
squid          squid               f swim    2 sea
jellyfish      jellyfish           f swim    1 sea
shrimp         shrimp              l swim    0 sea
crab           crab                f crawl   1 animal
lobster        lobster             f crawl   1 animal
ladybug        lady-beetle         f crawl   0 animal
caterpillar    bug                 l crawl   0 animal
ant            ant                 l crawl   0 animal
spider         spider              f crawl   0 animal
dragon         dragon              l fly     4 bird
car            automobile          l drive   3 vehicle
jeep           sport-utility-vehicle l drive 3 vehicle
taxi           taxi                l drive   3 vehicle
bus            bus                 l drive   4 vehicle
van            minibus             l drive   4 vehicle
police car     police-car          l drive   3 vehicle
ambulance      ambulance           l drive   4 vehicle
fire truck     fire-engine         l drive   4 vehicle
truck          delivery-truck      l drive   4 vehicle
tractor        tractor             l drive   3 vehicle
pickup truck   pickup-truck        l drive   3 vehicle
race car       racing-car          l drive   3 vehicle
bicycle        bicycle             l drive   2 vehicle
motorcycle     motorcycle          l drive   2 vehicle
scooter        motor-scooter       l drive   2 vehicle
locomotive     locomotive          l drive   4 vehicle
tram           railway-car         l drive   4 vehicle
sailboat       sailboat            l sail    3 boat
boat           canoe               l sail    2 boat
speedboat      speedboat           l sail    3 boat
ship           ship                l sail    4 boat
ferry          ferry               l sail    4 boat
airplane       small-airplane      u fly     4 aircraft
jet            airplane            u fly     4 aircraft
helicopter     helicopter          l fly     4 aircraft
rocket         rocket              u fly     3 aircraft
ufo            flying-saucer       f fly     3 aircraft
parachute      parachute           f float   3 aircraft
balloon        balloon             f float   1 toy
kite           kite                f float   1 toy
apple          red-apple           f roll    0 food
green apple    green-apple         f roll    0 food
banana         banana              f stand   0 food
pear           pear                f stand   0 food
orange         tangerine           f roll    0 food
lemon          lemon               f stand   0 food
watermelon     watermelon          f stand   1 food
grapes         grapes              f stand   0 food
strawberry     strawberry          f stand   0 food
cherry         cherries            f stand   0 food
peach          peach               f roll    0 food
pineapple      pineapple           f stand   1 food
tomato         tomato              f roll    0 food
carrot         carrot              f stand   0 food
broccoli       broccoli            f stand   0 food
avocado        avocado             f stand   0 food
bread          bread               f stand   0 food
croissant      croissant           f stand   0 food
cheese         cheese-wedge        f stand   0 food
pizza          pizza               f stand   0 food
hamburger      hamburger           f stand   0 food
hot dog        hot-dog             f stand   0 food
donut          doughnut            f roll    0 food
cookie         cookie              f roll    0 food
cupcake        cupcake             f stand   0 food
cake           birthday-cake       f stand   1 food
lollipop       lollipop            f stand   0 food
ice cream      soft-ice-cream      f stand   0 food
egg            egg                 f stand   0 food
tree           deciduous-tree      f stand   4 plant
pine tree      evergreen-tree      f stand   4 plant
palm tree      palm-tree           f stand   4 plant
cactus         cactus              f stand   2 plant
christmas tree christmas-tree      f stand   3 plant
sunflower      sunflower           f stand   1 plant
flower         tulip               f stand   0 plant
rose           rose                f stand   0 plant
mushroom       mushroom            f stand   0 plant
potted plant   potted-plant        f stand   1 plant
rock           rock                f stand   1 thing
house          house               f stand   4 building
castle         castle              f stand   4 building
hut            hut                 f stand   4 building
tent           tent                f stand   3 building
church         church              f stand   4 building
factory        factory             f stand   4 building
ferris wheel   ferris-wheel        f stand   4 building
school         school              f stand   4 building
circus tent    circus-tent         f stand   4 building
snowman        snowman-without-snow f stand  2 toy
robot          robot               f walk    2 toy
ghost          ghost               f float   2 toy
alien          alien               f walk    2 toy
teddy bear     teddy-bear          f walk    1 toy
soccer ball    soccer-ball         f roll    1 toy
basketball     basketball          f roll    1 toy
baseball       baseball            f roll    0 toy
volleyball     volleyball          f roll    1 toy
wheel          wheel               f roll    1 toy
die            game-die            f stand   0 toy
crown          crown               f stand   0 thing
hat            top-hat             f stand   0 thing
umbrella       umbrella            f float   1 thing
drum           drum                f stand   1 thing
guitar         guitar              f stand   1 thing
bell           bell                f stand   0 thing
chair          chair               f stand   2 thing
gift           wrapped-gift        f stand   1 thing
box            package             f stand   1 thing
trophy         trophy              f stand   0 thing
candle         candle              f stand   0 thing
key            key                 f stand   0 thing
book           closed-book         f stand   0 thing
television     television          f stand   1 thing
telephone      telephone           f stand   0 thing
laptop         laptop              f stand   0 thing
sled           sled                l drive   2 thing
paintbrush     paintbrush          f stand   0 tool
crayon         crayon              f stand   0 tool
pencil         pencil              f stand   0 tool
lamp           own-lamp            f stand   1 lamp
light bulb     light-bulb          f stand   0 lamp
"""

_FACINGS: dict[str, Facing] = {"l": "left", "r": "right", "f": "front", "u": "up-right"}


def _parse(row: str) -> Noun:
    *words, icon, facing, gait, bulk, group = row.split()
    return Noun(" ".join(words), icon, _FACINGS[facing], gait, int(bulk), group)  # type: ignore[arg-type]


CAST: dict[str, Noun] = {noun.word: noun for noun in map(_parse, _ROWS.strip().splitlines())}
