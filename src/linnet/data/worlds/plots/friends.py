"""Friends: sharing, making up, caring, meeting. The format is that of `shapes.py`."""

from __future__ import annotations

PLOTS = """
== take_turns: A=child B=friend thing=toy color place=outdoors
@meet

One {day} {A} was playing {place.at} with a {color} {thing}.
One {sunny} {day} {A} took a {color} {thing} to {place}.

?@weather

A {B.kind} named {B} came. {B} watched for a while.
{B} was there too. {B} was a shy {B.kind}.

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

"{B}, come and play!" called {A}. "We can take turns with the {thing}."
{A} went to {B} and held out the {thing}. "Do you want a turn?" {he} asked.

{B} smiled, and they played until the sun went down.
{B} was very {happy}, and they played together all day.

@lesson_share

@friends

== quarrel: A=child B=friend thing=toy color
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

So {A} went to see {B}. "I am sorry," {he} said. "You can have the {thing}."
{A} ran to the house of {B} with the {thing}. "I am sorry I was mean," {he} said.

"I am sorry too," said {B}. "Let us play together."
{B} smiled. "I am sorry too," {B.he} said.

They hugged and played with the {thing} until dinner.
Then they took turns with the {thing} and laughed.

@friends

== giving_away: A=child B=friend thing=toy color
@meet

{A} had many toys, and one of them was a {color} {thing}.
On {his} shelf {A} had a {color} {thing} and many other toys.

One {day} a {B.kind} named {B} moved in next door. {B} was new in town.
A {B.kind} named {B} came to live in the same street. {B} was very shy.

{B} had no toys at all. {B.He} played with [sticks|stones] in the yard.
The toys of {B} were lost in the move, and {B.he} was {sad}.

{A} saw this and felt sorry for {B}.
{A} looked at {B} from the window and wanted to help.

--
{He} looked at {his} toys for a long time. Then {he} took the {thing}.
"I have so many toys," {A} thought. "I can give one away."

{A} went next door. "This {thing} is for you," {he} said.
"Hello, {B}," said {A}. "Would you like to have my {thing}?"

{B} could not believe it. "For me?" {B.he} asked.
The eyes of {B} grew big. "Thank you!" {B.he} said.

They played with the {thing} all {day}.
{B} laughed and laughed, and {A} felt warm inside.

@lesson_share

@friends

== tree_house: A=child B=friend color
@meet

{A} and {his} friend {B} wanted to build a tree house.
"Let us build a tree house!" said {A} to {his} friend {B}.

Dad gave them some wood and a hammer.
They found some old wood behind the barn.

{A} wanted to paint it {color}, but {B} did not want that.
"It must be {color}," said {A}. "No, not that!" said {B}.

They were so {angry} that they stopped working.
{B} threw down the hammer and went home.

--
That night it rained, and the wood got wet.
The next day {A} tried to build alone, but it was too hard.

"We need each other," {A} thought.
{A} missed {B}. The work was no fun alone.

{He} went to {B} and said, "You can choose the color."
"I am sorry," {A} told {B}. "We can find a way."

"Let us paint the door in two colors," said {B}.
"One wall can be how you like it, and one how I like it," said {B}.

They worked until the last nail was in.
A week later the tree house was ready.

It was the nicest tree house in the village.
They sat in their tree house and ate cookies.

@friends

== sick_friend: A=child B=friend color
@meet

@friend

One {day} {B} did not come to school.
One {day} {B} did not come out to play.

"{B} is sick and must stay in bed," said the teacher.
"{B} has a bad cold," said Mom.

{A} was {sad}. {He} wanted to do something nice.
"I want to make {B} feel better," said {A}.

--
So {A} made a {color} card and cooked some soup.
{A} picked some {color} flowers and put soup in a pot.

Then {he} went to see {B}. "I brought you something," said {A}.
{He} carried everything to the house of {B} and knocked.

{B} was lying in bed with a red nose.
{B} looked very tired and pale.

When {B} saw the present, {B.he} smiled.
"Is this for me?" asked {B}. "How nice of you!"

{A} read {B} a funny story, and {B} ate all the soup.
They played a quiet game, and {B} ate the warm soup.

A few days later {B} was well again.
Soon {B} was strong and healthy again.

"Your soup made me well," said {B}.
"You are the best doctor," said {B}.

@friends

== first_day: A=child B=friend color
@meet

It was the first day of school, and {A} was {scared}.
Today {A} went to school for the first time.

{He} had a new {color} bag and new shoes.
Mom gave {him} a {color} bag with a sandwich in it.

"What if nobody likes me?" asked {A}.
{A} held the hand of Mom very tight.

In the classroom there were so many children.
The school was big and loud.

--
{A} sat down alone and looked at {his} bag.
At lunch {A} sat alone at a table.

Then a {B.kind} named {B} sat down next to {him}.
A {B.kind} named {B} came to {him}.

"I like your bag," said {B}. "Mine is the same!"
"You have a bag like me!" said {B}.

"Are you new here too?" asked {A}. "Yes," said {B}. "I was {scared} this morning."
{A} smiled. "Do you want half of my sandwich?" {he} asked.

They shared lunch and played in the yard.
After that, they drew pictures and sang songs together.

"School is fun," {A} told Mom in the evening.
When Mom came, {A} did not want to go home.

@friends

== hide_and_seek: A=child B=friend place=outdoors spot=outside
@meet

@friend

One {day} they played hide and seek {place.at}.
"Let us play hide and seek {place.at}," said {A} one {day}.

?@weather

{A} closed {his} eyes and counted to ten.
"One, two, three," counted {A}, and {B} ran away to hide.

"Here I come!" called {A}.
"I will find you!" {A} shouted.

{He} looked up and down, but {he} could not find {B}.
{A} walked around and around, but {B} was not there.

--
The sun went down, and {A} got worried.
It got late, and {A} was a little {scared}.

"You can come out now!" called {A}, but nobody answered.
"{B}, you win!" {A} called. It was very quiet.

Then {he} heard a funny sound. Someone was snoring!
Then {A} heard a soft noise and went closer.

{B} was lying {spot} and sleeping.
There was {B}, fast asleep {spot}!

"Wake up, {B}!" laughed {A}.
{A} gently shook {B}. "The game is over," {he} said.

"Did I win?" asked {B}. "Yes," said {A}, "you are the best at hiding."
{B} rubbed {B.his} eyes. "It was so cozy there," {B.he} said.

@friends
"""
