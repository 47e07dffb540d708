"""The actors of the stage: shapes and the nouns of the emoji cast, one row each."""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = ["CAST", "SHAPES", "Noun"]

Facing = Literal["left", "right", "front", "up-right"]
Gait = Literal["walk", "hop", "fly", "float", "swim", "drive", "sail", "roll", "crawl", "slither", "stand"]


SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "hexagon", "cross")


@dataclasses.dataclass(frozen=True)
class Noun:
    """One kind of actor; `facing` is that of its drawing."""

    word: str
    icon: str
    facing: Facing
    gait: Gait
    group: str


# Columns: word, icon in @iconify-json/fluent-emoji or in drawings.py, facing of the drawing (l left, r right, f front,
# u nose to the upper right), gait, group
_ROWS = """
fox            own-fox              r walk    animal
dog            dog                  l walk    animal
cat            cat                  l walk    animal
rabbit         rabbit               l hop     animal
mouse          mouse                l walk    animal
hamster        hamster              f walk    animal
squirrel       chipmunk             l hop     animal
hedgehog       hedgehog             l walk    animal
bear           bear                 f walk    animal
polar bear     polar-bear           f walk    animal
panda          panda                f walk    animal
koala          koala                f walk    animal
tiger          tiger                l walk    animal
lion           lion                 f walk    animal
leopard        leopard              l walk    animal
wolf           own-wolf             r walk    animal
raccoon        raccoon              f walk    animal
horse          horse                l walk    animal
zebra          zebra                l walk    animal
unicorn        unicorn              l walk    animal
deer           deer                 l walk    animal
cow            cow                  l walk    animal
ox             ox                   l walk    animal
pig            pig                  l walk    animal
boar           boar                 l walk    animal
sheep          ewe                  l walk    animal
ram            ram                  l walk    animal
goat           goat                 l walk    animal
llama          llama                l walk    animal
camel          camel                l walk    animal
giraffe        giraffe              l walk    animal
elephant       elephant             l walk    animal
mammoth        mammoth              l walk    animal
rhino          rhinoceros           l walk    animal
hippo          hippopotamus         l walk    animal
monkey         monkey               f walk    animal
gorilla        gorilla              l walk    animal
kangaroo       kangaroo             l hop     animal
badger         badger               l walk    animal
skunk          skunk                l walk    animal
donkey         donkey               l walk    animal
bison          bison                l walk    animal
turtle         turtle               l crawl   animal
snake          snake                l slither animal
dinosaur       sauropod             l walk    animal
t-rex          t-rex                l walk    animal
frog           frog                 f hop     animal
snail          snail                l crawl   animal
rooster        rooster              l walk    animal
chick          baby-chick           l walk    animal
duck           duck                 l walk    animal
swan           swan                 l swim    bird
goose          goose                l walk    animal
flamingo       flamingo             l walk    animal
peacock        peacock              f walk    animal
penguin        penguin              f walk    animal
turkey         turkey               l walk    animal
dodo           dodo                 l walk    animal
bird           bird                 l fly     bird
parrot         parrot               l fly     bird
owl            owl                  f fly     bird
eagle          eagle                l fly     bird
dove           dove                 l fly     bird
crow           blackbird            r fly     bird
bat            bat                  f fly     bird
butterfly      butterfly            f fly     bird
bee            honeybee             l fly     bird
fish           tropical-fish        l swim    sea
blue fish      fish                 l swim    sea
pufferfish     blowfish             l swim    sea
shark          shark                l swim    sea
dolphin        dolphin              l swim    sea
whale          whale                l swim    sea
octopus        octopus              f swim    sea
squid          squid                f swim    sea
jellyfish      jellyfish            f swim    sea
shrimp         shrimp               l swim    sea
crab           crab                 f crawl   animal
lobster        lobster              f crawl   animal
ladybug        lady-beetle          f crawl   animal
caterpillar    bug                  l crawl   animal
ant            ant                  l crawl   animal
spider         spider               f crawl   animal
dragon         dragon               l fly     bird
car            automobile           l drive   vehicle
jeep           sport-utility-vehicle l drive   vehicle
taxi           taxi                 l drive   vehicle
bus            bus                  l drive   vehicle
van            minibus              l drive   vehicle
police car     police-car           l drive   vehicle
ambulance      ambulance            l drive   vehicle
fire truck     fire-engine          l drive   vehicle
truck          delivery-truck       l drive   vehicle
tractor        tractor              l drive   vehicle
pickup truck   pickup-truck         l drive   vehicle
race car       racing-car           l drive   vehicle
bicycle        bicycle              l drive   vehicle
motorcycle     motorcycle           l drive   vehicle
scooter        motor-scooter        l drive   vehicle
locomotive     locomotive           l drive   vehicle
tram           railway-car          l drive   vehicle
sailboat       sailboat             l sail    boat
boat           canoe                l sail    boat
speedboat      speedboat            l sail    boat
ship           ship                 l sail    boat
ferry          ferry                l sail    boat
airplane       small-airplane       u fly     aircraft
jet            airplane             u fly     aircraft
helicopter     helicopter           l fly     aircraft
rocket         rocket               u fly     aircraft
ufo            flying-saucer        f fly     aircraft
parachute      parachute            f float   aircraft
balloon        balloon              f float   toy
kite           kite                 f float   toy
apple          red-apple            f roll    food
green apple    green-apple          f roll    food
banana         banana               f stand   food
pear           pear                 f stand   food
orange         tangerine            f roll    food
lemon          lemon                f stand   food
watermelon     watermelon           f stand   food
grapes         grapes               f stand   food
strawberry     strawberry           f stand   food
cherry         cherries             f stand   food
peach          peach                f roll    food
pineapple      pineapple            f stand   food
tomato         tomato               f roll    food
carrot         carrot               f stand   food
broccoli       broccoli             f stand   food
avocado        avocado              f stand   food
bread          bread                f stand   food
croissant      croissant            f stand   food
cheese         cheese-wedge         f stand   food
pizza          pizza                f stand   food
hamburger      hamburger            f stand   food
hot dog        hot-dog              f stand   food
donut          doughnut             f roll    food
cookie         cookie               f roll    food
cupcake        cupcake              f stand   food
cake           birthday-cake        f stand   food
lollipop       lollipop             f stand   food
ice cream      soft-ice-cream       f stand   food
egg            egg                  f stand   food
tree           deciduous-tree       f stand   plant
pine tree      evergreen-tree       f stand   plant
palm tree      palm-tree            f stand   plant
cactus         cactus               f stand   plant
christmas tree christmas-tree       f stand   plant
sunflower      sunflower            f stand   plant
flower         tulip                f stand   plant
rose           rose                 f stand   plant
mushroom       mushroom             f stand   plant
potted plant   potted-plant         f stand   plant
rock           rock                 f stand   thing
house          house                f stand   building
castle         castle               f stand   building
hut            hut                  f stand   building
tent           tent                 f stand   building
church         church               f stand   building
factory        factory              f stand   building
ferris wheel   ferris-wheel         f stand   building
school         school               f stand   building
circus tent    circus-tent          f stand   building
snowman        snowman-without-snow f stand   toy
robot          robot                f walk    toy
ghost          ghost                f float   toy
alien          alien                f walk    toy
teddy bear     teddy-bear           f walk    toy
soccer ball    soccer-ball          f roll    toy
basketball     basketball           f roll    toy
baseball       baseball             f roll    toy
volleyball     volleyball           f roll    toy
wheel          wheel                f roll    toy
die            game-die             f stand   toy
crown          crown                f stand   thing
hat            top-hat              f stand   thing
umbrella       umbrella             f float   thing
drum           drum                 f stand   thing
guitar         guitar               f stand   thing
bell           bell                 f stand   thing
chair          chair                f stand   thing
gift           wrapped-gift         f stand   thing
box            package              f stand   thing
trophy         trophy               f stand   thing
candle         candle               f stand   thing
key            key                  f stand   thing
book           closed-book          f stand   thing
television     television           f stand   thing
telephone      telephone            f stand   thing
laptop         laptop               f stand   thing
sled           sled                 l drive   thing
paintbrush     paintbrush           f stand   tool
crayon         crayon               f stand   tool
pencil         pencil               f stand   tool
lamp           own-lamp             f stand   lamp
light bulb     light-bulb           f stand   lamp
"""

_FACINGS: dict[str, Facing] = {"l": "left", "r": "right", "f": "front", "u": "up-right"}


def _parse(row: str) -> Noun:
    *words, icon, facing, gait, group = row.split()
    return Noun(" ".join(words), icon, _FACINGS[facing], gait, group)  # type: ignore[arg-type]


CAST: dict[str, Noun] = {noun.word: noun for noun in map(_parse, _ROWS.strip().splitlines())}
