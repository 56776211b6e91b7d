"""Plots about things: lost, broken, shared, wished for, given. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== lost_toy: A=child B=child thing=toy color place=outdoors spot=outside
@meet

{A} had a {color} {thing} and took it everywhere.
{His} favorite toy was a {color} {thing}.
{A} loved {his} {color} {thing} more than any other toy.

One {sunny} {day} {A} took the {thing} to {place}.
One {day} {A} went to {place} with the {thing}.

?@weather

{He} played and ran, and then the {thing} was gone!
After a while {A} looked around, but the {thing} was gone.
But when it was time to go home, {he} could not find the {thing}.

@cry

--
Then {A} saw {his} friend {B} {place.at}.
{His} friend {B} came by and stopped.

"What is wrong?" asked {B}. "I lost my {color} {thing}," said {A}.
"Why are you so {sad}?" asked {B}. "My {color} {thing} is gone," said {A}.

"Do not worry," said {B}. "We will look for it together."
"I will help you find it," said {B}.

They looked high and low. At last {B} found the {thing} {spot}.
They looked everywhere. Then {A} saw something {color} {spot}. It was the {thing}!
{B} looked {spot}. "Here is your {thing}!" {B.he} [called|shouted].

@thanks

@friends

== lost_at_home: A=child B=family thing=wear color spot=inside
@meet

It was a cold {day}, and {A} wanted to play outside.
{A} wanted to go out into the cold wind.

{He} needed {his} {color} {thing}, but it was not there.
But {he} could not find {his} {color} {thing}.

"{B}, where is my {thing}?" asked {A}.
"Have you seen my {thing}, {B}?" asked {A}.

"I do not know where it is," said {B}. "Let us look for it."
"I have not seen it," said {B}. "Where did you have it last?"
"Look in your room," said {B}. {A} looked, but it was not there.

--
{A} looked [on the shelf|in the big box] and [behind the lamp|near the stairs]. The {thing} was not there.
{He} searched in every room, but there was no {thing}.
{A} opened every box, but the {thing} was not in them.

@cry

Then {he} looked {spot}. There was the {color} {thing}!
At last {B} looked {spot} and found the {color} {thing}.

"I will always put my {thing} away now," said {A}.
"Next time I will hang it up," said {A}.
{B} laughed. "Put it away next time," {B.he} said.

Then {A} put on the {thing} and ran outside.
{A} put it on and went out to play.

@end

== broken_toy: A=child B=child thing=toy color
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

They used [glue and tape|glue and string] to fix the {color} {thing}.
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

Soon the {color} {thing} was whole again.
When they were done, the {color} {thing} looked better than before.

@thanks

"Now you know how to fix things too," said {B}.
"You were a great helper," said {B}.

{A} put the {thing} next to {his} bed that night.
{A} took good care of the {thing} after that.

== take_turns: A=child B=child thing=toy color place=outdoors
@meet

One {day} {A} was playing {place.at} with a {color} {thing}.
One {sunny} {day} {A} took a {color} {thing} to {place}.

?@weather

A {B.kind} named {B} came and watched.
{B} was there too. {B.He} was a shy {B.kind}.

"Can I play with your {thing}?" asked {B}.
"What a nice {thing}!" said {B}. "May I have a turn?"

"No!" said {A}. "It is mine."
{A} held the {thing} tight. "No, it is mine," {he} said.

{B} walked away with a sad face.
{B} was {sad} and sat down alone.

--
{A} played alone for a while, but it was not much fun.
Soon {A} felt lonely. It was no fun to play alone.

{He} looked at {B} and had a good idea.
Then {A} thought about how {B} must feel.

"{B}, come and play!" called {A}. "We can take turns with the {color} {thing}."
{A} went to {B} and held out the {color} {thing}. "Do you want a turn?" {he} asked.

{B} smiled, and they played until the sun went down.
{B} was very {happy}, and they played together all day.

@lesson_share

@friends

== quarrel: A=child B=child thing=toy color
@meet

@friend

One {day} they found a {color} {thing} in a box.
One rainy {day} they both wanted to play with the {color} {thing}.

"I want it!" said {A}. "No, I want it!" said {B}.
"It is my turn!" shouted {A}. "No, it is my turn!" shouted {B}.

They pulled and pulled, and both of them got very {angry}.
{A} pushed {B}, and {B} pushed back.

"I will never play with you again!" said {B}. {B.He} ran home.
"You are not my friend anymore!" {B} cried. {B.He} went away.

--
Now {A} had the {thing} all alone, but {he} was not happy.
{A} looked at the {thing}, but {he} did not want to play.

{He} missed {B} very much.
The house was so quiet without {B}.

So {A} went to see {B}. "I am sorry," {he} said. "You can have the {color} {thing}."
{A} ran to the house of {B} with the {color} {thing}. "I am sorry I was mean," {he} said.

"I am sorry too," said {B}. "Let us play together."
{B} smiled. "I am sorry too," {B.he} said.

They hugged and played with the {thing} until dinner.
Then they took turns with the {thing} and laughed.

@friends

== kite_in_tree: A=child B=child color place=outdoors
@meet

{A} had a {color} kite with a long tail.
Grandpa had made {A} a {color} kite.

One windy {day} {A} and {his} friend {B} went to {place}.
The wind was strong, so {A} and {his} friend {B} ran to {place}.

The {color} kite flew up, up, up into the sky.
The {color} kite flew higher than the birds.

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

"My {color} kite is safe!" said {A}.
{A} picked up the {color} kite and held it tight.

@thanks

Then they let the kite fly again, far away from the tree.
"Now it is your turn to fly it," {A} told {B}.

@end

== drifting_boat: A=child B=child color place=water
@meet

{A} had a little {color} boat made of wood.
Dad had made {A} a small {color} boat.

One {sunny} {day} {A} and {his} friend {B} took the boat to {place}.
One {day} {A} met {his} friend {B} at {place} and showed {B.him} the boat.

The {color} boat floated nicely {place.at}.
They put the {color} boat on the water, and it began to sail.

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

{A} reached out and took the {color} boat in {his} hands.
At last {A} pulled the {color} boat out of the water.

@joy

After that, {A} always tied a string to the boat.
"Next time I will use a string," said {A}.

@friends

== secret_present: A=child B=family gift color
@meet

Tomorrow was the birthday of {B}, and {A} had no present.
{A} wanted to give {B} a present, but {he} had no money.

"I can make something," {A} thought.
Then {he} had a good idea. "I will make it myself," {he} said.

{A} found some {color} paint and began to make a {gift}.
{He} worked hard in {his} room to make a {color} {gift}.

"What are you doing in there?" asked {B}. "It is a secret," said {A}.
{B} knocked on the door. "Do not come in!" called {A}.

--
It was not easy, but {A} did not stop.
{A} made a mistake and had to start again.

At last the {gift} was done. {A} put it in a box with a ribbon.
When the {gift} was done, {he} hid it under {his} bed.

The next day {A} gave the box to {B}. "Happy birthday!" {he} said.
In the morning {A} ran to {B} with the present. "This is for you," {he} said.

{B} opened the box and saw the {color} {gift}.
{B} found the {color} {gift} and could not believe it.

"This is the best present of all," said {B}. "Did you make it yourself?"
"It is so beautiful!" said {B}. {B.He} hugged {A}.

@proud

@end

== birthday_toy: A=child B=child thing=toy color
@meet

Today was a big day. It was the birthday of {A}!
{A} woke up early because it was {his} birthday.

Mom [baked|made] a cake with {color} candles on it.
There were {color} balloons all over the house.

Many friends came, but {B} was not there.
The party began, but {his} best friend {B} did not come.

{A} looked out of the window again and again.
{A} was {sad} because {he} missed {B}.

--
Then there was a knock at the door. It was {B}!
At last the bell rang, and there stood {B}.

"I am sorry I am late," said {B}. "I had to wrap your present."
"I ran all the way," said {B}. "Happy birthday!"

{A} opened the box. Inside was a [little|shiny|new] {thing}.
{B} gave {A} a box, and in it was a {thing}.

"A {thing}! I always wanted one!" said {A}.
"I love this {thing}!" said {A}.

Then they all [sang a song|played games] and ate cake.
{A} blew out the {color} candles and made a wish.

@thanks

@end

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

"I kept it for you," said the man in the shop. He held up the {color} {thing}.
Then the woman in the shop smiled and showed {him} the {color} {thing}.

{A} paid with {his} coins and carried the {thing} home.
{A} gave all {his} coins and hugged the {thing}.

"You worked hard for it," said {B}. "I am proud of you."
{B} was very proud of {A}.

@end

== giving_away: A=child B=child thing=toy color
@meet

{A} had many toys, and one of them was a {color} {thing}.
On {his} shelf {A} had a {color} {thing} and many other toys.

One {day} a new {B.kind} named {B} moved into the house next door.
A {B.kind} named {B} came to live in the same street.

{B} had no toys at all. {B.He} played with [sticks|stones] in the yard.
The toys of {B} were lost in the move, and {B.he} was {sad}.

{A} saw this and felt sorry for {B}.
{A} looked at {B} from the window and wanted to help.

--
{He} looked at {his} toys for a long time. Then {he} took the {thing}.
"I have so many toys," {A} thought. "I can give one away."

{A} went next door. "This {color} {thing} is for you," {he} said.
"Hello, {B}," said {A}. "Would you like to have my {color} {thing}?"

{B} could not believe it. "For me?" {B.he} asked.
The eyes of {B} grew big. "Thank you!" {B.he} said.

They played with the {thing} all {day}.
{B} laughed and laughed, and {A} felt warm inside.

@lesson_share

@friends

== borrowed: A=child B=child thing=treasure color
@meet

@friend

{B} had a {color} {thing} that was very dear to {B.him}.
The greatest treasure of {B} was a {color} {thing}.

"May I borrow your {thing} for one day?" asked {A}.
"Can I take the {thing} home to show Mom?" asked {A}.

"Yes, but please be careful with it," said {B}.
"Yes," said {B}. "But promise to bring it back."

"I promise," said {A}.
{A} promised and put the {thing} in {his} pocket.

--
But on the way home the {thing} fell out of {his} pocket.
But there was a hole in the pocket, and the {thing} fell out.

That evening {A} could not find it. {He} felt [sick|terrible].
When {A} got home, the pocket was empty. {He} was very {scared}.

{A} took a lamp and walked back the same way.
{He} went back and looked at every step of the road.

Then something {color} shone in the light. It was the {thing}!
At last {he} saw the {color} {thing} in the grass.

The next day {A} gave the {thing} back and told {B} everything.
{A} brought the {thing} back to {B} and told {B.him} what had happened.

"Thank you for keeping your promise," said {B}.
"You told me the truth," said {B}. "You are a good friend."

@lesson_truth

== found_treasure: A=child B=child thing=treasure color place=outdoors
@meet

One {day} {A} was walking {place.at}.
One {sunny} {day} {A} went for a walk to {place}.

?@weather

There {he} saw something [small|shiny] on the ground. It was a {color} {thing}.
{A} looked down and found a {color} {thing}.

"How pretty!" said {A}. "I want to keep it."
{A} picked it up. "What a pretty {thing}!" {he} said.

Then {he} heard someone crying. It was a {B.kind} named {B}.
Not far away sat a {B.kind} named {B}. {B.He} was crying.

--
"What is the matter?" asked {A}. "I lost my {color} {thing}," said {B}.
"Why are you crying?" asked {A}. "I cannot find my {color} {thing}," said {B}.

{A} held the {thing} in {his} hand. {He} wanted to keep it, but it was not right.
For a moment {A} said nothing. Then {he} opened {his} hand.

"Is this your {thing}?" asked {A}.
"I found it," said {A}. "Here is your {thing}."

"Oh, thank you!" said {B}. "My grandma gave it to me."
{B} jumped up and hugged {A}. "You found it!" {B.he} cried.

It felt good to do the right thing.
{A} was {happy} that {he} gave it back.

@friends
"""
