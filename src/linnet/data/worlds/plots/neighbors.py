"""Animals that help one another. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== storm_shelter: A=animal B=neighbor
@meet

{He} had a warm little house under an old tree.
{His} home was a cozy hole in the ground.

One {day} dark clouds came, and it began to rain hard.
One night there was a big storm with thunder and rain.

{A} sat by the fire and drank hot tea.
{A} was glad to be warm and dry.

Then {he} heard a knock. Outside stood a {B.kind} named {B}. {B} was all wet.
Knock, knock! At the door was a {B.kind} named {B}. {B} looked tired.

"My house is full of water," said {B}. "I am so cold."
"May I come in?" asked {B}. "The wind blew my roof away."

--
"My house is very small," said {A}, "but there is room for two."
"Of course," said {A}. "Come in and get warm."

{A} gave {B} a blanket and a bowl of hot soup.
{B} sat down by the fire, and {A} made more tea.

They told stories until the storm was over.
They sang songs, and soon {B} was not cold anymore.

In the morning the sun came out, and {A} helped {B} to mend the house.
The next day they went out together to fix the home of {B}.

"I will never forget how kind you were," said {B}.
"When you need help, I will come too," said {B}.

@friends

== winter_food: A=animal B=neighbor fruit
@meet

All summer {A} gathered {fruit} for the winter.
Every day {A} picked {fruit} and put them in a safe place.

{His} friend {B} did not work. {B} slept in the sun.
"Come and play!" said {B}. "Winter is far away."

"I must fill my home first," said {A}.
"Winter will come soon," said {A}.

--
Then the snow fell, and everything was white and cold.
Then winter came, and the ground was hard as stone.

{B} had nothing to eat. {B.He} was very hungry.
{B} looked for food, but there was none under the snow.

{B} came to the door of {A}. "Please, can you give me some {fruit}?" asked {B}.
"I am so hungry," {B} said. "Do you have some {fruit} for me?"

{A} thought about it. There were not many {fruit}, but enough for two.
{A} looked at all the {fruit}. "I can share," {he} said.

"Come in," said {A}. "We will eat together."
{A} gave {B} a big bowl of {fruit}.

"Next summer I will work with you," said {B}.
"Thank you," said {B}. "Next year I will help you."

And so {B} did. The next summer they worked side by side.
When spring came, {B} was the first to start working.

@lesson_share

@friends

== fallen_bird: A=child B=family bird
@meet

One windy {day} {A} heard a soft sound in the yard.
One {day} {A} was playing under the big tree.

A baby {bird} was lying in the grass. It had fallen from its nest.
On the ground {he} saw a tiny {bird}. It could not fly.

"You poor little {bird}," said {A}.
"Do not be afraid, little {bird}," said {A}.

{A} ran to get {B}. "Come quickly!" {he} called.
{A} called {B}, and {B} came at once.

--
"The nest is up there," said {B}. "We need the ladder."
"Its mother is looking for it," said {B}. "We must be very gentle."

{B} held the ladder, and {A} carried the {bird} in {his} hands.
{A} put the {bird} in a soft cloth and gave it to {B}.

Carefully they put the {bird} back into its nest.
Then the little {bird} was home again with its brothers.

Soon the mother came with a worm and began to sing.
The mother {bird} sang a happy song.

"She is saying thank you," said {B}.
"Listen," {B} said. "That song is for you."

Every morning {A} looked up and waved at the nest.
A few weeks later {A} saw the {bird} fly for the first time.

@end

== new_neighbor: A=animal B=neighbor treat
@meet

{A} was new in the forest and did not know anyone.
{A} had just moved into a hole under an old tree.

{He} was shy and stayed at home all day.
{He} saw the other animals play, but {he} was too shy to say hello.

"Nobody will like me," thought {A}.
{A} felt very lonely.

--
One {day} there was a knock at the door.
Then someone knocked softly on the door.

Outside stood a {B.kind} with a big {treat}. "My name is {B}," said {B}.
It was a {B.kind} named {B}. "I brought you a {treat}," said {B}.

"Is that {treat} for me?" asked {A}.
{A} did not know what to say. "Please come in," {he} said at last.

They sat down together and shared the {treat}.
{A} cut the {treat} in two, and they ate it together.

"Will you come and play with us?" asked {B}.
"I will show you the forest," said {B}.

Soon {A} knew all the animals and was not shy anymore.
{B} took {A} to meet the other animals, and they played all day.

@joy

@friends

== thorn: A=animal B=neighbor
@meet

One {day} {A} heard someone cry in the forest.
One {sunny} {day} {A} was picking mushrooms in the forest.

?@weather

Under a tree sat a big {B.kind} named {B}. {B} was crying.
There {he} met a {B.kind} named {B}. {B} could not walk.

"What happened to you?" asked {A}.
{A} was a little {scared}, but {he} went closer. "Are you hurt?" {he} asked.

"I have a thorn in my paw," said {B}.
"Look at my paw," said {B}. "There is a thorn in it."

--
"Hold still," said {A}. "This will not take long."
"I can pull it out," said {A}. "Close your eyes."

{A} pulled with all {his} might, and out came the thorn.
One, two, three! {A} pulled out the thorn.

Then {he} washed the paw and put a leaf on it.
{A} cleaned the paw with cool water.

"It does not hurt anymore!" said {B}.
{B} stood up and took a few steps. "I can walk!" {B.he} said.

A few days later {A} fell into a deep hole and could not get out.
Then one night {A} got stuck in the mud.

{B} heard {him} call and pulled {him} out.
{B} came running and helped {A} at once.

"You helped me, and now I helped you," said {B}.
"That is what friends are for," said {B}.

@friends
"""
