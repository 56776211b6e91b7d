"""Weather, sea and small adventures under the sky. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== puddles: A=child B=friend thing=wear color
@meet

It rained and rained, and {A} had to stay inside.
All {day} the rain fell on the roof.

{A} looked out of the window and was {sad}.
"I want to play outside," said {A}. "Rain is no fun."

Then there was a knock. It was {his} friend {B}.
Just then {his} friend {B} came to the door.

{B} wore a {color} {thing} and big boots.
{B} was all wet and had a {color} {thing} on.

"Come out!" said {B}. "Rain is the best weather for puddles."
"Let us jump in the puddles!" said {B}.

--
{A} put on {his} boots and ran outside.
So {A} got {his} boots and followed {B}.

Splash! They jumped into a big puddle.
They jumped and splashed, and water flew everywhere.

The wind took the {thing} and blew it into a puddle.
Then the {thing} fell into the mud.

{A} fished it out with a stick. "Here is your {thing}," {he} said.
"Your {thing} looks funny now," laughed {A}.

When the rain stopped, there was a big rainbow.
Then the sun came out, and they saw a rainbow.

"Now I love the rain," said {A}.
"I hope it rains tomorrow," said {A}.

@friends

== snowman: A=child B=friend thing=wear color
@meet

In the morning everything was white. It had snowed all night!
{A} woke up and saw snow on the roofs and trees.

{A} ran outside and called {his} friend {B}.
"Come out, {B}!" called {A}. {B} lived next door.

They rolled a big ball, then a smaller one, and then a tiny one.
They worked all morning to make a big snowman.

He got two stones for eyes and a carrot for a nose.
They gave him a carrot nose and a mouth made of stones.

"He looks cold," said {B}. "He needs some clothes."
"Something is missing," said {A}.

{A} took off {his} {color} {thing} and gave it to the snowman.
{A} ran home and got an old {color} {thing} for him.

--
A few days later the sun was warm, and the snowman got smaller.
Then it got warm, and the snow began to melt.

One {day} only the {thing} was left on the grass.
Soon there was no snowman, only a puddle and the {thing}.

"Our snowman is gone," said {A}. {He} was very {sad}.
@cry

"He will come back next winter," said {B}.
"Do not be {sad}," said {B}. "We will make a new one next year."

{A} kept the {thing} in a safe place for him.
So {A} washed the {thing} and put it away until the next winter.

And the next winter they made an even bigger snowman.
When the snow came back, they built two snowmen.

@friends

== sandcastle: A=child B=friend color
@meet

One {sunny} {day} {A} went to the beach with a {color} bucket.
{A} was at the beach with a {color} bucket and a spade.

?@weather

{He} built a big castle with four towers.
{He} wanted to build the biggest castle in the world.

On the top {he} put a flag.
{He} put shells on the walls and a flag on the top.

Then a big wave came and washed the castle away.
But the sea came closer, and a wave hit the castle. Splash!

@cry

--
A {B.kind} named {B} saw what happened. {B} came over.
Then {B}, a {B.kind} with a spade, came over. {B} smiled.

"The sea always takes castles," said {B}. "We can build a new one."
"Do not give up," said {B}. "I will help you build it again."

"You must build it away from the water," said {B}.
This time they went a little farther from the waves.

{A} carried sand in the bucket, and {B} made the walls.
They dug a deep ditch, so the water could not reach it.

When the next wave came, the castle did not fall.
A wave came, and then one more, but the castle was safe.

{A} put the flag back on the top.
They found the flag and put it on the new castle.

@lesson_try

@friends

== rainbow_gold: A=child B=friend color
@meet

@friend

After the rain there was a big rainbow in the sky.
One {day} they saw a rainbow behind the hill.

"There is gold at the end of it," said {B}.
"Let us find the end of the rainbow!" said {A}.

They took a {color} bag for the gold and began to walk.
{A} carried a {color} bag, and off they went.

They went over a bridge, through a field and up a hill.
They walked for a long time, but the rainbow was still far away.

--
Then the sun went behind a cloud, and the rainbow was gone.
When they got to the top, there was no rainbow anymore.

"Now we will never find the gold," said {A}. {He} was {sad}.
{A} sat down on a stone. "We came all this way for nothing," {he} said.

But {B} pointed at the field. It was full of yellow flowers!
"Look down there!" said {B}. The whole field shone like gold.

"We found our gold!" laughed {A}.
It was the most beautiful thing they had ever seen.

They put flowers in the bag and took them home.
They filled the bag with sweet berries instead.

@friends

== treasure_map: A=child B=friend thing=treasure color place=room
@meet

One rainy {day} {A} found an old map {place.at}.
{A} was looking for a book {place.at} and found an old map.

There was a {color} cross on the map.
In the middle of the map was a {color} cross.

{He} showed it to {his} friend {B}. "It is a treasure map!" said {B}.
"We must find the treasure!" said {A} to {his} friend {B}.

They took ten steps to the left and five steps to the right.
They followed the map past the well and over the fence.

Under the old apple tree they saw a stone.
At the end of the garden stood a post.

--
"We must dig here," said {B}.
"This is the place!" said {A}.

They dug and dug until their arms were tired.
{A} dug first, and then it was the turn of {B}.

At last they found a little box.
Clonk! There was a box in the ground.

In the box was a {thing} and a letter.
{A} opened it slowly. There was a {thing} in it.

"I hid this {thing} when I was little," said Grandpa. "Now it is yours."
Grandma laughed. "That is my old {thing}," she said. "You can keep it."

@joy

@friends

== bridge: A=child B=friend place=outdoors
@meet

@friend

One {day} they wanted to go to {place}.
"Let us go to {place}!" said {B} one {sunny} {day}.

On the way there was an old bridge made of rope.
But first they had to cross a long, thin bridge.

{B} ran across, but {A} stood still.
The bridge moved in the wind, and {A} was {scared}.

"I cannot do it," said {A}. {His} knees were shaking.
"I want to go home," said {A}.

--
{B} came back. "I was {scared} too the first time," {B.he} said.
{B} did not laugh. "We will do it together," {B.he} said.

"Look at me and not at the water," said {B}.
"Hold my hand and count your steps," said {B}.

One step, two steps, three steps. {A} did not look down.
{A} took a deep breath and made the first step.

And then they were on the other side!
Soon {A} felt the grass under {his} feet.

@proud

They played there all {day}, and on the way back {A} went first.
They had so much fun that they stayed until dinner.

@lesson_brave
"""
