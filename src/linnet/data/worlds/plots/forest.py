"""Animals of the forest: trials and small adventures. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== race: A=animal B=neighbor place=outdoors
@meet

@friend

One {day} there was a big race {place.at}.
One {sunny} {day} the animals held a race {place.at}.

?@weather

"I am the fastest of all," said {B}. "You will never win."
"You are too slow," laughed {B}. "I will win."

"I will do my best," said {A}.
{A} was not fast, but {he} wanted to try.

--
Ready, steady, go! {B} ran ahead like the wind.
The race began. Soon {B} was far ahead of {A}.

But {B} stopped to rest under a tree and fell asleep.
But {B} tripped over a root and hurt a leg.

{A} kept going, step by step.
{A} did not stop for one moment.

{A} saw {B} and stopped. "Come, we will finish together," said {A}.
When {A} came to {B}, {he} said, "Take my paw. Let us go on."

They reached the end side by side, and everyone cheered.
So they crossed the line together, and all the animals clapped.

"You could have won," said {B}. "You are a true friend."
"I am sorry I laughed at you," said {B}.

@friends

== noise_at_night: A=animal B=neighbor
@meet

One night {A} was lying in bed and could not sleep.
It was late, and {A} was ready for bed.

Then {he} heard a strange noise outside.
Suddenly there was a sound. Tap, tap, tap!

"Who is there?" whispered {A}. Nobody answered.
"Maybe it is a monster," thought {A}.

{A} was so {scared} that {he} hid under the blanket.
{He} pulled the blanket over {his} head and shook.

--
The noise came again. {A} took a deep breath and got up.
"I must be brave," {A} said. {He} took {his} lamp.

Slowly {he} opened the door and looked out.
{A} went to the window and held up the lamp.

It was only {his} friend {B}! {B.He} was looking for something.
There stood {his} friend {B} with a basket.

"What are you doing here so late?" asked {A}.
"{B}, it is you!" said {A}. "I thought you were a monster."

"I am sorry," said {B}. "I could not sleep, so I picked berries."
"I wanted to see the stars," said {B}. "Did I wake you up?"

{A} laughed and laughed. They had some hot milk together.
They both laughed and looked at the stars together.

@lesson_brave

@friends

== honey: A=animal B=neighbor
@meet

{A} loved honey more than anything.
There was nothing that {A} liked more than sweet honey.

One {day} {he} smelled honey in a tall tree.
One {sunny} {day} {A} found a tree with a lot of honey.

?@weather

{A} put {his} nose into the tree. Buzz! The bees were very {angry}.
But the bees lived there, and they did not like visitors.

{A} ran and ran and jumped into a pond.
The bees chased {A} all the way to the pond.

{His} friend {B} saw it. "Why are you so wet?" asked {B}.
A wise {B.kind} named {B} was sitting there. "What happened?" asked {B}.

"I only wanted some honey," said {A}.
"The bees will not give me any honey," said {A}.

--
"Did you ask them?" said {B}. "You must be polite."
"You should bring them something nice," said {B}.

So {A} picked a lot of flowers and went back to the tree.
The next day {A} planted flowers all around the tree.

"Dear bees, these flowers are for you," said {A}. "I am sorry."
"I am sorry I was rude," {A} told the bees. "I brought you flowers."

The bees were pleased and gave {A} a big pot of honey.
The bees danced around the flowers. Then they gave {him} some honey.

{A} shared the honey with {B}, and it was very sweet.
That evening {A} and {B} ate bread with honey.

@end

== crossing: A=animal B=neighbor fruit
@meet

On the other side of the river grew sweet {fruit}.
{A} could see many {fruit} on the other side of the river.

But the water was deep, and {A} could not swim.
But there was no bridge, and the river was wide.

{A} sat down on the grass and looked at the {fruit}.
"I will never get there," said {A}. {He} was {sad}.

Then {his} friend {B} came along. "What are you looking at?" asked {B}.
Then a {B.kind} named {B} stopped. "What is the matter?" asked {B}.

"I want to pick those {fruit}, but I cannot cross," said {A}.
"I would love some {fruit}," said {A}, "but the river is too deep."

--
"I know what to do," said {B}. "We can build a raft."
"Let us make a bridge," said {B}.

They [pulled|rolled] a big log to the river.
They tied some branches together with grass.

{A} was {scared} at first, but {B} went first.
"Hold on to me," said {B}. "I will not let you fall."

Step by step they came to the other side.
Slowly they crossed the water, and nobody got wet.

They ate {fruit} until they were full.
They picked a whole basket of {fruit}.

@thanks

@friends

== shy_singer: A=animal B=neighbor
@meet

{A} loved to sing, but only when nobody was there.
{A} had a lovely voice, but {he} was very shy.

One {day} {his} friend {B} heard {him} sing.
One {day} {A} was singing by a pond, and {his} friend {B} came by.

"You sing so well!" said {B}. "You must sing at the forest party."
"What a beautiful song!" said {B}. "Please sing for everyone."

"I cannot do that," said {A}. "I am too {scared}."
{A} shook {his} head. "They will laugh at me," {he} said.

--
"Just look at me when you sing," said {B}.
"I will stand next to you," said {B}.

The night of the party came, and all the animals were there.
Soon it was time for the party. The moon was big and round.

{A} stood in front of them. {His} knees were shaking.
{A} opened {his} mouth, but no sound came out.

Then {he} looked at {B}, and {B} smiled.
{B} took {his} paw and nodded.

{A} began to sing, first softly and then louder.
So {A} sang, and {his} voice was as clear as a bell.

When the song was over, everyone clapped and cheered.
Everyone was quiet. Then they all clapped.

@proud

@lesson_brave

== too_small: A=animal B=neighbor thing=treasure color
@meet

{A} was smaller than all the other animals.
{A} was so small that {he} could hide behind a leaf.

"You are too little to help," the others always said.
The others never asked {him} to play because {he} was so small.

One {day} a {B.kind} named {B} came running. {B} had lost a {color} {thing}.
One {day} {B}, a big {B.kind}, was very {sad}. {B} had lost a {color} {thing}.

"It fell into a hole," said {B}. "Nobody can reach it."
"My {thing} rolled into a crack in the rock!" said {B}.

The others tried to get it, but they were all too big.
One after the other tried, but the hole was too small.

--
"Let me try," said {A}. "I am small enough."
"I can do it," said a small voice. It was {A}.

{A} crawled into the dark. {He} was {scared}, but {he} went on.
It was dark in there, but {A} was not {scared}.

Soon {he} came back with the {thing}.
After a while {he} came out and held up the {thing}.

"Hooray for {A}!" shouted the animals.
Everyone cheered and danced around {A}.

"You may be small, but your heart is big," said {B}.
"You are little and very brave," said {B}.

@proud

@friends
"""
