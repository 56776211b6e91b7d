"""Things that break, get stuck or drift away, and are put right. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== broken_toy: A=child B=friend thing=toy color
@meet

@friend

{A} had a new {color} {thing}. {He} was very proud of it.
For {his} birthday {A} got a {color} {thing}. {He} loved it.

One {day} {B} came to play. "May I hold your {thing}?" asked {B}.
{B} came to visit one {day} and wanted to see the {thing}.

{B} was not careful, and the {thing} fell on the floor and broke.
But {B} dropped the {thing}, and it broke.
Then {B} pulled too hard, and the {thing} broke.

@cry

--
"I am so sorry," said {B}. "I did not mean to break it."
{B} looked at the floor. "I am sorry," {B.he} said. "It was an accident."

{A} was {angry} at first, but then {he} took a deep breath.
{A} wanted to shout, but {he} saw that {B} was sorry.

"It is all right," said {A}. "Let us fix it together."
"We can mend it," said {A}. "Will you help me?"

They used [glue and tape|glue and string] to fix the {thing}.
{B} held the pieces, and {A} put glue on them.

Soon the {thing} was [as good as new|almost like new].
At last the {thing} worked again.

@friends

== mended: A=child B=family thing=toy color
@meet

{A} had an old {color} {thing} that {he} loved.
{His} {color} {thing} was very old, but {A} loved it best.

One {day} {A} played with the {thing}, and it broke.
One {day} {A} stepped on the {thing} by mistake. Crack!

@cry

{He} carried the {thing} to {B}. "Can you fix it?" asked {A}.
"Please help me, {B}," said {A}. "My {thing} is broken."

{B} looked at it and nodded. "I think we can," {B.he} said.
"Let me see," said {B}. "Yes, this can be fixed."

--
{B} got a [hammer|needle|brush] and some glue. {A} watched and helped.
They sat down at the table and worked for an hour.
{B} showed {A} how to hold the pieces and use the glue.

Soon the {thing} was whole again.
When they were done, the {thing} looked better than before.

@thanks

"Now you know how to fix things too," said {B}.
"You were a great helper," said {B}.

{A} put the {thing} next to {his} bed that night.
{A} took good care of the {thing} after that.

== kite_in_tree: A=child B=friend color place=outdoors
@meet

{A} had a {color} kite with a long tail.
Grandpa had made {A} a {color} kite.

One windy {day} {A} and {his} friend {B} went to {place}.
The wind was strong, so {A} and {his} friend {B} ran to {place}.

The kite flew up, up, up into the sky.
The kite flew higher than the birds.

But then a big wind came, and the kite got stuck in a tree.
Then the string broke, and the kite landed in a tall tree.

@cry

--
{A} jumped and jumped, but {he} could not reach it.
{A} tried to climb the tree, but it was too high.

"I have an idea," said {B}. {B.He} got a long stick.
"Wait here," said {B}. {B.He} came back with a ladder.

{B} gave the kite a push, and it fell down [slowly|softly].
Step by step, {B} got closer, and at last the kite was free.

"My kite is safe!" said {A}.
{A} picked up the kite and held it tight.

@thanks

Then they let the kite fly again, far away from the tree.
"Now it is your turn to fly it," {A} told {B}.

@end

== drifting_boat: A=child B=friend color place=water
@meet

{A} had a little {color} boat made of wood.
Dad had made {A} a small {color} boat.

One {sunny} {day} {A} and {his} friend {B} took the boat to {place}.
One {day} {A} met {his} friend {B} at {place} and showed {B.him} the boat.

The boat floated nicely on the water.
They put the boat on the water, and it began to sail.

But the wind blew, and the boat drifted [far away|away from them].
Then a wave came and carried the boat away.

"Come back, little boat!" cried {A}.
{A} could not swim that far, and {he} was very {sad}.

--
{B} [saw|found] a long branch. "We can use this," {B.he} said.
"Look, a duck is swimming to the boat!" said {B}.
"Let us throw stones behind it," said {B}. "The waves will bring it back."

They waited, and slowly the boat came closer.
It took a long time, but the boat moved back to them.

{A} reached out and took the boat in {his} hands.
At last {A} pulled the boat out of the water.

@joy

After that, {A} always tied a string to the boat.
"Next time I will use a string," said {A}.

@friends

== saving_coins: A=child B=family thing=toy color
@meet

One {day} {A} saw a {color} {thing} in a shop window.
In the window of the shop stood a {color} {thing}.

"I wish I had that {thing}," said {A}.
{A} wanted the {thing} very much, but it cost too much.

"You can save your coins," said {B}.
"If you help me, you can earn some money," said {B}.

So {A} helped {B} every day. {He} put each coin in a jar.
Every week {A} swept the yard, and {B} gave {him} a coin.

--
It took a long time, but {A} did not give up.
The days went by, and the jar got full.

At last {he} had enough coins. {A} ran to the shop.
One {day} the jar was full, and {A} went to the shop.

But the window was empty! {A} was very {sad}.
But {he} did not see the {thing} anymore. {A} was {sad}.

"I kept it for you," said the man in the shop. He held up the {thing}.
Then the woman in the shop smiled and showed {him} the {thing}.

{A} paid with {his} coins and carried the {thing} home.
{A} gave all {his} coins and hugged the {thing}.

"You worked hard for it," said {B}. "I am proud of you."
{B} was very proud of {A}.

@end

== broken_vase: A=child B=family color
@meet

On the table stood a {color} vase. {B} loved it very much.
{B} had a beautiful {color} vase with flowers in it.

One {day} {A} was playing with a ball in the house.
"Do not run in the house," said {B}, but {A} ran anyway.

Crash! The vase fell down and broke.
{He} hit the table, and the vase broke.

{A} was very {scared}. {He} hid the pieces under the rug.
{A} wanted to run away. "Maybe nobody will see it," {he} thought.

--
"Where is my vase?" asked {B}. "Did the cat break it?"
{B} came home and looked around. "What happened to my vase?" {B.he} asked.

{A} wanted to say nothing, but {his} heart was heavy.
For a moment {A} did not speak. {His} face got hot.

"It was me," said {A}. "I am so sorry."
Then {he} began to cry. "I broke it, and I am sorry," {he} said.

{B} was quiet for a while. Then {B.he} hugged {A}.
{B} sat down next to {A} and took {his} hand.

"I am {sad} about the vase," said {B}, "but I am glad that you told me."
"A vase is only a vase," said {B}. "The truth is worth much more."

{A} painted a new vase for {B}.
Together they glued the vase. It looked funny but nice.

@lesson_truth

== paint_spill: A=child B=family color
@meet

{A} wanted to paint a picture for {B}.
Tomorrow {B} was coming to visit, and {A} painted a picture.

{He} painted a house, a tree and a big sun.
{He} painted a garden with many flowers.

Then {his} arm hit the cup. A big {color} spot was on the picture!
But a drop of {color} paint fell right in the middle.

"Now it is ruined!" cried {A}.
@cry

{He} wanted to throw the picture away.
{A} was {angry} and pushed the paper off the table.

--
Then {he} looked at the spot again.
But when {he} looked closer, the spot had a funny shape.

"It looks like a bird," {A} thought.
"It could be a fish," {he} said.

{A} painted two eyes and a tail on it.
{He} took a small brush and gave it a smile.

Now there was a funny animal in the picture.
The spot was the best part of the picture now.

When {B} saw it, {B.he} laughed. "What a wonderful picture!" said {B}.
"I love it," said {B}. "Most of all I love the animal."

{B} hung it on the wall for everyone to see.
{A} was very proud, and {B} put the picture over the bed.

@end
"""
